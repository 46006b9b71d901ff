// A host of the plugin on the official SDK for TypeScript: it echoes every message and ends its turn.
//
// Arguments: the plugin's command, as a JSON array. It says what it sees in lines of JSON, and ends
// when its input does.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = JSON.parse(process.argv[2]);
const say = (line) => console.log(JSON.stringify(line));

const client = new Client(
  { name: "typescript", version: "0" },
  { capabilities: { experimental: { "selvedge/turns": {} } } },
);

const call = async (name, wanted) => {
  const result = await client.callTool({ name, arguments: wanted });
  return result.isError ? { failed: result.content[0].text } : result.structuredContent;
};

// What both profiles hand over, alike.
const inbounds = {
  "notifications/plexum/channel/inbound": ({ turn_id, channel, messages }) => {
    const { id, content } = messages.at(-1);
    return { turn_id, channel_id: channel.id, reply_to: id, content };
  },
  "notifications/claude/channel": ({ content, meta }) => {
    const { turn_id, channel_id, message_id } = meta;
    return { turn_id, channel_id, reply_to: message_id, content };
  },
};

client.fallbackNotificationHandler = async ({ method, params }) => {
  if (!(method in inbounds)) return;
  const { turn_id, content, ...where } = inbounds[method](params);
  say({ method, content });
  const sent = await call("send", { ...where, content: `echo: ${content}` });
  const done = await call("turn_done", { turn_id });
  say({ sent: sent.message_id, done: done.done });
};

await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const { tools } = await client.listTools();
say({
  server: client.getServerVersion().name,
  experimental: client.getServerCapabilities().experimental ?? {},
  tools: tools.length,
});

const pause = () => new Promise((then) => setTimeout(then, 50));
let made;
do {
  await pause();
  made = await call("create_channel", { name: "lobby", x_type: "general", is_public: true });
} while (made.failed);
let live = false;
while (!live) {
  await pause();
  const { channels } = await call("list_channels", {});
  live = channels.some((known) => known.channel_id === made.channel_id && known.live);
}
say({ lobby: made.channel_id });

process.stdin.on("end", async () => {
  await client.close();
  process.exit(0);
});
process.stdin.resume();
