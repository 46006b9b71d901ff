// An older guild on NestJS, and its Center, in memory: `node guild.mjs OPTIONS`.
//
// It has what all deployments of Fabric have, and no more: posts without nonces, listings without
// `lastSeq`, history by `limit` and `beforeSeq` alone and without `wakeup`, sessions without `baseUrl`
// and `expiresAt`, tokens without `iat`, no acks of `join_channel` but with the option `joinAcks`. A
// socket with a dead token is accepted, and disconnected right after.
//
// The users are alice and echo, or those of the option `users`, whose API keys are `key-of-NAME`. Each
// line of the standard input is a wish of one of the names below with what it is about. What happens is
// printed as JSON lines, the first of them `{"port": N}`. It stops when its input ends, and by itself
// after ten minutes. With the option `data`, a file, it goes on there where one before it was killed.

import "reflect-metadata";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  Body, ConflictException, Controller, ForbiddenException, Get, Module, NotFoundException,
  Param, Post, Query, Req, UnauthorizedException,
} from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import {
  ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer,
} from "@nestjs/websockets";

const { joinAcks = false, users: names = ["alice", "echo"], port = 0, data } = JSON.parse(
  process.argv[2] ?? "{}",
);
const NODE = "guild-1";
const TOKEN_LIFE_S = 900;
const PAGE_MAX = 200;
const users = new Map(names.map((name) => [name, { id: `u-${name}`, name }]));
const channels = new Map();
const print = (line) => console.log(JSON.stringify(line));

// What outlives the process: it is written before anybody hears of it.

const kept = data && existsSync(data) ? readFileSync(data, "utf8").trim().split("\n") : [];
const keep = (line) => data && appendFileSync(data, `${JSON.stringify(line)}\n`);
let secret = randomBytes(32);
for (const line of kept.map((line) => JSON.parse(line))) {
  if (line.secret) {
    secret = Buffer.from(line.secret, "hex");
  } else if (line.xType) {
    channels.set(line.id, { ...line, members: new Set(line.members), messages: [] });
  } else {
    channels.get(line.channelId).messages.push(line);
  }
}
if (kept.length === 0) {
  keep({ secret: secret.toString("hex") });
}

// Tokens.

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const signature = (text) => createHmac("sha256", secret).update(text).digest("base64url");

function token(name) {
  const exp = Math.floor(Date.now() / 1000) + TOKEN_LIFE_S;
  const text = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url({ sub: name, exp, jti: randomUUID() })}`;
  return `${text}.${signature(text)}`;
}

/** Whose token this is; `undefined` for a dead one. */
function bearer(text) {
  const [head, body, signed] = `${text}`.split(".");
  if (signed !== signature(`${head}.${body}`)) {
    return undefined;
  }
  const { sub, exp } = JSON.parse(Buffer.from(body, "base64url"));
  return exp * 1000 > Date.now() ? users.get(sub) : undefined;
}

// What the guild stores and tells.

/** How many answers to posts are lost from now on. */
let lost = 0;
/** How many messages are pushed to nobody from now on. */
let muted = 0;
const room = (channel) => `channel:${channel.id}`;
const others = (channel, author) => [...channel.members].filter((id) => id !== author.id);
const woken = {
  general: others,
  dm: others,
  report: () => [],
};

/** The channel of this id, for a member of it. */
function memberOf(id, user) {
  const channel = channels.get(id);
  if (!channel) {
    throw new NotFoundException();
  }
  if (!channel.members.has(user.id)) {
    throw new ForbiddenException();
  }
  return channel;
}

function store(gateway, channel, author, { content, replyToId = null }) {
  const message = {
    id: `m-${randomUUID()}`, channelId: channel.id, seq: channel.messages.length + 1, author, content,
    replyToId, mentions: [], attachments: [], createdAt: new Date().toISOString(),
  };
  keep(message);
  channel.messages.push(message);
  const wakes = woken[channel.xType](channel, author);
  const inRoom = gateway.sockets().filter((socket) => socket.rooms.has(room(channel)));
  const sockets = muted > 0 ? [] : inRoom;
  muted = Math.max(muted - 1, 0);
  for (const socket of sockets) {
    socket.emit("message.created", { ...message, wakeup: wakes.includes(socket.data.user.id) });
  }
  print({ stored: content, by: author.name, seq: message.seq, id: message.id, heard: sockets.length });
  return message;
}

// What is asked by REST. Nest's decorators are called by hand, since this is no TypeScript.

function decorate(type, name, decorator, ...parameters) {
  decorator(type.prototype, name, Object.getOwnPropertyDescriptor(type.prototype, name));
  parameters.forEach((parameter, index) => parameter(type.prototype, name, index));
}

/** Who asks. */
function caller(request) {
  const user = bearer(request.headers.authorization?.replace(/^Bearer /, ""));
  if (!user) {
    print({ refused: "request" });
    throw new UnauthorizedException();
  }
  return user;
}

class Center {
  login({ apiKey }) {
    const user = [...users.values()].find(({ name }) => apiKey === `key-of-${name}`);
    if (!user) {
      throw new UnauthorizedException();
    }
    print({ login: user.name });
    const guildAccessTokens = [{ guildNodeId: NODE, token: token(user.name) }];
    return { user, accessToken: randomUUID(), guildAccessTokens };
  }
}
Controller("auth")(Center);
decorate(Center, "login", Post("login"), Body());

class Guild {
  list(request) {
    const { id } = caller(request);
    const own = [...channels.values()].filter(({ members }) => members.has(id));
    return own.map(({ id, name, xType, closed }) => ({ id, name, xType, isPublic: false, closed }));
  }

  history(request, id, { limit = 50, beforeSeq = Infinity }) {
    const { messages } = memberOf(id, caller(request));
    const before = messages.filter(({ seq }) => seq < Number(beforeSeq));
    return { messages: before.slice(-Math.min(Number(limit), PAGE_MAX)) };
  }

  post(request, id, body) {
    const user = caller(request);
    const channel = memberOf(id, user);
    if (channel.closed) {
      throw new ConflictException();
    }
    const message = store(gateway(), channel, user, body);
    if (lost > 0) {
      lost -= 1;
      request.socket.destroy();
    }
    return message;
  }
}
Controller("channels")(Guild);
decorate(Guild, "list", Get(), Req());
decorate(Guild, "history", Get(":id/messages"), Req(), Param("id"), Query());
decorate(Guild, "post", Post(":id/messages"), Req(), Param("id"), Body());

// What is asked and told over socket.io.

class Realtime {
  sockets() {
    return [...this.server.sockets.values()];
  }

  handleConnection(socket) {
    const user = bearer(socket.handshake.auth.token);
    if (!user) {
      print({ refused: "socket" });
      socket.disconnect();
      return;
    }
    socket.data.user = user;
    socket.join(`user:${user.id}`);
    print({ connected: user.name });
  }

  join(socket, { channelId }) {
    const channel = channels.get(channelId);
    const { user } = socket.data;
    const ok = channel?.members.has(user?.id) ?? false;
    if (ok) {
      socket.join(room(channel));
      print({ joined: user.name, channel: channelId });
    }
    return joinAcks ? { ok, ...(!ok && { error: "forbidden" }) } : undefined;
  }

  leave(socket, { channelId }) {
    socket.leave(room({ id: channelId }));
  }
}
WebSocketGateway({ namespace: "realtime" })(Realtime);
WebSocketServer()(Realtime.prototype, "server");
decorate(Realtime, "join", SubscribeMessage("join_channel"), ConnectedSocket(), MessageBody());
decorate(Realtime, "leave", SubscribeMessage("leave_channel"), ConnectedSocket(), MessageBody());

class Application {}
Module({ controllers: [Center, Guild], providers: [Realtime] })(Application);

const app = await NestFactory.create(Application, { logger: ["error"] });
const gateway = () => app.get(Realtime);
app.setGlobalPrefix("api");
await app.listen(port, "127.0.0.1");

/** What a test can wish, by the name of the wish. */
const wishes = {
  /** A channel of this id with everybody in it. */
  create: (id, { xType = "general" }) => {
    const channel = { id, name: id, xType, closed: false };
    const members = [...users.values()].map((user) => user.id);
    keep({ ...channel, members });
    channels.set(id, { ...channel, members: new Set(members), messages: [] });
    print({ created: id });
    const occurredAt = new Date().toISOString();
    for (const socket of gateway().sockets()) {
      socket.emit("channel.joined", { channelId: id, userId: socket.data.user.id, xType, occurredAt });
    }
  },
  /** Alice posts in this channel. */
  post: (id, body) => store(gateway(), channels.get(id), users.get("alice"), body),
  /** What stands in this channel is printed. */
  read: (id) => print({ read: id, messages: channels.get(id).messages }),
  /** Every connection breaks off. */
  cut: () => gateway().sockets().forEach((socket) => socket.conn.close(true)),
  /** Every token dies. */
  revoke: () => {
    secret = randomBytes(32);
  },
  /** The answers to so many posts are lost after the posts are stored. */
  lose: (count) => {
    lost = count;
  },
  /** So many messages are stored and pushed to nobody. */
  mute: (count) => {
    muted = count;
  },
  /** This channel is closed. */
  close: (id) => {
    channels.get(id).closed = true;
  },
};

const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  const wish = JSON.parse(line);
  const name = Object.keys(wish).find((name) => name in wishes);
  wishes[name](wish[name], wish);
});
input.on("close", () => process.exit(0));
setTimeout(() => process.exit(1), 600_000).unref();
print({ port: app.getHttpServer().address().port });
