// What the page does: carries wishes to the guild, and what the guild says into the state.

import { ApiError } from "./api.js";
import { Realtime } from "./realtime.js";
import { byId } from "./view/dom.js";
import { MESSAGES_MAX, Window } from "./window.js";

/** How long pushes may gather before the turn is read again, in milliseconds. */
const SOON = 120;
/** How often the turn and the members are read while the page is looked at. */
const LOOK_EVERY = 10_000;
/** How often while a round is looked at: that somebody passed, or has seen a wake, is not pushed. */
const LOOK_AT_ROUND_EVERY = 2_000;
/** How often the channels are listed: that others have made public ones is not pushed either. */
const LIST_EVERY = 60_000;
/** How often it is told that the user types, and how long that is shown. */
const TYPING_EVERY = 3_000;
const TYPING_SHOWN = 5_000;
const PAGE = 100;

export class Fabric {
  #state;
  #api;
  #realtime;
  #soon = null;
  #look = null;
  #listing = null;
  #typedAt = 0;
  #filling = new Map();
  /** By channel: the end of the row of its posts. */
  #posts = new Map();
  /** The channels that the user itself is leaving. */
  #leaving = new Set();

  constructor(state, api, session) {
    this.#state = state;
    this.#api = api;
    const message = (body) => this.#onMessage(body);
    const listing = () => this.#act(this.#list());
    this.#realtime = new Realtime(session, {
      connect: () => this.#act(this.#onConnect()),
      down: (words) => this.#connection(false, words),
      "message.created": message,
      "message.updated": message,
      "message.deleted": message,
      "canvas.updated": (canvas) => this.#setCanvas(canvas.channelId, canvas),
      "canvas.removed": ({ channelId }) => this.#setCanvas(channelId, null),
      "channel.joined": listing,
      "channel.left": listing,
      "channel.updated": (channel) => this.#onChannel(channel),
      presence: ({ userId, status }) => {
        state.statuses.set(userId, status);
        state.changed();
      },
      typing: ({ channelId, userId }) => this.#onTyping(channelId, userId),
    });
  }

  start() {
    this.#realtime.connect();
    document.addEventListener("visibilitychange", this.#onVisible);
    window.addEventListener("focus", this.#onVisible);
    this.#listing = setInterval(() => {
      if (this.#state.connection.up) this.#act(this.#list());
    }, LIST_EVERY);
  }

  stop() {
    this.#realtime.close();
    clearTimeout(this.#look);
    clearTimeout(this.#soon);
    clearInterval(this.#listing);
    document.removeEventListener("visibilitychange", this.#onVisible);
    window.removeEventListener("focus", this.#onVisible);
  }

  #onVisible = () => {
    this.read();
    this.#refreshSoon();
  };

  // --- what the guild says ---

  async #onConnect() {
    this.#connection(true, "Connected");
    this.#realtime.ask("presence", { status: "online" });
    for (const [id, room] of this.#state.rooms) {
      if (id !== this.#state.current) room.window = null;
    }
    await Promise.all([this.#list(true), this.#readCommands()]);
    const id = this.#state.current;
    if (id && this.#state.channels.has(id)) await this.#refresh(id);
    else if (this.#state.channels.size > 0) await this.open(this.#state.sorted()[0].id);
  }

  #connection(up, words) {
    this.#state.connection = { up, words };
    this.#state.changed();
  }

  /** Reads which channels there are, and enters the rooms of those that are new here. */
  async #list(all = false) {
    const state = this.#state;
    const [own, open] = await Promise.all([
      this.#api.get("/channels"),
      this.#api.get("/channels?public=true"),
    ]);
    const known = state.channels;
    const first = known.size === 0 && all;
    for (const channel of own) {
      // Pushes may have been faster than the answer.
      channel.lastSeq = Math.max(channel.lastSeq ?? 0, known.get(channel.id)?.lastSeq ?? 0);
    }
    state.channels = new Map(own.map((channel) => [channel.id, channel]));
    state.others = open.filter((channel) => !state.channels.has(channel.id));
    const fresh = own.filter((channel) => !known.has(channel.id));
    for (const channel of fresh) {
      const room = state.room(channel.id);
      room.readSeq = (first ? channel.lastSeq : channel.joinedSeq) ?? 0;
      room.window = null;
    }
    for (const { id, name } of known.values()) {
      if (state.channels.has(id)) continue;
      state.rooms.delete(id);
      if (!this.#leaving.delete(id)) state.notice = `You are not a member of ${name || "a channel"} any more.`;
    }
    if (!state.channels.has(state.current)) state.current = null;
    state.changed();
    await Promise.all((all ? own : fresh).map((channel) => this.#join(channel.id)));
    this.#refreshSoon();
  }

  async #join(channelId) {
    const answer = await this.#realtime.ask("join_channel", { channelId });
    if (!answer.ok) return;
    const channel = this.#state.channels.get(channelId);
    if (channel) channel.lastSeq = Math.max(channel.lastSeq ?? 0, answer.lastSeq ?? 0);
    if (this.#state.rooms.get(channelId)?.window) await this.#backfill(channelId);
    this.#state.changed();
  }

  #onMessage(message) {
    const state = this.#state;
    const channel = state.channels.get(message.channelId);
    if (!channel) return;
    const room = state.room(channel.id);
    state.names.set(message.author.id, message.author.name);
    const isNew = message.seq > (channel.lastSeq ?? 0);
    channel.lastSeq = Math.max(channel.lastSeq ?? 0, message.seq);
    if (isNew && message.author.id === state.me.id && room.readSeq === message.seq - 1) {
      room.readSeq = message.seq;
    }
    if (isNew && message.mentions.includes(state.me.id)) room.mentioned = true;
    if (isNew) room.typing.delete(message.author.id);
    room.outbox = room.outbox.filter((waiting) => waiting.nonce !== message.nonce);
    if (room.window && !room.window.take(message)) this.#act(this.#backfill(channel.id));
    this.read();
    if (channel.id === state.current) this.#refreshSoon();
    state.changed();
  }

  #onChannel(channel) {
    const held = this.#state.channels.get(channel.id);
    if (!held) return;
    const { name, closed, isPublic, memberCount, wakeMapping } = channel;
    Object.assign(held, { name, closed, isPublic, memberCount, wakeMapping });
    this.#refreshSoon();
    this.#state.changed();
  }

  #onTyping(channelId, userId) {
    const room = this.#state.rooms.get(channelId);
    if (!room || userId === this.#state.me.id) return;
    clearTimeout(room.typing.get(userId));
    const over = () => {
      room.typing.delete(userId);
      this.#state.changed();
    };
    room.typing.set(userId, setTimeout(over, TYPING_SHOWN));
    this.#state.changed();
  }

  #setCanvas(channelId, canvas) {
    this.#state.room(channelId).canvas = canvas;
    this.#state.changed();
  }

  // --- reading ---

  /** Opens a channel, at its end. */
  async open(channelId) {
    const state = this.#state;
    const room = state.room(channelId);
    if (!room.window?.atEnd) room.window = null;
    else room.window.follows = true;
    state.current = channelId;
    state.changed();
    await this.#refresh(channelId).catch((error) => this.#complain(channelId, error));
  }

  /** Reads everything about a channel again; what was loaded stays in view. */
  async #refresh(channelId) {
    const { window } = this.#state.room(channelId);
    const canvas = this.#api.get(`/channels/${channelId}/canvas`).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    const messages = window?.last ? this.#reread(channelId, window) : this.newest(channelId);
    const [pinned] = await Promise.all([canvas, messages, this.#readTurn(channelId)]);
    this.#setCanvas(channelId, pinned);
    this.read();
  }

  /** Goes to the end of the open channel. */
  toEnd() {
    const { current, here } = this.#state;
    if (!here.window.atEnd) return this.#act(this.newest(current));
    here.window.follows = true;
    this.read();
    this.#state.changed();
  }

  /** Reads the newest messages in place of those that are held. */
  async newest(channelId) {
    const page = await this.#history(channelId, `limit=${PAGE}`);
    const room = this.#state.room(channelId);
    room.window = new Window();
    room.window.reset(page);
    this.read();
    this.#state.changed();
  }

  /** What was edited or deleted meanwhile, and then what is new. */
  async #reread(channelId, window) {
    const page = await this.#history(channelId, `beforeSeq=${window.last + 1}&limit=200`);
    for (const message of page.messages) window.take(message);
    await this.#backfill(channelId);
  }

  async older() {
    const { current, here } = this.#state;
    const { window } = here;
    window.follows = false;
    await this.#act(this.#history(current, `beforeSeq=${window.first}&limit=${PAGE}`).then((page) => {
      window.prepend(page);
      this.#state.changed();
    }));
  }

  /** Reads what is missing at the end; once at a time for each channel. */
  #backfill(channelId) {
    const running = this.#filling.get(channelId);
    if (running) return running;
    const filling = this.#fill(channelId).finally(() => this.#filling.delete(channelId));
    this.#filling.set(channelId, filling);
    return filling;
  }

  async #fill(channelId) {
    const { window } = this.#state.room(channelId);
    const channel = this.#state.channels.get(channelId);
    while (window?.atEnd && channel && window.last < channel.lastSeq) {
      if (window.follows && channel.lastSeq - window.last > MESSAGES_MAX) return this.newest(channelId);
      const page = await this.#history(channelId, `afterSeq=${window.last}&limit=200`);
      for (const message of page.messages) window.take(message);
      this.#state.changed();
      if (page.messages.length === 0) return;
    }
    this.read();
  }

  async #history(channelId, query) {
    const page = await this.#api.get(`/channels/${channelId}/messages?${query}`);
    for (const { author } of page.messages) this.#state.names.set(author.id, author.name);
    const channel = this.#state.channels.get(channelId);
    const last = page.messages.at(-1)?.seq ?? 0;
    if (channel) channel.lastSeq = Math.max(channel.lastSeq ?? 0, last);
    return page;
  }

  #refreshSoon() {
    if (this.#soon || document.hidden) return;
    clearTimeout(this.#look);
    this.#soon = setTimeout(async () => {
      this.#soon = null;
      const { current, connection } = this.#state;
      if (current && connection.up) await this.#act(this.#readTurn(current));
      const isRound = this.#state.here?.turn?.phase === "active" && byId("turn-panel").checkVisibility();
      clearTimeout(this.#look);
      this.#look = setTimeout(() => this.#refreshSoon(), isRound ? LOOK_AT_ROUND_EVERY : LOOK_EVERY);
    }, SOON);
  }

  /** Members and turn: neither has a push of its own. */
  async #readTurn(channelId) {
    const state = this.#state;
    const takesTurns = state.takesTurns(state.channels.get(channelId) ?? null);
    const [members, turn] = await Promise.all([
      this.#api.get(`/channels/${channelId}/members`),
      takesTurns ? this.#api.get(`/channels/${channelId}/turn`) : null,
    ]);
    const room = state.room(channelId);
    room.members = members;
    for (const { id, name, status } of members) {
      // Of who has never been here the guild knows no name; Center may have told it.
      if (name && name !== id) state.names.set(id, name);
      // Of who has never said how it is, nothing is known: agents need not say it.
      if (status || state.statuses.has(id)) state.statuses.set(id, status ?? "offline");
    }
    room.turn = turn;
    state.changed();
    await this.#ack(channelId, turn);
  }

  /** The user is looked at by its wake: says so. */
  async #ack(channelId, turn) {
    const mine = turn?.wake?.userId === this.#state.me.id && !turn.wake.acked;
    if (!mine || document.hidden || channelId !== this.#state.current) return;
    const { messageId } = turn.wake;
    // Refused where the turn has moved on meanwhile: then there is nothing to say.
    await this.#api.call("POST", `/channels/${channelId}/ack`, { messageId }).then(
      () => (turn.wake.acked = true),
      () => {},
    );
    this.#state.changed();
  }

  async #readCommands() {
    const listed = await this.#api.get("/commands").catch(() => []);
    this.#state.commands = listed.filter((command) => typeof command.name === "string");
  }

  /** What is on the screen counts as read, where that is the end. */
  read() {
    const { channel, here } = this.#state;
    if (!channel || document.hidden || !here.window?.atEnd || !here.window.follows) return;
    if (here.readSeq >= here.window.last && !here.mentioned) return;
    here.readSeq = Math.max(here.readSeq, here.window.last);
    here.mentioned = false;
    this.#state.changed();
  }

  // --- what the user wants ---

  /** Posts into the channel that is open; it waits in the outbox until the guild has it. */
  post(content, replyToId, attachments = []) {
    const { current, here } = this.#state;
    const waiting = { nonce: crypto.randomUUID?.() ?? nonce(), content, replyToId, attachments, problem: "" };
    here.outbox.push(waiting);
    if (here.window) this.toEnd();
    this.again(current, waiting);
  }

  again(channelId, waiting) {
    waiting.problem = "";
    this.#state.changed();
    // One after another: the posts of a channel keep their order.
    const before = this.#posts.get(channelId) ?? Promise.resolve();
    this.#posts.set(channelId, before.then(() => this.#deliver(channelId, waiting)));
  }

  drop(channelId, waiting) {
    const room = this.#state.room(channelId);
    room.outbox = room.outbox.filter((other) => other !== waiting);
    this.#state.changed();
  }

  async #deliver(channelId, waiting) {
    const { nonce, content, replyToId, attachments } = waiting;
    const body = { content, nonce };
    if (replyToId) body.replyToId = replyToId;
    if (attachments.length > 0) body.attachments = attachments.map(({ id }) => ({ id }));
    try {
      const answer = await this.#api.post(channelId, body);
      this.drop(channelId, waiting);
      if (answer.command) {
        this.#state.room(channelId).turn = answer.turn;
        this.#refreshSoon();
      } else {
        this.#onMessage(answer);
      }
    } catch (error) {
      waiting.problem = error.message;
    }
    this.#state.changed();
  }

  async edit(message, content) {
    this.#onMessage(await this.#api.call("PATCH", `/messages/${message.id}`, { content }));
  }

  remove(message) {
    return this.#act(this.#api.call("DELETE", `/messages/${message.id}`).then((deleted) => {
      if (deleted?.id) this.#onMessage(deleted);
    }));
  }

  /** Stores a file; it belongs to nobody until a message names it. */
  upload(file) {
    const form = new FormData();
    form.append("file", file, file.name || "pasted");
    return this.#api.call("POST", "/files", form);
  }

  /** The bytes of a file, whatever its type says: as something to be saved. */
  async fetchFile(id) {
    const answer = await this.#api.send("GET", `/files/${id}`);
    return answer.blob();
  }

  typing() {
    if (Date.now() - this.#typedAt < TYPING_EVERY) return;
    this.#typedAt = Date.now();
    this.#realtime.ask("typing", { channelId: this.#state.current });
  }

  bypass(userId, bypass) {
    const path = `/channels/${this.#state.current}/turn/bypass`;
    return this.#act(this.#api.call("POST", path, { userId, bypass }).then(() => this.#refreshSoon()));
  }

  async create(channel) {
    const made = await this.#api.call("POST", "/channels", channel);
    await this.#list();
    await this.open(made.id);
  }

  join(channelId) {
    const joined = async () => {
      await this.#api.call("POST", `/channels/${channelId}/join`, {});
      await this.#list();
      await this.open(channelId);
    };
    return this.#act(joined());
  }

  leave() {
    const { current } = this.#state;
    const left = async () => {
      // Before the guild tells that it is so.
      this.#leaving.add(current);
      await this.#api.call("POST", `/channels/${current}/leave`, {});
      await this.#list();
    };
    return this.#act(left());
  }

  close(closed) {
    const path = `/channels/${this.#state.current}`;
    return this.#act(this.#api.call("PATCH", path, { closed }).then((channel) => this.#onChannel(channel)));
  }

  async addMember(channelId, userId) {
    await this.#api.call("POST", `/channels/${channelId}/members`, { userId });
    this.#refreshSoon();
  }

  /** Pins a document, or changes the pinned one. */
  async pin(channelId, canvas, isNew) {
    const pinned = await this.#api.call(isNew ? "PUT" : "PATCH", `/channels/${channelId}/canvas`, canvas);
    this.#setCanvas(channelId, pinned);
  }

  unpin() {
    const { current } = this.#state;
    const unpinned = this.#api.call("DELETE", `/channels/${current}/canvas`);
    return this.#act(unpinned.then(() => this.#setCanvas(current, null)));
  }

  // --- problems ---

  /** Shows in words why something did not work, in the channel that was open when it began. */
  async #act(work) {
    const { current } = this.#state;
    try {
      await work;
    } catch (error) {
      this.#complain(current, error);
    }
  }

  #complain(channelId, error) {
    if (!(error instanceof ApiError)) console.error(error);
    if (channelId === null) this.#connection(this.#state.connection.up, error.message);
    else this.#state.room(channelId).problem = error.message;
    this.#state.changed();
  }
}

/** Where the page is not served over TLS, browsers have no `randomUUID`. */
function nonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
