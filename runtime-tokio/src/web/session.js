// Who is logged in: keeps the credential in memory alone, and a guild token that is fresh.

/** A token is renewed when less than this is left of it, in milliseconds, or half of its life. */
const MARGIN = 120_000;

export class LoginRefused extends Error {}

export class Session {
  #credential;
  #centerUrl;
  #nodeId;
  #token = null;
  /** What Center itself is asked with; it lives as long as the guild's token. */
  #centerToken = null;
  #renewAt = 0;
  #renewing = null;
  user = null;

  /** `credential` is `{apiKey}` or `{name, password}`. */
  constructor(centerUrl, nodeId, credential) {
    this.#centerUrl = centerUrl;
    this.#nodeId = nodeId;
    this.#credential = credential;
  }

  /** A token that is good for a while yet. */
  async token() {
    if (this.#token && Date.now() < this.#renewAt) return this.#token;
    this.#renewing ??= this.#login().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  /** The id of the user with this name; null where there is none. */
  async find(name) {
    await this.token();
    const answer = await this.#ask(`/api/users/by-name/${encodeURIComponent(name)}`, {
      headers: { authorization: `Bearer ${this.#centerToken}` },
    });
    if (answer.status === 404) return null;
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(`Center answered ${answer.status}: ${body.message ?? ""}`);
    return body.id;
  }

  /** The guild has refused the token: the next one is a new one. */
  forget() {
    this.#token = null;
  }

  async #ask(path, request) {
    try {
      return await fetch(`${this.#centerUrl}${path}`, { ...request, credentials: "omit" });
    } catch {
      throw new Error(`Center at ${this.#centerUrl} cannot be reached.`);
    }
  }

  async #login() {
    const answer = await this.#ask("/api/auth/login", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(this.#credential),
    });
    const body = await answer.json().catch(() => ({}));
    if (answer.status === 401 || answer.status === 400) {
      throw new LoginRefused("Center does not know this key, or this name with this password.");
    }
    if (!answer.ok) throw new Error(`Center answered ${answer.status}: ${body.message ?? ""}`);
    const grant = body.guildAccessTokens.find((grant) => grant.guildNodeId === this.#nodeId);
    if (!grant) throw new LoginRefused("This account does not belong to the guild that lives here.");
    // By this machine's own clock, which need not agree with Center's.
    const life = lifeOf(grant.token) ?? 900_000;
    this.user = body.user;
    this.#token = grant.token;
    this.#centerToken = body.accessToken;
    this.#renewAt = Date.now() + life - Math.min(MARGIN, life / 2);
    return grant.token;
  }
}

/** How long a JWT lives from its making, in milliseconds, where it says so. */
function lifeOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return claims.exp > claims.iat ? (claims.exp - claims.iat) * 1000 : null;
  } catch {
    return null;
  }
}
