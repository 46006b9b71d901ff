// The official Socket.IO client, as a peer for the tests: `node client.mjs URL SCENARIO OPTIONS`.
//
// It prints what it sees as JSON lines. It disconnects and stops when its standard input ends, and
// by itself after ten minutes.

import { Manager } from "socket.io-client";

const [url, scenario, options = "{}"] = process.argv.slice(2);
const {
  /** The namespaces to join, all on one connection. */
  namespaces = ["/"],
  /** What the auth callback gives, one after another; the last one again and again. */
  tokens = ["token"],
  /** What the scenario emits, each an array of a name and arguments. */
  events = [],
  /** How long a call waits for its answer. */
  timeout = 60_000,
  /** What the connection may use, in the order in which it is tried. */
  transports = ["websocket"],
  /** Further options of the manager. */
  more = {},
} = JSON.parse(options);

const print = (line) => console.log(JSON.stringify(line));

/** What is done when a namespace is joined. */
const scenarios = {
  stay: () => {},
  leave: (socket) => socket.disconnect(),
  emit: (socket) => events.forEach((event) => socket.emit(...event)),
  call: (socket) =>
    events.forEach(async (event, i) => {
      const answer = await new Promise((resolve) =>
        socket.timeout(timeout).emit(...event, (error, ...args) => resolve(error?.message ?? args)),
      );
      print({ saw: "answer", i, answer });
    }),
  /** Emits what has binary content, and hands an answer that has some back as an event. */
  send_bytes: async (socket) => {
    const [bytes, empty, mark] = [Buffer.from([1, 2, 3]), Buffer.alloc(0), Buffer.from([0x1e])];
    socket.emit("bytes", bytes);
    socket.emit("several", { json: [1] }, mark, empty);
    socket.emit("nested", { a: [{ b: mark }, "text"], c: bytes }, null);
    socket.emit("after", "text");
    socket.emit("back", ...(await socket.timeout(timeout).emitWithAck("question", mark, 7, empty)));
  },
  /** Emits before the namespace is joined: see `join`. */
  emit_early: () => {},
};

function join(manager, namespace) {
  const tell = (saw, more) => print({ saw, namespace, ...more });
  const auth = (give) => give({ token: tokens.length > 1 ? tokens.shift() : tokens[0] });
  const socket = manager.socket(namespace, { auth });
  socket.on("connect", () => {
    tell("connect", { sid: socket.id, recovered: socket.recovered });
    scenarios[scenario](socket);
  });
  socket.on("connect_error", ({ message, data }) =>
    tell("connect_error", { message, data, will_retry: socket.active }),
  );
  socket.on("disconnect", (reason) => tell("disconnect", { reason, will_retry: socket.active }));
  socket.onAny((name, ...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    tell("event", { name, args });
    if (name === "hand_back") {
      socket.emit(...args);
    }
    if (name === "lose") {
      manager.engine.close();
    }
    if (name !== "mute") {
      ack?.(...args);
    }
  });
  if (scenario === "emit_early") {
    events.forEach((event) => socket.emit(...event));
  }
  socket.connect();
  return socket;
}

const manager = new Manager(url, {
  transports,
  autoConnect: false,
  reconnectionDelay: 50,
  reconnectionDelayMax: 100,
  ...more,
});
manager.on("open", () =>
  manager.engine.on("upgrade", ({ name }) => print({ saw: "upgrade", transport: name })),
);
manager.on("reconnect_attempt", (attempt) => print({ saw: "reconnect_attempt", attempt }));
const sockets = namespaces.map((namespace) => join(manager, namespace));

// When all of them have said goodbye, nothing is left that keeps the process.
process.stdin.resume().on("end", () => sockets.forEach((socket) => socket.disconnect()));
setTimeout(() => process.exit(1), 600_000).unref();
