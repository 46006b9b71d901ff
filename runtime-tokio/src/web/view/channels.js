// The list of channels, and the public ones to join.

import { isOpen } from "./dialog.js";
import { button, byId, h, list } from "./dom.js";

export function channels(fabric, state) {
  const open = (id) => {
    state.panel = null;
    fabric.open(id).then(() => byId("text").focus());
  };
  state.watch(() => {
    const row = (channel) => ({
      ...channel, lastSeq: 0, unread: state.unread(channel), current: channel.id === state.current,
      mentioned: state.room(channel.id).mentioned,
    });
    list(byId("channels"), state.sorted().map(row), (it) => it.id, (it) => it, (it) =>
      h("li", null,
        h("button", {
          type: "button", class: "channel", "data-act": it.id, onclick: () => open(it.id),
          "aria-current": it.current ? "true" : null,
        },
          h("span", { class: "name", dir: "auto" }, it.name || "unnamed"),
          h("span", { class: "kind" }, it.closed ? `${it.xType}, closed` : it.xType),
          it.unread > 0 && !it.current
            ? h("span", { class: it.mentioned ? "badge mentioned" : "badge", "aria-label": `${it.unread} unread` },
              it.mentioned ? `@${it.unread}` : String(it.unread))
            : null)));
    byId("others-title").hidden = state.others.length === 0;
    list(byId("others"), state.others, (it) => it.id, (it) => it, (it) =>
      h("li", { class: "other" },
        h("span", { class: "name", dir: "auto" }, it.name || "unnamed"),
        h("span", { class: "kind" }, it.xType),
        button("Join", () => fabric.join(it.id), { "aria-label": `Join ${it.name}` })));
  });
  document.addEventListener("keydown", (event) => {
    if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key) || isOpen()) return;
    event.preventDefault();
    const ids = state.sorted().map((channel) => channel.id);
    const at = ids.indexOf(state.current) + (event.key === "ArrowDown" ? 1 : -1);
    if (ids.length > 0) open(ids[(at + ids.length) % ids.length]);
  });
}
