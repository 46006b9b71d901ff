// Two people at the page and an agent hold a round in a discuss channel.
// Argument: JSON of {url, alice: {key}, bob: {password}, agentId, old, chromium, shots}; `old` is the
// number of lines in the channel `archive` of alice.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { PATIENCE, Person, launch, step as play } from "./page.mjs";

const wanted = JSON.parse(process.argv[2]);
const { url, agentId, old, shots } = wanted;

const browser = await launch(wanted.chromium);

const step = (words, does) => play(words, does, people, shots);

/** Who has the turn, in alice's page; whether the wake was seen follows on the next line. */
async function speaker() {
  const words = await alice.page.locator(".current").innerText();
  return words.split("\n")[0];
}

/** Waits until somebody else has the turn than `words` says. */
async function moves(words) {
  for (const until = Date.now() + PATIENCE; Date.now() < until; ) {
    if ((await speaker()) !== words) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`it stays so: ${words}`);
}

const people = [];
let alice, bob;

await step("one logs in with a key and one with a password, and neither is kept", async () => {
  alice = await Person.arrive(browser, "alice", url, "", wanted.alice.key);
  people.push(alice);
  bob = await Person.arrive(browser, "bob", url, "bob", wanted.bob.password);
  people.push(bob);
  assert.equal(await alice.page.evaluate(() => Object.keys(localStorage).length + Object.keys(sessionStorage).length), 0);
});

await step("alice creates a discuss channel with bob and the agent", async () => {
  await alice.click("New");
  const dialog = alice.page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("plans");
  await dialog.getByLabel("Kind").selectOption("discuss");
  await dialog.getByLabel("Members").fill("bob, ecco");
  await alice.page.keyboard.press("Enter");
  await alice.sees("#create-dialog .problem", "Nobody is called ecco.");
  await alice.shoot(shots, "dialog");
  await dialog.getByLabel("Members").fill("bob, echo");
  await alice.page.keyboard.press("Enter");
  await alice.sees("#channel-name", "plans");
  await alice.sees(".current", "Idle");
  await bob.sees(".channel", "plans");
  await bob.click("plans discuss");
  await bob.sees("#members [data-status=online]", "alice");
  await bob.sees("#members [data-status=online]", "echo");
  await alice.sees("#members [data-status=online]", "bob");
});

await step("a message gives the turn to the next one, in both pages", async () => {
  await alice.says("What shall we build?");
  for (const person of people) await person.sees(".message .content", "What shall we build?");
  // The order is alice, bob, echo.
  await bob.sees(".current.mine", "It is your turn");
  await bob.sees(".message .woken", "woke you");
  await alice.sees(".current", "bob has the turn");
  await alice.sees(".current", "has seen the wake");
});

await step("the agent is mentioned by completion, and answers above the round", async () => {
  const { box } = bob;
  await box.pressSequentially("Ask @ec");
  await bob.sees("#completion [role=option]", "@echo");
  await box.press("Enter");
  await box.pressSequentially("about it");
  assert.equal(await box.inputValue(), `Ask <@${agentId}> about it`);
  await box.press("Enter");
  for (const person of people) {
    await person.sees(".message .mention", "@echo");
    await person.sees(".message .content", "echo: Ask");
  }
});

await step("a mention of a person is a frame on the stack, in both pages", async () => {
  await bob.says(`<@${await alice.id}> and you?`);
  await alice.sees(".current.mine", "It is your turn");
  for (const person of people) {
    await person.sees(".depth", "Depth 2/5");
    await person.sees(".stack .speaker.now", "alice");
  }
  await alice.shoot(shots, "turn-alice");
  await bob.shoot(shots, "turn-bob");
});

await step("a message is edited and another deleted, for both", async () => {
  const { box } = alice;
  await alice.says("A brige");
  await bob.sees(".message .content", "A brige");
  await box.press("ArrowUp");
  assert.equal(await box.inputValue(), "A brige");
  await box.fill("A bridge");
  await box.press("Enter");
  for (const person of people) {
    await person.sees(".message .content", "A bridge");
    await person.sees(".message .note", "edited");
  }
  await alice.says("Never mind");
  // The agent may have the turn by now, and repeat it.
  const line = alice.page.locator(".message.own", { hasText: "Never mind" });
  await line.hover();
  await line.getByRole("button", { name: "Delete" }).click();
  for (const person of people) await person.sees(".content.deleted", "deleted");
  await bob.misses(".message .content", /^Never mind$/);
});

await step("everybody passes, or is passed over, until the channel is idle", async () => {
  for (let passes = 0; passes < 12; passes += 1) {
    const words = await speaker();
    if (words.startsWith("Idle")) break;
    // The agent has nothing more to say, and passes by itself.
    if (words.startsWith("It is your")) await alice.click("Pass (/no-reply)");
    if (words.startsWith("bob")) await alice.click("Skip (/force-proceed)");
    await moves(words);
  }
  for (const person of people) await person.sees(".current", "Idle");
});

await step("a document is pinned, and the other sees it", async () => {
  await alice.click("Pin a document");
  const dialog = alice.page.getByRole("dialog");
  await dialog.getByLabel("Title").fill("The plan");
  await dialog.getByLabel("Content").fill("1. <b>Measure</b>\n2. Cut");
  await dialog.getByRole("button", { name: "Pin" }).click();
  await bob.sees(".canvas-title", "The plan");
  await bob.sees("pre.document", "<b>Measure</b>");
  await bob.shoot(shots, "canvas-bob");
});

await step("an HTML document keeps its looks, and runs nothing", async () => {
  await bob.click("Replace");
  const dialog = bob.page.getByRole("dialog");
  await dialog.getByLabel("Format").selectOption("html");
  await dialog.getByLabel("Content").fill(
    "<style>p { color: rgb(1, 2, 3) }</style><p>Drawn</p><script>parent.document.title = document.title = 'run'</script>" +
      "<img src='/page/icon.svg'><a href='/page/style.css'>Away</a>",
  );
  await dialog.getByRole("button", { name: "Pin" }).click();
  const drawn = alice.page.frameLocator("iframe.document").locator("p");
  await drawn.waitFor();
  assert.equal(await drawn.evaluate((p) => getComputedStyle(p).color), "rgb(1, 2, 3)");
  assert.equal(await drawn.evaluate(() => document.title), "");
  // It loads nothing, not even from here, and a link of it leads nowhere.
  const image = alice.page.frameLocator("iframe.document").locator("img");
  assert.equal(await image.evaluate((it) => it.naturalWidth), 0);
  await alice.page.frameLocator("iframe.document").getByText("Away").click();
  await alice.page.waitForTimeout(500);
  assert.equal(await drawn.innerText(), "Drawn");
  assert.equal(await alice.page.locator("iframe.document").getAttribute("sandbox"), "");
});

await step("old messages are loaded page by page, and the newest are one step away", async () => {
  await alice.click("archive report");
  await alice.sees(".message .content", `line ${old}.`);
  await alice.misses(".message .content", "line 1.");
  while (await alice.page.locator("#older").isVisible()) {
    const first = await alice.page.locator(".message").first().getAttribute("data-seq");
    await alice.click("Show older messages");
    await alice.page.locator(`.message[data-seq="${first}"] ~ .message`).first().waitFor();
    await alice.page.locator(`.message:first-child:not([data-seq="${first}"])`).waitFor();
  }
  await alice.sees(".message .content", "line 1.");
  await alice.misses(".message .content", `line ${old}.`);
  await alice.click("Go to the newest messages");
  await alice.sees(".message .content", `line ${old}.`);
  await alice.click("plans discuss");
});

await step("a token that is old, or is refused, is replaced by a new one", async () => {
  let logins = 0;
  alice.page.on("request", (request) => (logins += request.url().endsWith("/api/auth/login") ? 1 : 0));
  await alice.page.clock.fastForward("14:00");
  await alice.says("Fourteen minutes later");
  await bob.sees(".message .content", "Fourteen minutes later");
  await alice.sees("#connection.up");
  assert.equal(logins, 1);
  let refused = 0;
  await alice.page.route("**/messages", (route) => {
    refused += 1;
    return refused > 1 ? route.continue() : route.fulfill({ status: 401, json: { message: "no" } });
  });
  await alice.says("Refused once");
  await bob.sees(".message .content", "Refused once");
  assert.deepEqual([logins, refused], [2, 2]);
  alice.complaints = alice.complaints.filter((words) => !words.includes("401"));
});

await step("a file is sent, and the other saves it", async () => {
  await alice.page.locator("#file").setInputFiles({ name: "plan.txt", mimeType: "text/plain", buffer: Buffer.from("cut twice") });
  await alice.sees("#files li:not(:has(.note))", "plan.txt");
  await alice.says("The plan in full");
  await bob.sees(".message .files", "plan.txt (9 bytes)");
  const [saved] = await Promise.all([bob.page.waitForEvent("download"), bob.click("Save plan.txt")]);
  assert.equal(saved.suggestedFilename(), "plan.txt");
  assert.equal(await readFile(await saved.path(), "utf8"), "cut twice");
});

await step("what is said while the connection is cut appears when it is back", async () => {
  await bob.cut(true);
  await bob.sees("#connection.down");
  await alice.says("Are you there?");
  await alice.says("Never mind, later then");
  await bob.cut(false);
  await bob.sees("#connection.up");
  for (const text of ["Are you there?", "later then"]) await bob.sees(".message .content", text);
});

await step("who closes the page goes offline", async () => {
  await bob.page.close();
  await alice.sees("#members [data-status=offline]", "bob");
});

await step("the page fits a phone, and the dark", async () => {
  await alice.page.emulateMedia({ colorScheme: "dark" });
  await alice.shoot(shots, "dark-alice");
  await alice.page.setViewportSize({ width: 390, height: 780 });
  await alice.click("Details");
  await alice.sees("#members", "echo");
  await alice.shoot(shots, "phone-details");
  await alice.click("Details");
  await alice.shoot(shots, "phone-talk");
  const width = await alice.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `the page is ${width} wide`);
});

await step("no browser complained", async () => {
  for (const person of people) {
    assert.deepEqual(person.complaints, [], person.name);
    assert.ok(person.blocked > 0, person.name);
  }
});

await browser.close();
