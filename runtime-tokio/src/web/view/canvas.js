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
      if (!held) return [h("p", { class: "quiet-text" }, "Nothing is pinned here."), button("Pin a document", () => write(null), { disabled: !state.current })];
      const mine = held.sharedBy === state.me.id;
      return [
        h("h3", { class: "canvas-title", dir: "auto" }, held.title || "Untitled"),
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

/** What an HTML document may do: have styles and images of its own, and load nothing. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** HTML is shown without scripts, forms, or anything of this page's origin. */
function document_(held) {
  if (held.format !== "html") return h("pre", { class: "document", tabindex: "0", dir: "auto" }, held.content);
  return h("iframe", { class: "document", sandbox: "", title: held.title || "Pinned document", srcdoc: sealed(held.content) });
}

/** The document with its policy before everything else, and with links that say where they lead and lead nowhere. */
function sealed(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const it of parsed.querySelectorAll("base, link, meta, template")) it.remove();
  // The frame may show nothing but the document: where a link was followed it would be empty.
  for (const it of parsed.querySelectorAll("a, area, math [href]")) {
    const target = it.getAttribute("href") ?? it.getAttribute("xlink:href");
    if (target && !it.hasAttribute("title")) it.setAttribute("title", target);
    for (const name of ["href", "xlink:href"]) it.removeAttribute(name);
  }
  const policy = parsed.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = POLICY;
  parsed.head.prepend(policy);
  return `<!doctype html>${parsed.documentElement.outerHTML}`;
}
