// A form in a dialog: what was typed stays until it has been taken.

import { byId, tell } from "./dom.js";

/** What no key may do to the page behind it. */
export const isOpen = () => document.querySelector("dialog[open]") !== null;

/** `take(fields, channelId)` does what the form is for; its error is shown in the form. */
export function dialog(id, state, take) {
  const box = byId(id);
  const form = box.querySelector("form");
  const words = (text) => tell(form.querySelector(".problem"), text);
  let channelId = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = form.querySelector("[type=submit]");
    submit.disabled = true;
    words("");
    try {
      await take(Object.fromEntries(new FormData(form)), channelId);
      box.close();
      form.reset();
    } catch (error) {
      words(error.message);
    } finally {
      submit.disabled = false;
    }
  });
  form.querySelector("[data-close]").addEventListener("click", () => box.close());
  // Who has been taken out of its channel is told so by the page behind.
  state.watch(() => {
    if (box.open && channelId !== null && !state.channels.has(channelId)) box.close();
  });
  return {
    /** Opens the form for a channel; for none where it is null. */
    open(channel, fields = {}) {
      channelId = channel;
      for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
      words("");
      box.showModal();
    },
  };
}
