// The messages of the open channel, and what waits to be posted.

import { attached } from "./files.js";
import { button, byId, h, list } from "./dom.js";

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** How near to its end the log counts as being there, in pixels. */
const END = 60;

export function messages(fabric, state, composer) {
  const log = byId("log");
  let shown = null;
  const author = (message) => state.name(message.author.id);

  /** The content in parts, with what `show` makes of each mention. */
  const mentions = (message, show) =>
    // The odd parts are ids.
    message.content.split(/<@([A-Za-z0-9_-]{1,64})>/).map((part, at) => {
      if (at % 2 === 0) return part;
      return message.mentions.includes(part) ? show(part, `@${state.name(part)}`) : `<@${part}>`;
    });

  const marked = (id, name) => h("span", { class: id === state.me.id ? "mention mine" : "mention" }, name);

  const preview = (id) => {
    const found = state.here.window?.messages.find((message) => message.id === id);
    if (!found) return "an older message";
    const text = found.deletedAt ? "(deleted)" : mentions(found, (_, name) => name).join("");
    return `${author(found)}: ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`;
  };

  const message = (it) => {
    const own = it.author.id === state.me.id;
    const editable = state.canEdit(it);
    const name = author(it);
    const at = new Date(it.createdAt);
    const notes = [
      it.editedAt && !it.deletedAt ? h("span", { class: "note" }, "edited") : null,
      it.wakeup ? h("span", { class: "note woken", title: "This message woke you" }, "woke you") : null,
    ];
    const body = it.deletedAt
      ? h("p", { class: "content deleted" }, "This message was deleted.")
      : h("p", { class: "content", dir: "auto" }, ...mentions(it, marked));
    const act = (words, does) => button(words, does, { "aria-label": `${words} the message of ${name}` });
    const actions = it.deletedAt ? null : h("span", { class: "actions" },
      act("Reply", () => composer.reply(it)),
      editable ? act("Edit", () => composer.edit(it)) : null,
      editable ? act("Delete", () => fabric.remove(it)) : null);
    return h("article", { class: own ? "message own" : "message", "data-seq": it.seq },
      it.replyToId ? h("p", { class: "reply", dir: "auto" }, preview(it.replyToId)) : null,
      h("header", null,
        h("strong", { dir: "auto" }, name),
        h("time", { datetime: it.createdAt, title: DAY.format(at) }, TIME.format(at)),
        ...notes, actions),
      body,
      it.attachments?.length > 0 ? attached(fabric, state, it.attachments) : null);
  };

  const waiting = (it) => {
    const channel = state.current;
    const back = () => {
      fabric.drop(channel, it);
      composer.restore(channel, it);
    };
    return h("article", { class: "message waiting" },
      h("header", null, h("strong", null, state.me.name), h("span", { class: "note" }, it.problem ? "not sent" : "sending…")),
      h("p", { class: "content", dir: "auto" }, it.content),
      it.problem ? h("p", { class: "problem", role: "alert" }, `${it.problem} `,
        button("Try again", () => fabric.again(channel, it)),
        button("Back to the editor", back)) : null);
  };

  byId("older").addEventListener("click", async () => {
    const first = log.querySelector(".message");
    const place = () => first.getBoundingClientRect().top;
    const before = place();
    await fabric.older();
    // The line that was the first stays where it was.
    requestAnimationFrame(() => (log.scrollTop += first.isConnected ? place() - before : 0));
  });
  byId("newest").addEventListener("click", () => fabric.toEnd());
  const measured = () => `${log.clientWidth} ${log.clientHeight} ${log.scrollHeight}`;
  /** What was measured when the end was last put in view. */
  let size = "";
  const toBottom = () => {
    if (state.here?.window?.follows) log.scrollTop = log.scrollHeight;
    size = measured();
  };
  /** Finds out where the reader is, after a `scroll` event and after a change of size. */
  const look = () => {
    const window = state.here?.window;
    if (!window || shown !== state.current) return;
    // Where the window is resized, the end stays in view. A `scroll` event can come of an earlier change
    // of size, and see one that was not looked at yet: that is not a reader who goes further up.
    if (measured() !== size) {
      toBottom();
      if (window.follows) return;
    }
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < END;
    if (follows === window.follows) return;
    window.follows = follows;
    fabric.read();
    state.changed();
  };
  const resized = new ResizeObserver(look);
  for (const box of [log, byId("messages")]) resized.observe(box);
  log.addEventListener("scroll", look);

  state.watch(() => {
    const { here } = state;
    const window = here?.window;
    const items = [
      ...(window?.messages ?? []).map((it) => ({ key: it.id, it, make: message })),
      ...(here?.outbox ?? []).map((it) => ({ key: it.nonce, it, make: waiting })),
    ];
    const names = (it) => [it.author?.id, ...(it.mentions ?? [])].filter(Boolean).map((id) => state.name(id));
    list(byId("messages"), items, ({ key }) => key,
      ({ it }) => [it, names(it), it.replyToId ? preview(it.replyToId) : null, it.author ? state.canEdit(it) : null],
      ({ it, make }) => make(it));
    byId("older").hidden = !window?.hasOlder;
    byId("newest").hidden = !window || (window.atEnd && window.follows);
    byId("empty").hidden = !window || items.length > 0;
    if (window) shown = state.current;
    toBottom();
    const typing = [...(here?.typing.keys() ?? [])].map((id) => state.name(id));
    byId("typing").textContent = typing.length > 0
      ? `${typing.join(", ")} ${typing.length > 1 ? "are" : "is"} typing…` : "";
    const problem = [state.notice, here?.problem].filter(Boolean).join(" ");
    byId("problem").hidden = !problem;
    byId("problem-words").textContent = problem;
  });
  byId("problem-over").addEventListener("click", () => {
    state.notice = "";
    if (state.here) state.here.problem = "";
    state.changed();
  });
}
