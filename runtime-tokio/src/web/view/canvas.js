// The document that is pinned to the open channel.

import { button, byId, h, show } from "./dom.js";
import { dialog } from "./dialog.js";

export function canvas(fabric, state) {
  const form = dialog("canvas-dialog", state, async ({ format, title, content }, channelId) =>
    fabric.pin(channelId, { format, title, content }, form.isNew));
  const write = (held) => {
    form.isNew = !held;
    form.open(state.current, { format: held?.format ?? "md", title: held?.title ?? "", content: held?.content ?? "" });
  };
  state.watch(() => {
    const held = state.here?.canvas ?? null;
    const place = byId("canvas");
    show(place, [state.current, held, held ? state.name(held.sharedBy) : null], () => {
      if (!held) return [h("p", { class: "quiet-text" }, "Nothing is pinned here."), button("Pin a document", () => write(null))];
      const mine = held.sharedBy === state.me.id;
      return [
        h("h3", { class: "canvas-title" }, held.title || "Untitled"),
        h("p", { class: "quiet-text" }, `pinned by ${state.name(held.sharedBy)}`),
        document_(held),
        h("div", { class: "row" },
          mine ? button("Change", () => write(held)) : null,
          mine ? button("Unpin", () => fabric.unpin()) : null,
          button("Replace", () => write(null))),
      ];
    });
  });
}

/** HTML is shown without scripts, forms, or anything of this page's origin. */
function document_(held) {
  if (held.format !== "html") return h("pre", { class: "document", tabindex: "0" }, held.content);
  return h("iframe", { class: "document", sandbox: "", title: held.title || "Pinned document", srcdoc: held.content });
}
