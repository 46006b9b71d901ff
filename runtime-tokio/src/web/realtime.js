// The guild node's pushes: one Socket.IO connection that outlives its transports and its tokens.

import { io } from "./vendor/socket.io.esm.min.js";

/** How long an ack may take, in milliseconds. */
const PATIENCE = 10_000;
/** How long to wait before a connection that the guild has refused or ended is made again. */
const PAUSE = 2_000;

const PUSHES = [
  "message.created", "message.updated", "message.deleted", "canvas.updated", "canvas.removed",
  "channel.updated", "channel.joined", "channel.left", "presence", "typing",
];

export class Realtime {
  #socket;
  #again = null;

  /** `heard` has a function for each push, by its name, and `connect` and `down`. */
  constructor(session, heard) {
    const token = async (give) => {
      for (;;) {
        try {
          return give({ token: await session.token() });
        } catch (error) {
          heard.down(error.message);
          await new Promise((done) => setTimeout(done, PAUSE));
        }
      }
    };
    this.#socket = io("/realtime", { auth: token, reconnectionDelayMax: 5_000, autoConnect: false });
    this.#socket.on("connect", () => heard.connect());
    this.#socket.on("disconnect", (why) => {
      heard.down("The connection to the guild is lost; trying again.");
      if (why === "io server disconnect") this.#connectLater();
    });
    this.#socket.on("connect_error", (error) => {
      if (error.message === "unauthorized") session.forget();
      heard.down("The guild cannot be reached; trying again.");
      // The client tries again by itself unless it was the guild that refused.
      if (!this.#socket.active) this.#connectLater();
    });
    // The client notices by itself that the network is gone, and then waits for its next try.
    window.addEventListener("online", this.#online);
    for (const push of PUSHES) this.#socket.on(push, (body) => heard[push](body));
  }

  connect() {
    this.#socket.connect();
  }

  close() {
    clearTimeout(this.#again);
    window.removeEventListener("online", this.#online);
    this.#socket.close();
  }

  #online = () => {
    if (!this.#socket.connected) this.#socket.disconnect().connect();
  };

  /** The guild's answer; `{ok: false}` where there is none. */
  async ask(event, body) {
    const nothing = { ok: false, error: "no answer" };
    if (!this.#socket.connected) return nothing;
    const answer = await this.#socket.timeout(PATIENCE).emitWithAck(event, body).catch(() => nothing);
    // A socket is judged by the token it connected with: only a new connection has a new one.
    if (answer.error === "token_expired") this.#socket.disconnect().connect();
    return answer;
  }

  #connectLater() {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#socket.connect(), PAUSE);
  }
}
