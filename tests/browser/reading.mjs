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
const me = (await User.arrive(url, { apiKey: wanted.alice.key })).id;
const round = await bob.create("round", "discuss", me);
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
const step = (words, does) => play(words, does, [alice], shots);
const { page } = alice;

const atEnd = () => page.waitForFunction(() => {
  const log = document.getElementById("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 5;
});

await step("who has logged in can write at once", async () => {
  await alice.sees("#channel-name", "round");
  await page.waitForFunction(() => document.activeElement.id === "text");
  await page.keyboard.type("And you?");
  assert.equal(await alice.box.inputValue(), "And you?");
});

await step("a pass of somebody else is seen soon", async () => {
  await alice.box.press("Enter");
  const now = await page.locator("#turn-panel [role=status]").elementHandle();
  await alice.sees(".current", "bob has the turn");
  const { wake } = await bob.call("GET", `/channels/${round}/turn`);
  await bob.call("POST", `/channels/${round}/ack`, { messageId: wake.messageId });
  await alice.sees(".current", "has seen the wake");
  await bob.post(round, "/no-reply");
  await alice.sees(".current", "Idle", SOON);
  // A node that is put in anew is not read out.
  assert.ok((await now.innerText()).startsWith("Idle"));
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
  // One change meets the other: the `scroll` event of what grows comes when it is small again.
  for (let time = 0; time < 20; time += 1) {
    for (const [width, height] of [[320, 480], [1280, 800], [320, 640]]) {
      await page.setViewportSize({ width, height });
      await atEnd();
    }
  }
  await bob.post((await bob.call("GET", "/channels")).find(({ name }) => name === "busy").id, "One more.");
  await alice.sees(".message .content", "One more.");
  await atEnd();
});

await step("what a panel covers cannot be reached, and Escape closes the panel", async () => {
  await page.setViewportSize({ width: 390, height: 780 });
  const isInert = () => page.locator("#composer").evaluate((it) => it.inert);
  for (const [side, panel] of [["Channels", "#side"], ["Details", "#details"]]) {
    const toggle = page.getByRole("button", { name: side, exact: true });
    assert.equal(await toggle.getAttribute("aria-expanded"), "false");
    await toggle.click();
    await page.locator(panel).waitFor();
    assert.equal(await toggle.getAttribute("aria-expanded"), "true");
    assert.ok(await isInert());
    await page.keyboard.press("Escape");
    await page.locator(panel).waitFor({ state: "hidden" });
    assert.equal(await toggle.getAttribute("aria-expanded"), "false");
    assert.ok(await toggle.evaluate((it) => it === document.activeElement));
    assert.ok(!(await isInert()));
  }
  await alice.click("Details");
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.waitForFunction(() => !document.getElementById("composer").inert);
});

await step("the text box says nothing that a text box cannot be, and text runs as it is written", async () => {
  for (const name of ["role", "aria-expanded"]) assert.equal(await alice.box.getAttribute(name), null, name);
  await alice.says("שלום");
  // What is drawn anew meanwhile has no style once it is taken out.
  await page.waitForFunction(() => [...document.querySelectorAll(".message:not(.waiting) .content")]
    .some((it) => it.textContent === "שלום" && getComputedStyle(it).direction === "rtl"));
});

await step("what the guild would refuse to edit is not offered for it", async () => {
  const edit = page.locator(".message.own", { hasText: "שלום" }).getByRole("button", { name: /^Edit/ });
  await edit.waitFor();
  await page.clock.fastForward("15:01");
  await edit.waitFor({ state: "detached" });
  await alice.sees("#connection.up");
  await alice.box.press("ArrowUp");
  await page.locator("#mode").waitFor({ state: "hidden" });
});

await step("no browser complained", async () => {
  assert.deepEqual(alice.complaints, []);
});

await browser.close();
