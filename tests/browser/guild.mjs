// A user of the guild without a page: what others do while somebody looks at theirs.

export class User {
  #url;
  #token;

  /** `login` is what Center takes: `{apiKey}` or `{name, password}`. */
  static async arrive(url, login) {
    const user = new User();
    user.#url = url;
    const { centerUrl } = await (await fetch(`${url}page/config.json`)).json();
    const answer = await fetch(`${centerUrl}/api/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(login),
    });
    const session = await answer.json();
    user.id = session.user.id;
    user.#token = session.guildAccessTokens[0].token;
    return user;
  }

  async call(method, path, body) {
    const headers = { authorization: `Bearer ${this.#token}`, "content-type": "application/json" };
    const answer = await fetch(`${this.#url}api${path}`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  /** Makes a channel; its id. */
  async create(name, xType, ...memberUserIds) {
    return (await this.call("POST", "/channels", { name, xType, memberUserIds })).id;
  }

  post(channelId, content) {
    return this.call("POST", `/channels/${channelId}/messages`, { content });
  }
}
