// The page of a run of the simulator: whoever opens it sees when it went wrong, and what.
// Argument: JSON of {page, message, chromium, shots}.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { PATIENCE, launch } from "./page.mjs";

const wanted = JSON.parse(process.argv[2]);
const browser = await launch(wanted.chromium);
const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
page.setDefaultTimeout(PATIENCE);
const complaints = [];
const requests = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => complaints.push(message.text()));
page.on("request", (request) => requests.push(request.url()));
const url = pathToFileURL(wanted.page).href;
await page.goto(url);

async function step(words, does) {
  try {
    await does();
    console.log(words);
  } catch (error) {
    console.log(`FAILED: ${words}`);
    if (wanted.shots) await page.screenshot({ path: `${wanted.shots}/failed-run.png` });
    throw error;
  }
}

const run = page.locator(".run").first();
const item = (classes, words) => run.locator(`.item${classes}`, { hasText: words });
const shown = () => run.locator(".lane").allInnerTexts();

/** Whether something lies within what is seen of the run. */
async function isInSight(locator) {
  const box = await locator.boundingBox();
  const view = await run.locator(".scroll").boundingBox();
  return box.y >= view.y && box.y + box.height <= view.y + view.height;
}

await step("the sentence says what contradicts what", async () => {
  const sentence = await page.locator("#sentence.broken").innerText();
  assert.match(sentence, /^because guild-1 stored messages 1 to \d+ .* contradiction to /);
});

await step("the broken rule is red and in sight", async () => {
  const broken = item(".broken").locator("line");
  assert.equal(await broken.evaluate((line) => getComputedStyle(line).stroke), "rgb(194, 23, 29)");
  assert.ok(await isInSight(item(".broken").locator("rect")));
});

await step("there is a lane for everybody, those in question first", async () => {
  assert.deepEqual(await shown(), ["people", "Center", "guild-1", "link echo – guild-1", "echo", "host of echo"]);
  await page.getByLabel("all lanes").check();
  const all = await shown();
  for (const name of ["guild-2", "link other – guild-2", "other", "host of other"]) assert.ok(all.includes(name), name);
  assert.equal(all.length, 12);
  await page.getByLabel("all lanes").uncheck();
});

await step("the list leads to the moment when the message was lost", async () => {
  await page.locator("#steps .lost button").click();
  assert.ok(await isInSight(item(".lost.path", "lost on its way").locator("text")));
  assert.ok(await isInSight(item(".stored.path", "stored message 3 of general").locator("text")));
});

await step("a hover shows the frame, and what people wrote is text", async () => {
  await item(".lost.path", "lost on its way").locator("text").hover();
  const told = await page.locator("#hover").innerText();
  assert.match(told, /42\/realtime,\["message\.created",\{/);
  assert.ok(told.includes(wanted.message), told);
  assert.equal(await page.locator("main img, aside img").count(), 0);
});

await step("tokens, turns and faults are there", async () => {
  assert.ok((await item(".token", "token 1 of echo, expires at").count()) > 0);
  assert.ok((await item(".turn").count()) > 0);
  assert.ok((await item(".fault", "lose_pushes").count()) > 0);
});

await step("a click shows one message's path only, and Escape all of it again", async () => {
  const all = await run.locator(".item").count();
  await item(".stored.path", "stored message 3 of general").locator("text").click();
  await page.locator("#filter", { hasText: "Only message 3 of general in guild-1" }).waitFor();
  const path = await run.locator(".item").count();
  assert.ok(path < all && path > 3, `${path} of ${all}`);
  assert.equal(await run.locator(".item:not(.path):not(.broken)").count(), 0);
  await page.keyboard.press("Escape");
  await page.locator("#filter").waitFor({ state: "hidden" });
  assert.ok((await run.locator(".item").count()) > path);
});

await step("the same run without its last fault stands beside it, at the same height", async () => {
  const heads = await page.locator(".run h2").allInnerTexts();
  assert.equal(heads.length, 2);
  assert.match(heads[1], /^The same run without its last fault/);
  await page.getByRole("button", { name: "To the broken rule" }).click();
  const tops = await page.locator(".scroll").evaluateAll((all) => all.map((one) => one.scrollTop));
  assert.equal(tops[0], tops[1]);
  const delivered = page.locator(".run").nth(1).locator(".item", { hasText: "message.created (message 3 of general)" });
  await page.locator("#steps .lost button").click();
  await delivered.first().waitFor();
  assert.equal(await delivered.and(page.locator(".lost")).count(), 0);
});

await step("nothing was asked of any network, and no browser complained", async () => {
  assert.deepEqual(requests, [url]);
  assert.deepEqual(complaints, []);
  if (wanted.shots) await page.screenshot({ path: `${wanted.shots}/run.png` });
});

await browser.close();
