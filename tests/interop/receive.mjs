// The official Socket.IO client, for the bench of receiving: `node receive.mjs PORT MESSAGES`.
//
// It says `done` and the sum of all `seq` whenever it has so many messages more, and stops when its
// standard input ends.

import { io } from "socket.io-client";

const [port, messages] = process.argv.slice(2).map(Number);
let got = 0;
let sum = 0;
const socket = io(`http://127.0.0.1:${port}/realtime`, {
  transports: ["websocket"],
  auth: { token: "t" },
});
socket.on("message.created", ({ seq }) => {
  sum += seq;
  got += 1;
  if (got === messages) {
    console.log(`done ${sum}`);
    got = 0;
  }
});

process.stdin.resume().on("end", () => process.exit(0));
