// The official Socket.IO client as several users of a guild: `node fabric.mjs URL`.
//
// Each line of its standard input is a wish: `{"open": SOCKET, "token": TOKEN}` connects one to
// `/realtime`, `{"emit": SOCKET, "id": ID, "event": [NAME, ...ARGUMENTS]}` emits and waits for the
// ack. What the sockets see is printed as JSON lines. It ends with its input, and by itself after
// ten minutes.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const url = process.argv[2];
const sockets = new Map();
const print = (line) => console.log(JSON.stringify(line));

function open(name, token) {
  const options = { auth: { token }, transports: ["websocket"], forceNew: true, reconnection: false };
  const socket = io(`${url}/realtime`, options);
  sockets.set(name, socket);
  socket.on("connect", () => print({ socket: name, saw: "connect" }));
  socket.on("connect_error", ({ message }) => print({ socket: name, saw: "connect_error", message }));
  socket.on("disconnect", (reason) => print({ socket: name, saw: "disconnect", reason }));
  socket.onAny((event, ...args) => print({ socket: name, saw: "event", event, args }));
}

const wishes = createInterface({ input: process.stdin });
wishes.on("line", (line) => {
  const { open: opened, token, emit, id, event } = JSON.parse(line);
  if (opened) {
    open(opened, token);
  } else {
    sockets.get(emit).emit(...event, (...answer) => print({ socket: emit, saw: "answer", id, answer }));
  }
});
wishes.on("close", () => sockets.forEach((socket) => socket.disconnect()));
setTimeout(() => process.exit(1), 600_000).unref();
