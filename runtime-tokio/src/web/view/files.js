// Files: those that the next message takes along, and those that messages carry.

import { button, byId, h, list, tell } from "./dom.js";

/** Takes files by button, paste and drop. */
export function files(fabric, state) {
  const text = byId("text");
  const problem = (words) => tell(byId("file-problem"), words);
  const take = async (chosen) => {
    const { here } = state;
    problem("");
    for (const file of here ? chosen : []) {
      try {
        here.files.push(await fabric.upload(file));
      } catch (error) {
        problem(`${file.name} was not taken: ${error.message}`);
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
    byId("attach").disabled = text.disabled || Boolean(state.here?.editing);
    list(byId("files"), state.here?.files ?? [], (it) => it.id, (it) => it, (it) =>
      h("li", null, `${it.name} `, button("Remove", () => {
        state.here.files = state.here.files.filter((other) => other.id !== it.id);
        state.changed();
      }, { class: "quiet", "aria-label": `Remove ${it.name}` })));
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
    button(`${it.name} (${size(it.bytes)})`, () => save(it), { "aria-label": `Save ${it.name}` })));
}

function size(bytes) {
  if (bytes < 1_000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
