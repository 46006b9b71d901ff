// Completion in the composer: slash commands at its beginning, members after an `@`.

import { byId, h } from "./dom.js";

const SHOWN_MAX = 8;
const TURN_COMMANDS = [
  { name: "no-reply", description: "pass your turn" },
  { name: "force-proceed", description: "pass for the current speaker" },
];

export class Completion {
  #text;
  #state;
  #box = byId("completion");
  #choices = [];
  #at = 0;

  constructor(text, state) {
    this.#text = text;
    this.#state = state;
    text.addEventListener("blur", () => this.close());
  }

  get isOpen() {
    return this.#choices.length > 0;
  }

  /** Looks at what stands before the caret. */
  look() {
    const before = this.#text.value.slice(0, this.#text.selectionStart);
    const slash = /^\/([\w-]*)$/.exec(before);
    const at = /(?:^|\s)@([^\s@<>]*)$/.exec(before);
    if (slash) this.#offer(this.#commands(slash[1]), before.length);
    else if (at) this.#offer(this.#members(at[1]), at[1].length + 1);
    else this.close();
  }

  #commands(start) {
    const own = this.#state.takesTurns() ? TURN_COMMANDS : [];
    return [...own, ...this.#state.commands]
      .map(({ name, description }) => ({ name: name.replace(/^\//, ""), description }))
      .filter(({ name }) => name.startsWith(start))
      .map(({ name, description }) => ({ label: `/${name}`, hint: String(description ?? ""), insert: `/${name}` }));
  }

  #members(start) {
    const wanted = start.toLowerCase();
    return (this.#state.here?.members ?? [])
      .map(({ id }) => ({ id, name: this.#state.name(id) }))
      .filter(({ id, name }) => id !== this.#state.me.id && name.toLowerCase().startsWith(wanted))
      .map(({ id, name }) => ({ label: `@${name}`, hint: this.#state.statuses.get(id) ?? "", insert: `<@${id}> ` }));
  }

  #offer(choices, replaced) {
    this.#choices = choices.slice(0, SHOWN_MAX).map((choice) => ({ ...choice, replaced }));
    this.#at = 0;
    this.#draw();
  }

  close() {
    this.#choices = [];
    this.#draw();
  }

  /** Whether the key was meant for the list. */
  key(event) {
    if (!this.isOpen) return false;
    const count = this.#choices.length;
    if (event.key === "ArrowDown") this.#at = (this.#at + 1) % count;
    else if (event.key === "ArrowUp") this.#at = (this.#at + count - 1) % count;
    else if (event.key === "Escape") return this.close(), true;
    else if (event.key === "Tab" || event.key === "Enter") {
      // A command that is already whole is sent.
      const { insert } = this.#choices[this.#at];
      if (event.key === "Enter" && this.#text.value === insert) return this.close(), false;
      return this.#take(this.#choices[this.#at]), true;
    } else return false;
    this.#draw();
    return true;
  }

  #take({ insert, replaced }) {
    const caret = this.#text.selectionStart;
    this.#text.setRangeText(insert, caret - replaced, caret, "end");
    this.close();
    this.#text.focus();
    this.#text.dispatchEvent(new Event("input"));
  }

  #draw() {
    this.#box.hidden = !this.isOpen;
    if (this.isOpen) this.#text.setAttribute("aria-activedescendant", `choice-${this.#at}`);
    else this.#text.removeAttribute("aria-activedescendant");
    this.#box.replaceChildren(...this.#choices.map((choice, at) =>
      h("li", {
        id: `choice-${at}`, role: "option", "aria-selected": String(at === this.#at),
        // Before the text loses the focus.
        onmousedown: (event) => (event.preventDefault(), this.#take(choice)),
      }, h("span", { dir: "auto" }, choice.label), h("span", { class: "kind" }, choice.hint))));
  }
}
