// The guild node's REST calls: a fresh token on each, refusals as errors in words.

/** How long a call may take, in milliseconds. */
const PATIENCE = 20_000;
/** For how long a post whose answer is lost is tried again, in milliseconds. */
const POST_PATIENCE = 120_000;

/** `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor(status, words, retryAfter = 0) {
    super(words);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same call may do better a little later. */
  get passes() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export class Api {
  #session;

  constructor(session) {
    this.#session = session;
  }

  get(path) {
    return this.call("GET", path);
  }

  /** `body` is sent as JSON, unless it is `FormData`. */
  async call(method, path, body) {
    const answer = await this.send(method, path, body);
    return answer.json();
  }

  /** The answer itself, where it is a good one. */
  async send(method, path, body) {
    let answer = await this.#once(method, path, body);
    if (answer.status === 401) {
      this.#session.forget();
      answer = await this.#once(method, path, body);
    }
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => ({}));
    const words = [told.message ?? answer.statusText].flat().join("; ");
    throw new ApiError(answer.status, words, Number(answer.headers.get("retry-after") ?? 0));
  }

  async #once(method, path, body) {
    const token = await this.#session.token().catch((error) => {
      throw new ApiError(0, error.message);
    });
    const headers = { authorization: `Bearer ${token}` };
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers["content-type"] = "application/json";
    const signal = isForm ? undefined : AbortSignal.timeout(PATIENCE);
    const payload = body === undefined || isForm ? body : JSON.stringify(body);
    try {
      return await fetch(`/api${path}`, { method, headers, body: payload, signal });
    } catch {
      throw new ApiError(0, "The guild cannot be reached.");
    }
  }

  /** Posts, and where the answer is lost posts again: `body.nonce` makes it one message. */
  async post(channelId, body) {
    const until = Date.now() + POST_PATIENCE;
    for (let pause = 500; ; pause = Math.min(pause * 2, 8_000)) {
      try {
        return await this.call("POST", `/channels/${channelId}/messages`, body);
      } catch (error) {
        const wait = Math.max(pause, (error.retryAfter ?? 0) * 1000);
        if (!error.passes || Date.now() + wait > until) throw error;
        await new Promise((done) => setTimeout(done, wait));
      }
    }
  }
}
