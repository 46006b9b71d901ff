// The panels at the sides of the talk: beside it where there is room, over it where there is not.

import { isOpen } from "./dialog.js";
import { byId } from "./dom.js";

/** Where a panel lies over the talk: the widths of the style. */
const OVER = { channels: matchMedia("(max-width: 40rem)"), details: matchMedia("(max-width: 60rem)") };

export function panels(state) {
  const isOver = () => state.panel !== null && OVER[state.panel].matches;
  const draw = () => {
    for (const side of Object.keys(OVER)) {
      document.body.classList.toggle(`show-${side}`, state.panel === side);
      byId(`toggle-${side}`).setAttribute("aria-expanded", String(state.panel === side));
    }
    for (const id of ["log", "problem", "composer"]) byId(id).inert = isOver();
  };
  for (const [side, width] of Object.entries(OVER)) {
    width.addEventListener("change", draw);
    byId(`toggle-${side}`).addEventListener("click", () => {
      state.panel = state.panel === side ? null : side;
      state.changed();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || isOpen() || !isOver()) return;
    byId(`toggle-${state.panel}`).focus();
    state.panel = null;
    state.changed();
  });
  state.watch(draw);
}
