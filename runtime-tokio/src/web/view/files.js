// Files: those that the next message takes along, and those that messages carry.

import { button, byId, h, list } from "./dom.js";

/** Tells the files of a draft apart, before the guild has named them. */
let nextKey = 0;

/** Takes files by button, paste and drop. */
export function files(fabric, state) {
  const text = byId("text");
  const drop = (room, file) => {
    room.files = room.files.filter((other) => other !== file);
    state.changed();
  };
  const take = async (chosen) => {
    const { here } = state;
    if (!here) return;
    const taken = chosen.map((file) => ({ key: nextKey++, name: file.name || "pasted", stored: null, file }));
    here.files.push(...taken);
    here.problem = "";
    state.changed();
    for (const it of taken) {
      // It may have been removed while those before it were uploaded.
      if (!here.files.includes(it)) continue;
      try {
        it.stored = await fabric.upload(it.file);
        it.file = null;
      } catch (error) {
        here.problem = `${it.name} was not taken: ${error.message}`;
        drop(here, it);
      }
      state.changed();
    }
  };
  byId("attach").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", async (event) => {
    const chosen = [...event.target.files];
    event.target.value = "";
    await take(chosen);
    text.focus();
  });
  text.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    take([...event.clipboardData.files]);
  });
  const carries = (event) => event.dataTransfer.types.includes("Files");
  byId("talk").addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  byId("talk").addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  state.watch(() => {
    const { here } = state;
    byId("attach").disabled = text.disabled || Boolean(here?.edit);
    list(byId("files"), here?.files ?? [], (it) => it.key, (it) => [it.name, it.stored], (it) =>
      h("li", { dir: "auto" }, `${it.name} `, it.stored ? null : h("span", { class: "note" }, "uploading… "),
        button("Remove", () => drop(here, it), { class: "quiet", "aria-label": `Remove ${it.name}` })));
  });
}

/** What a message carries, each to be saved. */
export function attached(fabric, state, attachments) {
  const save = async (it) => {
    const { here } = state;
    try {
      const address = URL.createObjectURL(await fabric.fetchFile(it.id));
      h("a", { href: address, download: it.name || "file" }).click();
      // The browser has taken it over by then.
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      here.problem = `${it.name} cannot be fetched: ${error.message}`;
      state.changed();
    }
  };
  return h("p", { class: "row files" }, ...attachments.map((it) =>
    button(`${it.name} (${size(it.bytes)})`, () => save(it), { dir: "auto", "aria-label": `Save ${it.name}` })));
}

function size(bytes) {
  if (bytes < 1_000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
