// What the page shows is fresh, and stays where one reads.
// Argument: JSON of {url, alice: {key}, bob: {password}, chromium, shots}.

import assert from "node:assert/strict";
import { User } from "./guild.mjs";
import { Person, launch, step as play } from "./page.mjs";

const wanted = JSON.parse(process.argv[2]);
const { url, shots } = wanted;
/** How soon it is seen that somebody has passed, in milliseconds: well before the page looks by habit. */
const SOON = 6_000;

const browser = await launch(wanted.chromium);
const bob = await User.arrive(url, { name: "bob", password: wanted.bob.password });
/** Lets the page hear a heartbeat, so that it stays connected where its clock is put forward. */
let beat;
const alice = await Person.arrive(browser, "alice", url, "", wanted.alice.key, (page) =>
  page.routeWebSocket(/\/socket\.io\//, (socket) => {
    const guild = socket.connectToServer();
    let own = 0;
    beat = () => {
      own += 1;
      socket.send("2");
    };
    socket.onMessage((message) => {
      if (message === "3" && own > 0) own -= 1;
      else guild.send(message);
    });
  }));
const me = await alice.id;
const step = (words, does) => play(words, does, [alice], shots);
const { page } = alice;

const atEnd = () => page.waitForFunction(() => {
  const log = document.getElementById("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 5;
});

await step("a pass of somebody else is seen soon", async () => {
  const round = await bob.create("round", "discuss", me);
  await alice.open("round");
  await alice.says("And you?");
  await alice.sees(".current", "bob has the turn");
  const { wake } = await bob.call("GET", `/channels/${round}/turn`);
  await bob.call("POST", `/channels/${round}/ack`, { messageId: wake.messageId });
  await alice.sees(".current", "has seen the wake");
  await bob.post(round, "/no-reply");
  await alice.sees(".current", "Idle", SOON);
});

await step("a public channel that another makes is listed within a minute", async () => {
  await bob.call("POST", "/channels", { name: "open house", xType: "general", isPublic: true });
  for (let quarters = 0; quarters < 4; quarters += 1) {
    beat();
    await page.clock.fastForward("00:16");
  }
  await alice.sees("#others", "open house");
});

await step("who reads further up is left in peace, and is told that there is more", async () => {
  const busy = await bob.create("busy", "general", me);
  const lines = async (from, to) => {
    for (let line = from; line <= to; line += 1) await bob.post(busy, `line ${line}.`);
  };
  await lines(1, 120);
  await alice.open("busy");
  await alice.sees(".message .content", "line 120.");
  await atEnd();
  const read = page.locator(".message", { hasText: "line 60." });
  await read.evaluate((line) => line.scrollIntoView());
  await alice.sees("#newest");
  const before = await read.boundingBox();
  await lines(121, 420);
  // What comes last is read about, but not taken in.
  await page.waitForFunction(() => document.title === "(300) busy");
  assert.deepEqual(await read.boundingBox(), before);
  assert.ok(await page.locator("#newest").evaluate((it) => {
    const { top, bottom } = it.getBoundingClientRect();
    const log = document.getElementById("log").getBoundingClientRect();
    return top >= log.top && bottom <= log.bottom + 1;
  }));
  await alice.click("Go to the newest messages");
  await alice.sees(".message .content", "line 420.");
  await page.waitForFunction(() => document.title === "busy");
  await atEnd();
});

await step("the end stays in view where the window is made small", async () => {
  for (const [width, height] of [[320, 480], [1280, 800], [320, 640]]) {
    await page.setViewportSize({ width, height });
    await atEnd();
  }
  await bob.post((await bob.call("GET", "/channels")).find(({ name }) => name === "busy").id, "One more.");
  await alice.sees(".message .content", "One more.");
  await atEnd();
});

await step("no browser complained", async () => {
  assert.deepEqual(alice.complaints, []);
});

await browser.close();
