// Elements: made from plain text, and kept where nothing about them has changed.

/** An element. `on…` are listeners; `true` is an empty attribute; strings become text nodes. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Says something where there is something to say. */
export function tell(element, words) {
  element.textContent = words;
  element.hidden = !words;
}

/** A button that says what it does. */
export function button(words, act, attributes) {
  return h("button", { type: "button", onclick: act, "data-act": words, ...attributes }, words);
}

const signatures = new WeakMap();

/** Fills `parent` anew where `signature` has changed; the focus stays on the same control. */
export function show(parent, signature, make) {
  const text = JSON.stringify(signature);
  if (signatures.get(parent) === text) return;
  signatures.set(parent, text);
  keepFocus(parent, () => parent.replaceChildren(...[make()].flat().filter(Boolean)));
}

/** Shows one element for each of `items`, in their order: `key` tells them apart. */
export function list(parent, items, key, signature, make) {
  const held = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    const text = JSON.stringify(signature(item));
    let element = held.get(id);
    if (element && signatures.get(element) !== text) {
      const next = make(item);
      if (place === element) place = next;
      const old = element;
      keepFocus(old, () => old.replaceWith(next), next);
      element = next;
    }
    element ??= make(item);
    held.delete(id);
    element.dataset.key = id;
    signatures.set(element, text);
    if (place === element) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of held.values()) element.remove();
}

/** Does `change`; a control of `before` that had the focus gives it to its like in `after`. */
function keepFocus(before, change, after = before) {
  const focused = before.contains(document.activeElement) ? document.activeElement : null;
  const act = focused?.dataset.act;
  change();
  if (!focused || focused.isConnected) return;
  const likes = [after, ...after.querySelectorAll("[data-act]")];
  likes.find((like) => like.dataset.act === act)?.focus();
}
