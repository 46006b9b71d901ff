"use strict";
// Draws one run, or two beside each other, from the data of the page. Both have the same rows, so what
// happened in both stands side by side. Only what is in sight is in the document.

const data = JSON.parse(document.getElementById("data").textContent);
const [LANE_MIN, GUTTER, MARGIN, ROW, HEAD, FOOT] = [96, 84, 90, 18, 14, 60];
/** How many steps are listed that led to the broken rule. */
const STEPS_MAX = 16;
/** From how many lanes on those are hidden that the broken rule is not about. */
const LANES_MAX = 7;
const by = (id) => document.getElementById(id);
const seconds = (ms) => `${(ms / 1000).toFixed(3)} s`;

function make(name, attributes = {}, words) {
  const svg = ["svg", "g", "line", "rect", "circle", "text", "path", "polygon"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (words !== undefined) node.textContent = words;
  return node;
}

const state = { message: null, beats: false, all: false, flash: null };
const nameOf = (run, message) => run.messages[message].name;
const isAbout = (run, item, name) => item.messages.some((message) => nameOf(run, message) === name);
const subject = () => {
  const [run] = data.runs;
  return run.about.message === null ? null : nameOf(run, run.about.message);
};
const isSpan = (item) => item.shape === "span";

/** The lanes that are shown of a run, with the place of each. */
function shownLanes(run) {
  const { agent, guild } = data.runs[0].about;
  const matters = (lane) =>
    (lane.agent === null || agent === null || lane.agent === agent) &&
    (lane.guild === null || guild === null || lane.guild === guild);
  const few = run.lanes.length <= LANES_MAX || (agent === null && guild === null);
  const shown = run.lanes.map((_, at) => at).filter((at) => few || state.all || matters(run.lanes[at]));
  const room = panels[0].scroll.clientWidth - GUTTER - MARGIN;
  const width = Math.max(LANE_MIN, Math.floor(room / shown.length));
  return { width, places: new Map(shown.map((lane, place) => [lane, GUTTER + width * (place + 0.5)])) };
}

function isShown(run, lanes, item) {
  if (item.kind === "broken") return true;
  if (!lanes.has(item.lane) || (item.to !== undefined && !lanes.has(item.to))) return false;
  if (state.message !== null) return isAbout(run, item, state.message);
  return state.beats || item.kind !== "beat";
}

/** Gives everything that is shown its rows: one for each beginning, the same in both runs. */
function layOut() {
  const rows = new Map();
  const ends = [];
  const shown = data.runs.map((run, which) => {
    const { width, places: lanes } = shownLanes(run);
    const items = run.items.filter((item) => isShown(run, lanes, item));
    const times = new Map();
    for (const item of items) {
      const twin = [item.at, run.lanes[item.lane].name, item.kind, item.label, item.to ?? ""].join("\n");
      const count = times.get(twin) ?? 0;
      times.set(twin, count + 1);
      const key = `${twin}\n${count}`;
      if (!rows.has(key)) rows.set(key, { at: item.at, order: rows.size, of: [] });
      const row = rows.get(key);
      row.of[which] = item;
      item.row = row;
      if (item.until !== undefined && item.until > item.at && item.until <= run.end) ends.push(item.until);
    }
    return { run, which, lanes, lane: width, items };
  });
  const moments = [...rows.values()].map((row) => ({ at: row.at, order: row.order, row }));
  // Only what ends at a moment of its own needs room there.
  const starts = new Set(moments.map((moment) => moment.at));
  for (const at of new Set(ends)) if (!starts.has(at)) moments.push({ at, order: -1, row: null });
  moments.sort((a, b) => a.at - b.at || a.order - b.order);
  let y = HEAD;
  let before = moments.length ? moments[0].at : 0;
  const axis = [];
  for (const { at, row } of moments) {
    const gap = at - before;
    const room = gap > 0 ? Math.min(30, 3 * Math.log2(1 + gap)) : 0;
    y += room + (row ? ROW : 5);
    if (row) row.y = y;
    if (at !== before || axis.length === 0) axis.push({ at, y, gap, room, row });
    before = at;
  }
  const all = [...rows.values()];
  // What happened in one run only, and where the runs part.
  const only = data.runs.map((_, which) => all.filter(({ of }) => of[which] && !of[1 - which]));
  const parts = only.flat().reduce((least, { y }) => Math.min(least, y), Infinity);
  return { shown, axis, rows: all, only, parts, height: y + FOOT };
}

/** Where a moment is on the axis: of several rows of one moment, the first. */
function placeOf(axis, at) {
  let [low, high] = [0, axis.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (axis[middle].at < at) low = middle + 1;
    else high = middle;
  }
  const next = axis[low];
  if (!next) return axis.length ? axis[axis.length - 1].y + 40 : HEAD;
  if (next.at === at || low === 0) return next.y;
  const last = axis[low - 1];
  return last.y + ((next.y - last.y) * (at - last.at)) / (next.at - last.at);
}

/** The column of each span beside its lane, so that no two lie on each other. */
function columns(shown, axis) {
  const busy = new Map();
  for (const item of shown.items) {
    item.y = item.row.y;
    item.bottom = item.until === undefined ? item.y : Math.max(item.y, placeOf(axis, item.until));
    if (!isSpan(item)) continue;
    if (item.until === undefined) item.bottom = Infinity;
    const key = `${item.lane} ${item.kind}`;
    const ends = busy.get(key) ?? [];
    busy.set(key, ends);
    const free = ends.findIndex((end) => end <= item.y);
    item.column = free < 0 ? ends.length : free;
    ends[item.column] = item.bottom;
  }
}

let layout;
const panels = [];

function build() {
  layout = layOut();
  layout.shown.forEach((shown, which) => {
    columns(shown, layout.axis);
    const panel = panels[which];
    const width = GUTTER + shown.lane * shown.lanes.size + MARGIN;
    panel.svg.setAttribute("width", width);
    panel.svg.setAttribute("height", layout.height);
    panel.lanes.style.width = `${width}px`;
    const { agent, guild } = data.runs[0].about;
    panel.lanes.replaceChildren(...[...shown.lanes].map(([lane, x]) => {
      const { name, agent: of, guild: there } = shown.run.lanes[lane];
      const about = (of !== null && of === agent) || (of === null && there !== null && there === guild);
      const node = make("div", { class: `lane${about ? " about" : ""}`, title: name }, name);
      node.style.left = `${x - shown.lane / 2}px`;
      node.style.width = `${shown.lane}px`;
      return node;
    }));
  });
  const { items, total } = data.runs[0];
  by("bounds").textContent = items.length < total ? `${items.length} of ${total} happenings are drawn; --last SECONDS draws more` : "";
  by("filter").hidden = state.message === null;
  by("filter-name").textContent = state.message === null ? "" : `Only ${state.message}`;
  draw();
}

function draw() {
  for (const [which, panel] of panels.entries()) {
    const top = panel.scroll.scrollTop - 600;
    const bottom = panel.scroll.scrollTop + panel.scroll.clientHeight + 600;
    const nodes = [];
    const shown = layout.shown[which];
    const width = panel.svg.getAttribute("width");
    const inSight = (from, to) => to >= top && from <= bottom;
    if (state.flash && inSight(state.flash.y, state.flash.y)) nodes.push(make("rect", { class: "flash", x: 0, y: state.flash.y - 13, width, height: ROW }));
    if (data.runs.length > 1 && state.message === null) nodes.push(...differences(which, width, inSight));
    for (const x of shown.lanes.values()) nodes.push(make("line", { class: "life", x1: x, x2: x, y1: Math.max(0, top), y2: Math.min(layout.height, bottom) }));
    for (const { at, y, gap, room, row } of layout.axis) {
      if (!inSight(y, y)) continue;
      if (row) nodes.push(make("text", { class: "when", x: 6, y: y + 1 }, seconds(at)));
      if (gap >= 1000 && room > 10) nodes.push(make("text", { class: "gap", x: 14, y: y - ROW - 3 }, `⋮ ${(gap / 1000).toFixed(1)} s`));
    }
    const seen = shown.items.filter((item) => inSight(item.y, item.bottom));
    for (const item of seen) if (isSpan(item)) nodes.push(drawItem(shown, item, top, bottom, width));
    for (const item of seen) if (!isSpan(item)) nodes.push(drawItem(shown, item, top, bottom, width));
    panel.svg.replaceChildren(...nodes);
  }
}

/** What happened in one run only, and where the runs part. */
function differences(which, width, inSight) {
  const nodes = [];
  for (const { y } of layout.only[which]) {
    if (inSight(y, y)) nodes.push(make("rect", { class: "only", x: GUTTER - 2, y: y - 13, width: width - GUTTER, height: ROW }));
  }
  const y = layout.parts;
  if (inSight(y, y)) {
    nodes.push(make("line", { class: "differ", x1: 0, x2: width, y1: y - 16, y2: y - 16 }));
    nodes.push(make("text", { class: "differ-words", x: GUTTER + 4, y: y - 19 }, "from here on the two runs differ"));
  }
  return nodes;
}

const hue = (text) => [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);

function drawItem(shown, item, top, bottom, width) {
  const { run, lanes } = shown;
  const path = subject() !== null && isAbout(run, item, state.message ?? subject());
  const node = make("g", { class: `item ${item.kind}${path ? " path" : ""}${item.lost ? " lost" : ""}` });
  node.item = item;
  node.run = run;
  const x = lanes.get(item.lane) ?? GUTTER + shown.lane / 2;
  const label = (at, words, anchor = "start") => node.append(make("text", { x: at, y: item.y - 3, "text-anchor": anchor }, words.length > 90 ? `${words.slice(0, 89)}…` : words));
  if (item.kind === "broken") {
    node.append(make("line", { x1: GUTTER, x2: width, y1: item.y, y2: item.y }));
    const room = 16 + item.label.length * 7;
    node.append(make("rect", { x: GUTTER, y: item.y - 9, width: room, height: 20, rx: 3 }));
    node.append(make("text", { x: GUTTER + 8, y: item.y + 5 }, item.label));
  } else if (isSpan(item)) {
    const [from, to] = [Math.max(item.y, top), Math.min(item.bottom, bottom, layout.height - 20)];
    const offset = { token: -26 - 9 * item.column, connection: 8 + 8 * item.column, turn: -6 + 12 * item.column, down: -9 }[item.kind] ?? 0;
    const thick = { token: 7, connection: 6, turn: 11, down: 18 }[item.kind] ?? 8;
    const box = { x: x + offset, y: from, width: thick, height: Math.max(3, to - from), rx: 2 };
    if (item.kind === "token") box.style = `fill: hsl(${hue(item.label)} 75% 72%); stroke: hsl(${hue(item.label)} 60% 40%)`;
    node.append(make("rect", box));
    const words = item.kind === "token" ? `${item.label}, ${item.detail}` : item.label;
    // A turn's name stands on the arrow that begins it.
    if (item.kind !== "turn") label(x + Math.max(offset + thick, 0) + 6, words);
    if (item.kind === "token" && item.until <= run.end && item.bottom >= top) node.append(make("text", { x: x - 30, y: item.bottom + 10, "text-anchor": "end" }, `${item.label} expires`));
  } else if (item.shape === "arrow") {
    const to = lanes.get(item.to);
    const end = item.lost ? [(x + to) / 2, (item.y + item.bottom) / 2] : [to, item.bottom];
    const line = { x1: x, y1: item.y, x2: end[0], y2: end[1] };
    node.append(make("line", { ...line, class: "hit" }), make("line", line));
    const way = Math.sign(to - x) || 1;
    if (item.lost) {
      const [a, b] = end;
      for (const turn of [1, -1]) node.append(make("line", { x1: a - 5, y1: b - 5 * turn, x2: a + 5, y2: b + 5 * turn, style: "stroke-width: 2.5; stroke-dasharray: none" }));
    } else {
      node.append(make("polygon", { points: `${to},${item.bottom} ${to - 8 * way},${item.bottom - 4} ${to - 8 * way},${item.bottom + 4}` }));
    }
    const words = item.lost ? `${item.label} – ${item.lost}` : item.label;
    label(x + 8 * way, words, way > 0 ? "start" : "end");
  } else if (item.kind === "fault") {
    const y = item.y - 6;
    node.append(make("path", { d: `M${x - 1} ${y - 8} l-6 9 h5 l-2 8 l8 -11 h-5 l3 -6 z` }));
    label(x + 10, item.label);
  } else {
    node.append(make("circle", { cx: x, cy: item.y - 5, r: 4 }));
    label(x + 9, item.label);
  }
  return node;
}

/** What something is, in words. */
function describe(run, item) {
  const nodes = [];
  const lane = run.lanes[item.lane].name;
  const way = item.to === undefined ? lane : `${lane} → ${run.lanes[item.to].name}`;
  const until = item.until === undefined ? "" : ` – ${seconds(item.until)}`;
  nodes.push(make("strong", {}, item.label), make("div", {}, `${seconds(item.at)}${until}, ${way}`));
  if (item.lost) nodes.push(make("div", { class: "lost" }, item.lost));
  for (const message of item.messages.slice(0, 8)) {
    const { name, author, content } = run.messages[message];
    nodes.push(make("div", {}, `${name}, by ${author}: ${content.slice(0, 120)}`));
  }
  if (item.detail) nodes.push(make("pre", {}, item.detail));
  return nodes;
}

const found = (event) => event.target.closest?.(".item");

function hover(event) {
  const node = found(event);
  const box = by("hover");
  box.hidden = !node;
  if (!node) return;
  box.replaceChildren(...describe(node.run, node.item));
  const { offsetWidth, offsetHeight } = box;
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - offsetWidth - 8))}px`;
  box.style.top = `${Math.max(4, event.clientY + 18 + offsetHeight > innerHeight ? event.clientY - offsetHeight - 12 : event.clientY + 18)}px`;
}

function click(event) {
  const node = found(event);
  if (!node) return;
  pin(node.run, node.item);
  const names = node.item.messages.map((message) => nameOf(node.run, message));
  if (names.length > 0 && !names.includes(state.message)) filter(names.includes(subject()) ? subject() : names[0], node.item);
}

function pin(run, item) {
  const box = by("pinned");
  const names = item.messages.map((message) => nameOf(run, message));
  const buttons = names.slice(0, 12).map((name) => {
    const button = make("button", { type: "button" }, `Only ${name}`);
    button.onclick = () => filter(name, item);
    return button;
  });
  const close = make("button", { type: "button" }, "Close");
  close.onclick = () => (box.hidden = true);
  box.replaceChildren(...describe(run, item), ...buttons, close);
  box.hidden = false;
}

/** Shows one message's path, or everything. */
function filter(message, stay) {
  state.message = message;
  build();
  const row = stay?.row && layout.rows.includes(stay.row) ? stay.row : null;
  if (row) goTo(row.y, null);
  else toBroken();
}

function goTo(y, flash, part = 0.55) {
  state.flash = flash;
  for (const { scroll } of panels) scroll.scrollTop = y - scroll.clientHeight * part;
  draw();
}

function toBroken() {
  const broken = layout.shown[0].items.find((item) => item.kind === "broken");
  if (broken) goTo(broken.y, null, 0.85);
  else goTo(layout.height, null);
}

/** How it came to the broken rule: the way of its message, and the faults that struck meanwhile. */
function steps() {
  const [run] = data.runs;
  const name = subject();
  const path = run.items.filter((item) => !isSpan(item) && name !== null && isAbout(run, item, name));
  const from = path.length ? path[0].at - 5_000 : 0;
  const lanes = new Set(run.lanes.map((_, at) => at).filter((at) => {
    const { agent, guild } = run.about;
    const lane = run.lanes[at];
    return (lane.agent === null || agent === null || lane.agent === agent) && (lane.guild === null || guild === null || lane.guild === guild);
  }));
  const way = new Set(run.items.filter((item) => item.kind === "broken" || path.includes(item)));
  const faults = run.items.filter((item) => item.kind === "fault" && item.at >= from && lanes.has(item.lane) && !way.has(item));
  // Of many faults, those that struck when the message was on its way.
  const began = path.length ? path[0].at : run.end;
  const near = faults.sort((a, b) => Math.abs(a.at - began) - Math.abs(b.at - began)).slice(0, Math.max(4, STEPS_MAX - way.size));
  const told = run.items.filter((item) => way.has(item) || near.includes(item));
  const half = STEPS_MAX / 2;
  const shown = told.length <= STEPS_MAX ? told : [...told.slice(0, half), null, ...told.slice(1 - half)];
  by("steps").replaceChildren(...shown.map((item) => {
    const node = make("li");
    if (item === null) {
      node.textContent = `… ${told.length - STEPS_MAX + 1} more`;
      return node;
    }
    node.className = item.lost ? "lost" : item.kind;
    const lane = run.lanes[item.lane].name;
    const way = item.to === undefined ? lane : `${lane} → ${run.lanes[item.to].name}`;
    const button = make("button", { type: "button" });
    const words = `${item.label}${item.lost ? ` – ${item.lost}` : ""}`;
    button.append(make("time", {}, seconds(item.at)), ` ${way}: ${words.length > 110 ? `${words.slice(0, 109)}…` : words}`);
    button.onclick = () => {
      if (!isShown(run, shownLanes(run).places, item)) {
        Object.assign(state, { message: null, all: true });
        by("all-lanes").checked = true;
        build();
      }
      goTo(item.row.y, item.row);
      pin(run, item);
    };
    node.append(button);
    return node;
  }));
  by("how").hidden = shown.length === 0;
}

function start() {
  const [run] = data.runs;
  document.title = run.title;
  by("title").textContent = run.title;
  const sentence = by("sentence");
  sentence.classList.toggle("broken", run.failures.length > 0);
  sentence.replaceChildren(...(run.failures.length ? run.failures : ["No rule is broken."]).map((words) => make("p", {}, words)));
  data.runs.forEach((run) => {
    const section = make("section", { class: `run ${run.failures.length ? "fails" : "holds"}` });
    section.append(make("h2", {}, run.name));
    const scroll = make("div", { class: "scroll" });
    const lanes = make("div", { class: "lanes" });
    const svg = make("svg");
    scroll.append(lanes, svg);
    section.append(scroll);
    by("runs").append(section);
    scroll.addEventListener("scroll", () => {
      for (const other of panels) if (other.scroll !== scroll && other.scroll.scrollTop !== scroll.scrollTop) other.scroll.scrollTop = scroll.scrollTop;
      draw();
    });
    svg.addEventListener("pointermove", hover);
    svg.addEventListener("pointerleave", () => (by("hover").hidden = true));
    svg.addEventListener("click", click);
    panels.push({ scroll, lanes, svg });
  });
  for (const [words, colour] of [["frame", "#55606e"], ["request", "#6d4fb3"], ["host", "#0f766e"], ["the message in question", "#0b57d0"], ["lost", "#c2171d"], ["⚡ fault", "#b45309"]]) {
    const entry = make("i", { style: `color: ${colour}` }, `— ${words}`);
    by("legend").append(entry);
  }
  by("to-broken").hidden = run.failures.length === 0;
  by("to-broken").onclick = () => toBroken();
  by("unfilter").onclick = () => filter(null);
  by("beats").onchange = ({ target }) => { state.beats = target.checked; build(); };
  by("all-lanes").onchange = ({ target }) => { state.all = target.checked; build(); };
  addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    by("pinned").hidden = true;
    if (state.message !== null) filter(null);
  });
  addEventListener("resize", build);
  steps();
  build();
  toBroken();
}

start();
