// Where messages are written: new ones, replies, and edits of one's own.

import { byId, tell } from "./dom.js";
import { Completion } from "./completion.js";

export function composer(fabric, state) {
  const text = byId("text");
  const completion = new Completion(text, state);
  /** The room or the edit whose text is in the box. */
  let shown = null;
  let isFirst = true;

  const grow = () => {
    text.rows = Math.min(8, text.value.split("\n").length);
  };
  const put = (value) => {
    text.value = value;
    grow();
    completion.close();
  };
  const cancel = () => {
    if (!state.here) return;
    state.here.replyTo = null;
    state.here.edit = null;
    state.changed();
  };
  /** Saves an edit, which another channel may be opened during. */
  const save = async (here) => {
    const { edit } = here;
    const { message, text: content } = edit;
    if (!content.trim()) return;
    edit.problem = "";
    try {
      await fabric.edit(message, content);
      // What was typed meanwhile is not saved yet.
      if (here.edit === edit && edit.text === content) here.edit = null;
    } catch (error) {
      edit.problem = error.message;
    }
    state.changed();
  };
  const send = () => {
    const { here, channel } = state;
    if (!channel) return;
    if (here.edit) return save(here);
    const content = text.value;
    if (!content.trim() && here.files.length === 0) return;
    const coming = here.files.find((file) => !file.stored);
    here.problem = coming ? `${coming.name} is still being uploaded: send again when it is there, or remove it.` : "";
    state.changed();
    if (coming) return;
    fabric.post(content, here.replyTo?.id, here.files.map((file) => file.stored));
    here.files = [];
    here.replyTo = null;
    here.draft = "";
    put("");
  };
  const editor = {
    reply(message) {
      state.here.replyTo = message;
      state.changed();
      text.focus();
    },
    edit(message) {
      const { here } = state;
      if (here.edit?.message.id !== message.id) here.edit = { message, text: message.content, problem: "" };
      here.replyTo = null;
      draw();
      state.changed();
      text.focus();
    },
    /** Gives back what could not be sent, after what has been typed since. */
    restore(channelId, { content, attachments }) {
      const room = state.room(channelId);
      room.files.push(...attachments.map((stored) => ({ key: stored.id, name: stored.name, stored })));
      room.draft = [room.draft, content].filter(Boolean).join("\n");
      shown = null;
      draw();
      state.changed();
      text.focus();
    },
  };
  const editLast = () => {
    const own = state.here?.window?.messages.findLast(
      (message) => state.canEdit(message));
    if (own) editor.edit(own);
  };

  text.addEventListener("input", () => {
    grow();
    completion.look();
    const { here } = state;
    if (!here) return;
    if (here.edit) here.edit.text = text.value;
    else here.draft = text.value;
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

  /** Puts into the box what is written in the open channel. */
  const draw = () => {
    const { here } = state;
    const subject = here?.edit ?? here;
    if (shown === subject) return;
    shown = subject;
    put(here?.edit?.text ?? here?.draft ?? "");
  };
  addEventListener("beforeunload", (event) => state.hasUnsent && event.preventDefault());
  state.watch(() => {
    const { here, channel } = state;
    draw();
    tell(byId("edit-problem"), here?.edit?.problem ?? "");
    const mode = here?.edit ? (here.draft ? "Editing your message; what else you were writing comes back afterwards" : "Editing your message")
      : here?.replyTo ? `Replying to ${state.name(here.replyTo.author.id)}` : "";
    byId("mode").hidden = !mode;
    byId("mode-words").textContent = mode;
    text.disabled = !channel || (channel.closed && !here.edit);
    byId("send").disabled = text.disabled;
    byId("send").textContent = here?.edit ? "Save" : "Send";
    if (!text.disabled && isFirst) {
      isFirst = false;
      // The login form has gone, and the focus with it.
      if (document.activeElement === document.body) text.focus();
    }
    text.placeholder = !channel ? "" : channel.closed ? "This channel is closed." : `Message ${channel.name}`;
  });
  return editor;
}
