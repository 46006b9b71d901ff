// The page begins here: the login, then the parts of the view around one state.

import { Api } from "./api.js";
import { Fabric } from "./fabric.js";
import { named } from "./people.js";
import { Session } from "./session.js";
import { State } from "./state.js";
import { canvas } from "./view/canvas.js";
import { channels } from "./view/channels.js";
import { composer } from "./view/composer.js";
import { dialog } from "./view/dialog.js";
import { byId, tell } from "./view/dom.js";
import { files } from "./view/files.js";
import { members } from "./view/members.js";
import { messages } from "./view/messages.js";
import { panels } from "./view/panels.js";
import { turn } from "./view/turn.js";

const login = byId("login");

/** What stands in the form decides how one logs in; neither is kept outside of memory. */
function credential(fields) {
  const name = fields.name.trim();
  return name ? { name, password: fields.secret } : { apiKey: fields.secret.trim() };
}

async function enter(fields) {
  const about = async (path) => {
    const answer = await fetch(path).catch(() => null);
    if (!answer?.ok) throw new Error("The guild cannot be reached.");
    return answer.json();
  };
  const [{ centerUrl }, { nodeId }] = await Promise.all([
    about("/page/config.json"),
    about("/api/health"),
  ]);
  const session = new Session(centerUrl, nodeId, credential(fields));
  await session.token();
  return session;
}

login.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = byId("login-problem");
  const submit = login.querySelector("[type=submit]");
  tell(problem, "");
  submit.disabled = true;
  try {
    const session = await enter(Object.fromEntries(new FormData(login)));
    login.reset();
    begin(session);
  } catch (error) {
    tell(problem, error.message);
  } finally {
    submit.disabled = false;
  }
});

function begin(session) {
  const state = new State();
  state.me = session.user;
  state.names.set(state.me.id, state.me.name);
  const fabric = new Fabric(state, new Api(session), session);
  byId("login-page").hidden = true;
  byId("app").hidden = false;

  channels(fabric, state);
  messages(fabric, state, composer(fabric, state));
  files(fabric, state);
  turn(fabric, state);
  members(state);
  canvas(fabric, state);
  heads(state);
  panels(state);
  forms(fabric, state, session);
  // A page that is left is not logged in any more: the credential was in its memory alone.
  byId("logout").addEventListener("click", () => {
    fabric.stop();
    location.reload();
  });
  fabric.start();
  state.changed();
}

/** The title, the connection, who one is. */
function heads(state) {
  byId("me").textContent = state.me.name;
  byId("my-id").textContent = state.me.id;
  state.watch(() => {
    const { channel, connection } = state;
    byId("connection").textContent = connection.words;
    byId("connection").className = connection.up ? "up" : "down";
    byId("channel-name").textContent = channel ? channel.name || "unnamed" : "No channel";
    byId("channel-kind").textContent = channel ? (channel.closed ? `${channel.xType}, closed` : channel.xType) : "";
    byId("close").textContent = channel?.closed ? "Reopen channel" : "Close channel";
    for (const id of ["close", "leave", "add"]) byId(id).disabled = !channel;
    const unread = [...state.channels.values()].reduce((sum, it) => sum + state.unread(it), 0);
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${channel?.name ?? "Fabric"}`;
  });
}

function forms(fabric, state, session) {
  const users = (text) => named(text, state, (name) => session.find(name));
  const create = dialog("create-dialog", state, async ({ name, xType, isPublic, members }) =>
    fabric.create({ name: name.trim(), xType, isPublic: isPublic === "on", memberUserIds: await users(members) }));
  const add = dialog("add-dialog", state, async ({ members }, channelId) => {
    for (const id of await users(members)) await fabric.addMember(channelId, id);
  });
  byId("create").addEventListener("click", () => create.open(null));
  byId("add").addEventListener("click", () => add.open(state.current));
  byId("leave").addEventListener("click", () => fabric.leave());
  byId("close").addEventListener("click", () => fabric.close(!state.channel.closed));
}
