// A form in a dialog: what was typed stays until it has been taken.

import { byId, tell } from "./dom.js";

/** `take(fields)` does what the form is for; its error is shown in the form. */
export function dialog(id, take) {
  const box = byId(id);
  const form = box.querySelector("form");
  const words = (text) => tell(form.querySelector(".problem"), text);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = form.querySelector("[type=submit]");
    submit.disabled = true;
    words("");
    try {
      await take(Object.fromEntries(new FormData(form)));
      box.close();
      form.reset();
    } catch (error) {
      words(error.message);
    } finally {
      submit.disabled = false;
    }
  });
  form.querySelector("[data-close]").addEventListener("click", () => box.close());
  return {
    open(fields = {}) {
      for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
      words("");
      box.showModal();
    },
  };
}
