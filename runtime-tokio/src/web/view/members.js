// Who is in the open channel, and how everybody is.

import { byId, h, list } from "./dom.js";

export function members(state) {
  state.watch(() => {
    const here = state.here?.members ?? [];
    const row = (member) => ({ ...member, name: state.name(member.id), status: state.statuses.get(member.id) ?? "" });
    const away = (it) => (it.status && it.status !== "offline" ? 0 : 1);
    const rows = here.map(row).sort((a, b) => away(a) - away(b) || a.name.localeCompare(b.name));
    byId("members-count").textContent = String(here.length);
    list(byId("members"), rows, (it) => it.id, (it) => it, (it) =>
      h("li", { "data-status": it.status, title: it.id },
        h("span", { class: away(it) ? "dot" : it.status === "online" ? "dot online" : "dot other", "aria-hidden": "true" }),
        h("span", { class: "name", dir: "auto" }, it.name, it.id === state.me.id ? " (you)" : ""),
        h("span", { class: "kind" }, it.status)));
  });
}
