// The official Socket.IO server, as a peer for the tests: `node server.mjs OPTIONS [PORT]`.
//
// It prints what it sees as JSON lines, the first of them `{"port": N}`. It stops when its standard
// input ends, and by itself after ten minutes.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "socket.io";

const print = (line) => console.log(JSON.stringify(line));
const bytes = Buffer.from([1, 2, 3]);

/** What a client can tell the server to do, by the name of an event. */
const orders = {
  kick: (socket) => socket.disconnect(),
  hang_up: (socket) => socket.disconnect(true),
  /** Sends `count` events at once. */
  flood: (socket, count) => {
    for (let i = 0; i < count; i += 1) {
      socket.emit("tick", i);
    }
  },
  /** Breaks the connection off without a word of Socket.IO, and tells the namespace meanwhile. */
  cut: (socket, ...missed) => {
    socket.conn.close();
    for (const args of missed) {
      socket.nsp.emit("missed", args);
    }
  },
  /** The same, and the server does not know the membership any more. */
  cut_and_forget: (socket) => {
    socket.conn.close();
    socket.nsp.adapter.sessions?.clear();
  },
  /** Sends an event that a client need not get, and that has no offset. */
  volatile: (socket, ...args) => socket.volatile.emit("now", ...args),
  transport: (socket) => socket.emit("transport", socket.conn.transport.name),
  send_bytes: (socket) => socket.emit("bytes", bytes),
  /** Asks the client a question with attachments, and tells what was answered. */
  ask_bytes: async (socket, ...args) => {
    socket.emit("answers", ...(await socket.timeout(60_000).emitWithAck("question", ...args)));
  },
  /** Asks the client `count` questions at once, and tells what was answered to each. */
  ask: async (socket, count, timeout) => {
    const ask = (i) =>
      socket.timeout(timeout).emitWithAck("question", i).catch((error) => error.message);
    socket.emit("answers", await Promise.all(Array.from({ length: count }, (_, i) => ask(i))));
  },
};

/** How an event is acknowledged where it is not just handed back, by its name. */
const answers = {
  mute: () => {},
  nothing: (ack) => ack(),
  after: async (ack, millis, ...rest) => {
    await sleep(millis);
    ack(millis, ...rest);
  },
};

function admit(socket, next) {
  const { auth } = socket.handshake;
  print({ saw: "auth", namespace: socket.nsp.name, auth });
  const refusal = Object.assign(new Error("unauthorized"), { data: { code: 401, retry: [true] } });
  setTimeout(() => next(auth.token === "bad" ? refusal : undefined), auth.delay ?? 0);
}

function serve(socket) {
  const namespace = socket.nsp.name;
  const { conn, handshake, recovered } = socket;
  const transport = conn.transport.name;
  const { room } = handshake.query;
  const key = handshake.headers["x-key"];
  print({ saw: "connect", namespace, sid: socket.id, transport, recovered, room, key });
  conn.once("upgrade", () => print({ saw: "upgrade", namespace }));
  if (handshake.auth.cut) {
    conn.close();
  }
  socket.on("disconnect", (reason) => print({ saw: "disconnect", namespace, reason }));
  // Without a listener, an emitter throws what is called "error".
  socket.on("error", () => {});
  socket.onAny((name, ...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    print({ saw: "event", namespace, name, size: JSON.stringify(args).length });
    if (ack) {
      (answers[name] ?? ((ack, ...args) => ack(...args)))(ack, ...args);
    } else {
      (orders[name] ?? ((socket, ...args) => socket.emit(name, ...args)))(socket, ...args);
    }
  });
}

const http = createServer();
const io = new Server(http, JSON.parse(process.argv[2] ?? "{}"));
for (const name of ["/", "/realtime"]) {
  io.of(name).use(admit).on("connection", serve);
}
http.listen(Number(process.argv[3] ?? 0), "127.0.0.1", () => print({ port: http.address().port }));

process.stdin.resume().on("end", () => io.close(() => process.exit(0)));
setTimeout(() => process.exit(1), 600_000).unref();
