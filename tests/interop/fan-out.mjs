// The official Socket.IO server with a room, for the bench of fan-out: `node fan-out.mjs`.
//
// It prints its port, and stops when its standard input ends.

import { createServer } from "node:http";
import { Server } from "socket.io";

const message = (content) => ({
  id: "c0123456789abcdef-1000",
  channelId: "c0123456789abcdef",
  guildId: "local",
  seq: 1000,
  author: { id: "u_0123456789abcdefghij", name: "user-1" },
  content,
  replyToId: null,
  mentions: [],
  attachments: [],
  createdAt: "2026-01-01T00:00:00.000Z",
  editedAt: null,
  deletedAt: null,
  nonce: null,
  wakeup: true,
});

const http = createServer();
const realtime = new Server(http, { serveClient: false }).of("/realtime");
realtime.on("connection", (socket) => {
  socket.on("join_channel", (_, answer) => {
    socket.join("room");
    answer({ ok: true });
  });
  socket.on("post", ({ content }) => realtime.to("room").emit("message.created", message(content)));
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));

process.stdin.resume().on("end", () => process.exit(0));
