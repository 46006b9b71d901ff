// One person at the page of a guild node: a browser context of its own, and what it does and sees there.

import { chromium } from "playwright-core";

/** How long anything may take, in milliseconds: generous, since machines of CI are slow. */
export const PATIENCE = 30_000;

/** Plays a part of a scenario; where it fails, `people` are drawn into the folder `shots`. */
export async function step(words, does, people, shots) {
  try {
    await does();
    console.log(`${(performance.now() / 1000).toFixed(1)} s  ${words}`);
  } catch (error) {
    console.log(`FAILED: ${words}`);
    for (const person of people) await person.shoot(shots, `failed-${person.name}`);
    throw error;
  }
}

/** The browser at `executablePath`, without what it does on its own account. */
export function launch(executablePath) {
  return chromium.launch({
    executablePath,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}

export class Person {
  /** What the browser complained about, but for what the scenario provokes by itself. */
  complaints = [];

  constructor(name, page) {
    this.name = name;
    this.page = page;
    /** While the network is cut, requests fail. */
    this.offline = false;
    /** How many scripts of pinned documents were not run, and images of them not loaded. */
    this.blocked = 0;
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => this.complaints.push(`page error: ${error}`));
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      // A channel without a document answers so, Center about a name, and the guild to an ack when
      // the turn has gone on meanwhile; browsers print every refusal.
      if (/\/canvas$|\/by-name\/[^/]+$|\/ack$/.test(message.location().url)) return;
      if (message.location().url === "about:srcdoc" && /^(Blocked script|Loading the image)/.test(message.text())) {
        this.blocked += 1;
        return;
      }
      if (this.offline && /ERR_INTERNET_DISCONNECTED|WebSocket/.test(message.text())) return;
      this.complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
  }

  /**
   * Logs in; without `login`, its name at the guild's Center, `secret` is an API key. `prepare` is given
   * the page before it is loaded.
   */
  static async arrive(browser, name, url, login, secret, prepare = async () => {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const person = new Person(name, await context.newPage());
    await person.page.clock.install();
    await prepare(person.page);
    await person.page.goto(url);
    await person.page.locator("#login").getByLabel("Name").fill(login);
    await person.page.getByLabel("Password or API key").fill(secret);
    await person.page.keyboard.press("Enter");
    await person.sees("#connection.up");
    return person;
  }

  async cut(offline) {
    if (offline) this.offline = true;
    await this.page.context().setOffline(offline);
  }

  async sees(selector, text, timeout = PATIENCE) {
    const found = this.page.locator(selector, text === undefined ? {} : { hasText: text });
    try {
      await found.first().waitFor({ timeout });
    } catch {
      throw new Error(`${this.name} does not see ${text ?? ""} in ${selector}: ${await this.shown()}`);
    }
  }

  async misses(selector, text) {
    await this.page.locator(selector, { hasText: text }).first().waitFor({ state: "detached" });
  }

  /** Opens a channel. */
  async open(name) {
    await this.click(new RegExp(`^${name} `));
    await this.sees("#channel-name", name);
  }

  /** Where messages are written. */
  get box() {
    return this.page.getByLabel("Message", { exact: true });
  }

  shown() {
    return this.page.locator("#app").innerText();
  }

  get id() {
    return this.page.locator("#my-id").innerText();
  }

  async says(text) {
    await this.box.fill(text);
    await this.box.press("Enter");
  }

  click(name) {
    return this.page.getByRole("button", { name }).click();
  }

  shoot(folder, name) {
    return folder && !this.page.isClosed() ? this.page.screenshot({ path: `${folder}/${name}.png` }) : undefined;
  }
}
