// What people write at the page goes where they meant it, and none of it is lost.
// Argument: JSON of {url, alice: {key}, bob: {password}, chromium, shots}.

import assert from "node:assert/strict";
import { User } from "./guild.mjs";
import { Person, launch, step as play } from "./page.mjs";

const wanted = JSON.parse(process.argv[2]);
const { url, shots } = wanted;

const browser = await launch(wanted.chromium);
const bob = await User.arrive(url, { name: "bob", password: wanted.bob.password });
const alice = await Person.arrive(browser, "alice", url, "", wanted.alice.key);
const me = await alice.id;
const step = (words, does) => play(words, does, [alice], shots);

const { page } = alice;
const dialog = page.getByRole("dialog");

/** What every request to `pattern` waits for, until `release` is called. */
async function hold(pattern, method) {
  let release;
  const released = new Promise((done) => (release = done));
  await page.route(pattern, async (route) => {
    if (route.request().method() === method) await released;
    await route.fallback();
  });
  return release;
}

/** What is refused on purpose, a browser prints. */
const forgive = (words) => {
  alice.complaints = alice.complaints.filter((complaint) => !complaint.includes(words));
};

const first = await bob.create("first", "general", me);
const second = await bob.create("second", "general", me);
for (const name of ["first", "second"]) await alice.sees(".channel", name);

await step("a document goes to the channel in which its form was opened", async () => {
  await alice.open("first");
  await alice.click("Pin a document");
  await dialog.getByLabel("Title").fill("Of the first");
  await dialog.getByLabel("Content").fill("Text");
  await page.keyboard.press("Alt+ArrowDown");
  await dialog.getByRole("button", { name: "Pin" }).click();
  await dialog.waitFor({ state: "hidden" });
  assert.equal((await bob.call("GET", `/channels/${first}/canvas`)).title, "Of the first");
  await alice.sees("#channel-name", "first");
});

let third;
await step("who is taken out of a channel is told so, and its form is closed", async () => {
  third = await bob.create("third", "general", me);
  await alice.open("third");
  await alice.click("Add");
  await dialog.getByLabel("Members").fill("echo");
  await bob.call("DELETE", `/channels/${third}/members/${me}`);
  await alice.sees("#problem", "You are not a member of third any more.");
  await dialog.waitFor({ state: "hidden" });
  assert.ok(await page.getByRole("button", { name: "Pin a document" }).isDisabled());
  await alice.click("Dismiss");
  await alice.open("first");
});

await step("a message waits for its files", async () => {
  const release = await hold("**/api/files", "POST");
  const file = (name) => ({ name, mimeType: "text/plain", buffer: Buffer.from(name) });
  await page.locator("#file").setInputFiles([file("one.txt"), file("two.txt"), file("three.txt")]);
  await alice.sees("#files li", "three.txt uploading…");
  await alice.says("With a file");
  await alice.sees("#problem", "one.txt is still being uploaded");
  assert.equal(await alice.box.inputValue(), "With a file");
  await alice.click("Remove two.txt");
  release();
  await page.locator("#files .note").first().waitFor({ state: "detached" });
  await page.locator("#files li:nth-child(2):not(:has(.note))").waitFor();
  await alice.box.press("Enter");
  await alice.sees(".message .files", "one.txt (7 bytes)");
  await alice.sees(".message .files", "three.txt (9 bytes)");
  const { messages } = await bob.call("GET", `/channels/${first}/messages`);
  assert.deepEqual(messages.at(-1).attachments.map(({ name }) => name), ["one.txt", "three.txt"]);
});

await step("what could not be sent comes back, and stays with its channel", async () => {
  await page.route("**/messages", (route) => route.fulfill({ status: 400, json: { message: "not so" } }));
  await alice.says("Not sent");
  await alice.sees(".message .problem", "not so");
  await page.unroute("**/messages");
  forgive("400");
  await alice.click("Back to the editor");
  await alice.open("second");
  assert.equal(await alice.box.inputValue(), "");
  await alice.open("first");
  assert.equal(await alice.box.inputValue(), "Not sent");
});

await step("a half-written edit and the draft beside it are both kept", async () => {
  await page.locator(".message.own").hover();
  await alice.click(/^Edit the message/);
  await alice.box.fill("With two files");
  await alice.open("second");
  await alice.open("first");
  assert.equal(await alice.box.inputValue(), "With two files");
  await alice.box.press("Escape");
  await page.waitForFunction(() => document.getElementById("text").value === "Not sent");
});

await step("an edit that is saved while another channel is open changes nothing there", async () => {
  await bob.post(second, "To be answered");
  await page.locator(".message.own").hover();
  await alice.click(/^Edit the message/);
  await alice.box.fill("With both files");
  const release = await hold("**/api/messages/*", "PATCH");
  await alice.box.press("Enter");
  await alice.open("second");
  await page.locator(".message", { hasText: "To be answered" }).hover();
  await alice.click(/^Reply to|^Reply the/);
  await alice.sees("#mode", "Replying to bob");
  await Promise.all([page.waitForResponse((answer) => answer.request().method() === "PATCH"), release()]);
  await alice.open("first");
  await alice.sees(".message .content", "With both files");
  await page.locator("#mode").waitFor({ state: "hidden" });
  assert.equal(await alice.box.inputValue(), "Not sent");
  await alice.open("second");
  await alice.sees("#mode", "Replying to bob");
  await alice.box.press("Escape");
});

await step("a page with a draft is not left without a question", async () => {
  await alice.open("first");
  const asked = page.waitForEvent("dialog");
  await page.evaluate(() => setTimeout(() => location.reload()));
  const question = await asked;
  assert.equal(question.type(), "beforeunload");
  await question.dismiss();
  assert.equal(await alice.box.inputValue(), "Not sent");
  await alice.box.fill("");
});

await step("a post that the guild does not take holds no other channel up", async () => {
  await page.route(`**/channels/${first}/messages`, (route) => route.fulfill({ status: 503, json: { message: "later" } }));
  await alice.says("For later");
  await alice.open("second");
  await alice.says("Past it");
  await alice.sees(".message:not(.waiting) .content", "Past it");
  await page.unroute(`**/channels/${first}/messages`);
  await alice.open("first");
  await alice.sees(".message:not(.waiting) .content", "For later");
  forgive("503");
});

await step("members are whom their names say, whatever these look like", async () => {
  const round = await bob.create("members", "discuss", me);
  await alice.open("members");
  const add = async (words) => {
    await alice.click("Add");
    await dialog.getByLabel("Members").fill(words);
    await page.keyboard.press("Enter");
  };
  const shown = async () => (await page.locator("#members .name").allInnerTexts()).sort();
  await add("carol, a,b,u_abc");
  await alice.sees("#members", "u_abc");
  await dialog.waitFor({ state: "hidden" });
  const all = ["a,b", "alice (you)", "bob", "carol", "u_abc"];
  assert.deepEqual(await shown(), all);
  const members = await bob.call("GET", `/channels/${round}/members`);
  assert.ok(members.every(({ id }) => id.length > 20), JSON.stringify(members));
  await alice.sees(".order", "carol");
  await alice.box.pressSequentially("@car");
  await alice.sees("#completion [role=option]", "@carol");
  await alice.box.press("Escape");
  await alice.box.fill("");
  await add("u_nobody");
  await alice.sees("#add-dialog .problem", "Nobody is called u_nobody.");
  await dialog.getByLabel("Members").fill(bob.id);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "hidden" });
  assert.deepEqual(await shown(), all);
});

await step("who has no known name is shown by the beginning of the id", async () => {
  const id = "u_of_somebody_who_was_never_here";
  const odd = await bob.create("odd", "discuss", me, id);
  await alice.open("odd");
  const row = page.locator(`#members li[title="${id}"]`);
  await row.waitFor();
  assert.equal(await row.locator(".name").innerText(), "u_of_som…");
  await bob.call("DELETE", `/channels/${odd}/members/${id}`);
});

await step("no browser complained", async () => {
  // The page may have been reading these just when its person was taken out.
  forgive(`/channels/${third}/members`);
  assert.deepEqual(alice.complaints, []);
});

await browser.close();
