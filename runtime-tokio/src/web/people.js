// Who is meant: the users that somebody has written down, by name or by id.

/** The longest name that a user can have, in characters. */
const NAME_MAX = 64;

/**
 * The ids of those whom `text` names, with commas between them. Names may have commas too: the longest
 * one that somebody has is meant. `find(name)` asks Center; what it has told is remembered.
 */
export async function named(text, state, find) {
  const idOf = async (word) => {
    const known = [...state.names].find(([, name]) => name === word);
    const id = known?.[0] ?? (await find(word));
    if (id !== null) state.names.set(id, word);
    // A member who is nobody would be waited for at its turn: of ids only those count that the guild has told.
    return id ?? (state.knows(word) ? word : null);
  };
  const parts = text.split(",");
  const ids = [];
  while (parts.length > 0) {
    if (!parts[0].trim()) {
      parts.shift();
      continue;
    }
    let id = null;
    let count = parts.length;
    for (; count > 0; count -= 1) {
      const word = parts.slice(0, count).join(",").trim();
      if ([...word].length <= NAME_MAX) id = await idOf(word);
      if (id !== null) break;
    }
    if (id === null) throw new Error(`Nobody is called ${parts[0].trim()}.`);
    ids.push(id);
    parts.splice(0, count);
  }
  return ids;
}
