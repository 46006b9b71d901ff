// The messages of one channel that the page holds: a run of `seq` without holes.

/** The most messages that are held, and so shown, of one channel. */
export const MESSAGES_MAX = 300;

export class Window {
  messages = [];
  hasOlder = false;
  /** Whether the newest message of the channel is the last one here. */
  atEnd = true;
  /** Whether the reader is at the end: of who reads further up, nothing is taken away. */
  follows = true;

  get first() {
    return this.messages[0]?.seq ?? 0;
  }

  get last() {
    return this.messages.at(-1)?.seq ?? 0;
  }

  /** Begins anew with the newest page. */
  reset(page) {
    this.messages = page.messages;
    this.hasOlder = page.hasMore;
    this.atEnd = true;
  }

  /** Takes a page of older messages; forgets the newest where there are too many. */
  prepend(page) {
    const first = this.first;
    this.messages = [...page.messages.filter((message) => message.seq < first), ...this.messages];
    this.hasOlder = page.hasMore;
    if (this.messages.length > MESSAGES_MAX) {
      this.messages.length = MESSAGES_MAX;
      this.atEnd = false;
    }
  }

  /** Takes in a message; the oldest one goes where there are too many. False where it is newer than the next one: then some are missing. */
  take(message) {
    const at = this.messages.findIndex((held) => held.id === message.id);
    if (at >= 0) {
      // An edit's push does not say whom the message woke.
      this.messages[at] = { ...this.messages[at], ...message };
      return true;
    }
    if (!this.atEnd || message.seq <= this.last) return true;
    if (message.seq > this.last + 1) return false;
    if (!this.follows && this.messages.length >= MESSAGES_MAX) {
      this.atEnd = false;
      return true;
    }
    this.messages.push(message);
    if (this.messages.length > MESSAGES_MAX) {
      this.messages.shift();
      this.hasOlder = true;
    }
    return true;
  }
}
