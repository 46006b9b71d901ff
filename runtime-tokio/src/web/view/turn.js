// Whose turn it is, who is being woken, and how deep the stack of mentions is.

import { button, byId, h, show } from "./dom.js";

/** The root and four mentions: what the guild allows. */
const DEPTH_MAX = 5;

export function turn(fabric, state) {
  state.watch(() => {
    const panel = byId("turn-panel");
    const it = state.takesTurns() ? state.here.turn : null;
    panel.hidden = !it;
    if (!it) return;
    const names = [...it.order, ...it.bypass].map((id) => state.name(id));
    const { currentSpeaker: current, wake } = it;
    const isMine = current === state.me.id;
    const isIdle = it.phase === "idle";
    const now = byId("turn-now");
    now.className = isMine ? "current mine" : "current";
    show(now, [current, current && state.name(current), wake?.acked], () => [
      isIdle ? "Idle: the next message starts a round." : isMine ? "It is your turn." : `${state.name(current)} has the turn`,
      !isMine && wake ? h("span", { class: wake.acked ? "note" : "note woken" }, wake.acked ? "has seen the wake" : "is being woken") : null,
    ]);
    show(byId("turn"), [it, names, state.current], () => content(fabric, state, it));
  });
}

function content(fabric, state, it) {
  const current = it.currentSpeaker;
  const mine = current === state.me.id;
  const idle = it.phase === "idle";
  const speakers = (ids, at) => h("span", null, ...ids.map((id, index) =>
    h("span", { class: index === at ? "speaker now" : "speaker", title: id, dir: "auto", "aria-current": index === at ? "step" : null }, state.name(id))));
  const frames = it.stack.map((frame, depth) =>
    h("li", null, h("span", { class: "frame" }, depth === 0 ? "Round" : `Mention ${depth}`), speakers(frame.speakers, frame.cursor)));
  const toggle = (id, bypass) => button(bypass ? "Only when mentioned" : "Back into the order",
    () => fabric.bypass(id, bypass), { class: "quiet", "data-act": `bypass ${id}`, "aria-label": `${state.name(id)}: ${bypass ? "only when mentioned" : "back into the order"}` });
  return [
    h("p", { class: "depth" },
      h("span", null, `Depth ${it.stack.length}/${DEPTH_MAX}`),
      h("meter", { min: 0, max: DEPTH_MAX, value: it.stack.length, "aria-label": "Depth of the stack of mentions" })),
    h("ol", { class: "stack" }, ...frames.reverse()),
    h("div", { class: "row" },
      button("Pass (/no-reply)", () => fabric.post("/no-reply"), { disabled: !mine }),
      button("Skip (/force-proceed)", () => fabric.post("/force-proceed"), { disabled: idle })),
    h("h3", null, "Order"),
    h("ol", { class: "order" }, ...it.order.map((id) =>
      h("li", null, h("span", { class: id === current ? "speaker now" : "speaker", title: id, dir: "auto" }, state.name(id)), toggle(id, true)))),
    it.bypass.length > 0 ? h("h3", null, "Only when mentioned") : null,
    it.bypass.length > 0 ? h("ul", { class: "order" }, ...it.bypass.map((id) =>
      h("li", null, h("span", { class: id === current ? "speaker now" : "speaker", title: id, dir: "auto" }, state.name(id)), toggle(id, false)))) : null,
  ];
}
