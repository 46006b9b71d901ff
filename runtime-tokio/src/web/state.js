// Everything that the page shows, and who is told when it changes.

/** How much of an id is shown in place of a name, in characters. */
const ID_SHOWN_MAX = 8;

/** For how long a guild takes edits of a message, in milliseconds. */
const EDIT_WINDOW = 15 * 60_000;

export class State {
  me = null;
  /** The channels that the user is in, by id. */
  channels = new Map();
  /** Public channels that the user is not in. */
  others = [];
  /** The id of the channel that is open. */
  current = null;
  /**
   * By channel id: the loaded `Window`, members, turn, canvas, outbox, typing, newest seq read; and what
   * is being written: the draft with its `files` (`{key, name, stored}`, null while it is uploaded), and the
   * `edit` of a message (`{message, text, problem}`).
   */
  rooms = new Map();
  names = new Map();
  statuses = new Map();
  commands = [];
  /** What has happened to the user that no channel can tell; empty where it has been read. */
  notice = "";
  /** The panel that is shown where there is no room for all: `channels`, `details` or none. */
  panel = null;
  connection = { up: false, words: "Connecting…" };
  #views = [];
  #told = false;

  /** `view(state)` is called soon after each change, once for many. */
  watch(view) {
    this.#views.push(view);
  }

  changed() {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const view of this.#views) view(this);
    });
  }

  room(id) {
    if (!this.rooms.has(id)) {
      this.rooms.set(id, {
        window: null, members: [], turn: null, canvas: null, outbox: [], typing: new Map(),
        readSeq: 0, problem: "", draft: "", files: [], replyTo: null, edit: null, mentioned: false,
      });
    }
    return this.rooms.get(id);
  }

  get channel() {
    return this.channels.get(this.current) ?? null;
  }

  get here() {
    return this.current === null ? null : this.room(this.current);
  }

  /** The user's name; where none is known, the beginning of the id. */
  name(userId) {
    return this.names.get(userId) || (userId.length > ID_SHOWN_MAX ? `${userId.slice(0, ID_SHOWN_MAX)}…` : userId);
  }

  /** Whether the guild or Center has told of a user with this id. */
  knows(userId) {
    return this.names.has(userId) || [...this.rooms.values()].some(({ members }) => members.some(({ id }) => id === userId));
  }

  /** Whether anything has been written that neither the guild nor another page has. */
  get hasUnsent() {
    return [...this.rooms.values()].some(({ draft, files, edit, outbox }) =>
      draft.trim() || files.length > 0 || outbox.length > 0 || (edit && edit.text !== edit.message.content));
  }

  /** Whether users take turns in a channel, the open one unless another is named. */
  takesTurns(channel = this.channel) {
    return channel?.xType === "discuss" || channel?.xType === "work";
  }

  /** Whether the guild still takes an edit of this message by the user. */
  canEdit(message) {
    return message.author.id === this.me.id && !message.deletedAt && Date.now() - Date.parse(message.createdAt) < EDIT_WINDOW;
  }

  unread(channel) {
    return Math.max(0, (channel.lastSeq ?? 0) - this.room(channel.id).readSeq);
  }

  /** The channels as they are listed. */
  sorted() {
    const byName = (a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id);
    return [...this.channels.values()].sort(byName);
  }
}
