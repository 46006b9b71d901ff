// The official servers as the conformance suites want them:
// `node conformance.mjs --engineio ADDR --socketio ADDR [--ping-timeout MS] [--connect-timeout MS]`.
//
// It prints one JSON line with the addresses that it serves on. It stops when its standard input
// ends, and by itself after ten minutes.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server as Engine } from "engine.io";
import { Server } from "socket.io";

const { values } = parseArgs({
  options: {
    engineio: { type: "string" },
    socketio: { type: "string" },
    "ping-timeout": { type: "string", default: "200" },
    "connect-timeout": { type: "string", default: "1000" },
  },
});
const settings = {
  pingInterval: 300,
  pingTimeout: Number(values["ping-timeout"]),
  maxHttpBufferSize: 1_000_000,
};

/** Engine.IO: every message comes back, text and binary. */
function engineio(http) {
  const engine = new Engine(settings);
  engine.attach(http, { path: "/engine.io/" });
  engine.on("connection", (socket) => socket.on("data", (data) => socket.send(data)));
}

/** Socket.IO: two namespaces that tell the auth, and hand back what they get. */
function socketio(http) {
  const io = new Server(http, { ...settings, connectTimeout: Number(values["connect-timeout"]) });
  for (const name of ["/", "/custom"]) {
    io.of(name).on("connection", (socket) => {
      socket.emit("auth", socket.handshake.auth);
      socket.on("message", (...args) => socket.emit("message-back", ...args));
      socket.on("message-with-ack", (...args) => args.pop()(...args));
    });
  }
}

/** Serves at `address`, "HOST:PORT", and says where that is when the port was 0. */
function listen(serve, address) {
  const http = createServer();
  serve(http);
  const { hostname, port } = new URL(`http://${address}`);
  return new Promise((resolve) => {
    http.listen(Number(port), hostname, () => resolve(`${hostname}:${http.address().port}`));
  });
}

const serving = {
  engineio: await listen(engineio, values.engineio),
  socketio: await listen(socketio, values.socketio),
};
console.log(JSON.stringify(serving));

process.stdin.resume().on("end", () => process.exit(0));
setTimeout(() => process.exit(1), 600_000).unref();
