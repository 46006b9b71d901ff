// Where messages are written: new ones, replies, and edits of one's own.

import { byId, tell } from "./dom.js";
import { Completion } from "./completion.js";

export function composer(fabric, state) {
  const text = byId("text");
  const completion = new Completion(text, state);
  let shown = null;

  const grow = () => {
    text.rows = Math.min(8, text.value.split("\n").length);
  };
  const put = (value) => {
    text.value = value;
    grow();
    completion.close();
  };
  const problem = (words) => tell(byId("edit-problem"), words);
  const cancel = () => {
    const { here } = state;
    problem("");
    here.replyTo = null;
    if (here.editing) {
      here.editing = null;
      put(here.draft);
    }
    state.changed();
  };
  const send = async () => {
    const { here, channel } = state;
    const content = text.value;
    if (!channel || (!content.trim() && (here.editing || here.files.length === 0))) return;
    if (!here.editing) {
      fabric.post(content, here.replyTo?.id, here.files);
      here.files = [];
      here.replyTo = null;
      here.draft = "";
      put("");
      byId("log").scrollTop = byId("log").scrollHeight;
      return state.changed();
    }
    try {
      await fabric.edit(here.editing, content);
      cancel();
    } catch (error) {
      problem(error.message);
    }
  };
  const editor = {
    reply(message) {
      state.here.replyTo = message;
      state.changed();
      text.focus();
    },
    edit(message) {
      const { here } = state;
      if (!here.editing) here.draft = text.value;
      here.editing = message;
      here.replyTo = null;
      put(message.content);
      state.changed();
      text.focus();
    },
    /** Gives back what could not be sent, after what has been typed since. */
    restore({ content, attachments }) {
      state.here.files.push(...attachments);
      put([text.value, content].filter(Boolean).join("\n"));
      text.focus();
      state.changed();
    },
  };
  const editLast = () => {
    const own = state.here?.window?.messages.findLast(
      (message) => message.author.id === state.me.id && !message.deletedAt);
    if (own) editor.edit(own);
  };

  text.addEventListener("input", () => {
    grow();
    completion.look();
    if (!state.here) return;
    if (!state.here.editing) state.here.draft = text.value;
    if (text.value) fabric.typing();
  });
  text.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey) return;
    if (completion.key(event)) event.preventDefault();
    else if (event.key === "Enter" && !event.shiftKey) (event.preventDefault(), send());
    else if (event.key === "Escape") cancel();
    else if (event.key === "ArrowUp" && !text.value) (event.preventDefault(), editLast());
  });
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  byId("mode-over").addEventListener("click", () => {
    cancel();
    text.focus();
  });

  state.watch(() => {
    const { here, channel } = state;
    if (shown !== state.current) {
      shown = state.current;
      problem("");
      put(here ? (here.editing?.content ?? here.draft) : "");
    }
    const mode = here?.editing ? "Editing your message"
      : here?.replyTo ? `Replying to ${state.name(here.replyTo.author.id)}` : "";
    byId("mode").hidden = !mode;
    byId("mode-words").textContent = mode;
    text.disabled = !channel || (channel.closed && !here.editing);
    byId("send").disabled = text.disabled;
    byId("send").textContent = here?.editing ? "Save" : "Send";
    text.placeholder = !channel ? "" : channel.closed ? "This channel is closed." : `Message ${channel.name}`;
  });
  return editor;
}
