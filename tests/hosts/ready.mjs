// The plugin for a host that starts it, calls one tool at once, and ends it: a call waits until the
// plugin is ready for it.
//
// Arguments: the address of the plugin's status, what to wait for ("live" or "turn"), and the plugin's
// command.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [status, awaited, command, ...args] = process.argv.slice(2);
const plugin = spawn(command, args, { stdio: ["pipe", "inherit", "inherit"] });
plugin.on("exit", () => process.exit());

// The plugin is not there yet, or not ready: the host has the patience.
const asked = async (path, read) => {
  try {
    return await read(await fetch(`${status}${path}`));
  } catch {
    return false;
  }
};
const busy = async (answer) => {
  const { agents } = await answer.json();
  return agents.some(({ guilds }) => guilds.some(({ busy }) => busy.some(({ turn }) => turn)));
};
const look = {
  live: () => asked("/readyz", ({ ok }) => ok),
  turn: async () => (await look.live()) && asked("/status", busy),
};
const pause = (ms) => new Promise((then) => setTimeout(then, ms));

for await (const line of createInterface({ input: process.stdin })) {
  if (JSON.parse(line).method === "tools/call") {
    while (!(await look[awaited]())) await pause(20);
  }
  plugin.stdin.write(`${line}\n`);
}
// What follows from the end of a turn is on its way; the host kills what does not end in 2 seconds.
if (awaited === "turn") await pause(500);
plugin.stdin.end();
