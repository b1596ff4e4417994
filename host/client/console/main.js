// The console: which of its pages is shown, and the session behind it.
//
// Owns: the session of this tab, its id in the tab's own storage (so that the page may be loaded again in the middle of
// a call), and the theme. Must never: write a password or a token anywhere; they live in this page's memory, so that
// the agent can be logged in again when the host was restarted, and end with it.

import { store } from "./clock.js";
import { confirm, wordsOf } from "./dialogs.js";
import { drawer, h, render } from "./dom.js";
import { loginPage } from "./login.js";
import { prepareSound, ring } from "./ring.js";

const SESSION = "jackfield-session";
const THEME = "jackfield-theme";
const HOST = new URL("..", location.href);

const ENDS = {
  logout: "You are logged out.",
  replaced: "The agent has logged in somewhere else.",
  expired: "The session was idle for too long and is over.",
  ended_by_operator: "An operator has ended the session.",
  not_found: "The session is over.",
  tenant_removed: "The tenant is not there any more.",
  shutting_down: "The host has ended.",
  adapter_failed: "The platform's adapter has failed; the session is over.",
};

const app = document.getElementById("app");
const query = new URLSearchParams(location.search);
let desk = null;
let takenOver = null;
let login = { start: { tenant: query.get("tenant"), agent: query.get("agent"), extension: query.get("extension") }, busy: false };

// ---- the theme

const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function showTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  localStorage.setItem(THEME, theme);
  showTheme(theme);
}

/** The channels that the page's address names: `channels=Telephony:2001,Chat:1001-chat`, and `ready=yes`. */
function wanted() {
  const channels = (query.get("channels") ?? "").split(",").filter(Boolean).map((each) => {
    const colon = each.indexOf(":");
    return { type: each.slice(0, colon), endpoint: each.slice(colon + 1), active: true, ready: query.get("ready") === "yes" };
  });
  return { channels };
}

// ---- what is remembered of this tab's session

function note(value) {
  store(SESSION, value ? JSON.stringify(value) : null);
}

function noted() {
  try {
    return JSON.parse(sessionStorage.getItem(SESSION));
  } catch {
    return null;
  }
}

// ---- drawing

const draw = drawer(() => {
  if (desk?.session) {
    render(app, desk.page({ theme: switchTheme }));
    desk.placeMessages();
  } else if (takenOver) {
    render(app, takenOverPage());
  } else {
    render(app, loginPage({ ...login, submit: logIn, theme: switchTheme }));
  }
});

function takenOverPage() {
  const { about } = takenOver;
  const back = () => {
    const token = takenOver.token;
    takenOver = null;
    enter(about, { session: { id: about.session }, token });
  };
  const other = () => { takenOver = null; note(null); draw(); };
  return h("main", { key: "taken", class: "login" }, h("div", { class: "login-card" },
    h("h1", null, "Open somewhere else"),
    h("p", null, `The session of agent ${about.agent} is now in another window. It goes on there.`),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "button main", onclick: back }, "Take it back"),
      h("button", { type: "button", class: "button quiet", onclick: other }, "Log in as somebody else"))));
}

// ---- the session

function logIn({ tenant, agent, password, extension, token }) {
  prepareSound();
  login.start = { tenant, agent, extension };
  // A page that was loaded again has forgotten its token, but not its session.
  const known = noted();
  const session = known?.tenant === tenant && known.agent === agent ? { id: known.session } : undefined;
  return enter({ ...(session ? known : {}), tenant, agent, extension }, { agent: { id: agent, password }, session, token: token || undefined });
}

/** Makes a session, or returns to the one that is named. */
async function enter(about, { agent, session, token }) {
  login = { ...login, busy: true, problem: null, notice: null };
  draw();
  try {
    // Not before somebody logs in: the first page is there sooner.
    const [{ connect }, { Desk }, { Messages }] = await Promise.all([
      import("./jackfield-client.js"), import("./desk.js"), import("./messages.js"),
    ]);
    const messages = new Messages();
    const mine = new Desk(about, messages, () => draw());
    // Once a frame: a burst of events is noted as its end leaves it.
    const noteSoon = drawer(() => { if (mine.session) remember(mine.session, about); });
    const made = await connect({
      url: HOST, tenant: about.tenant, model: "jackfield console", agent, session, token,
      extension: about.extension || undefined,
      needinfo: async (question) => (await import("./questions.js")).askInfo(question),
      confirm: () => confirm({
        title: "End the other session?", yes: "End it and log in",
        text: `Agent ${about.agent} is logged in somewhere else. Calls go on and appear here.`,
      }),
      logInAgain: ({ error }) => (error ? null : agent ?? null),
      on: {
        message: (entry) => messages.add(entry),
        started: ({ again }) => { if (again) restore(mine.session, about); },
        change: noteSoon,
        end: (end) => { if (desk === mine) leave(end, about, token); },
      },
    });
    login = { ...login, busy: false };
    desk = mine;
    mine.attach(made);
    if (about.session !== made.id) restore(made, about.session ? about : Object.assign(about, wanted()));
    remember(made, about);
  } catch (error) {
    if (error.code !== "unauthorized") note(null);
    const isOver = error.code === "not_found";
    const problem = isOver || error.code === "confirm" ? null : wordsOf(error);
    const notice = isOver ? ENDS.not_found : null;
    login = { ...login, start: { ...login.start, ...about }, busy: false, problem, notice };
    draw();
  }
}

/** What is needed when the page is loaded again, or the host was restarted: the session, and its channels. */
function remember(session, about) {
  // Not of a session that has only begun in place of another: what that one had is still to be restored.
  if (session.connection !== "open" || session.id !== about.session) return;
  about.channels = session.channels.filter(({ group }) => !group)
    .map(({ endpoint, type, state }) => ({ endpoint, type, active: state === "ACTIVE" }));
  about.groups = session.channelgroups.filter(({ name }) => name).map(({ name, channels }) => ({
    name, chat: channels.some(({ type }) => type === "Chat"), email: channels.some(({ type }) => type === "Email"),
    active: channels.some(({ state }) => state === "ACTIVE"),
  }));
  note(about);
}

/** A session has begun: the agent finds his channels in it, those of a session that is gone not ready. */
async function restore(session, about) {
  const { channels = [], groups = [] } = about;
  about.session = session.id;
  const there = (endpoint, type) => session.channels.find((channel) => channel.endpoint === endpoint && channel.type === type);
  const quietly = (command) => command.catch(() => { /* He sees that it is not there, and adds it himself. */ });
  for (const { endpoint, type, active, ready } of channels) {
    if (!there(endpoint, type)) await quietly(session.addchannel({ channel: { endpoint, type } }));
    const channel = await quietly(session.until(() => there(endpoint, type), { timeout: 5_000 }));
    if (active && channel?.can("activate")) await quietly(channel.activate());
    if (ready && channel) await quietly(channel.ready());
  }
  for (const { name, chat, email, active } of groups) {
    const group = () => session.channelgroups.find((each) => each.name === name);
    if (!group()) await quietly(session.addchannelgroup({ channelgroup: { name, chat, email } }));
    const added = await quietly(session.until(group, { timeout: 5_000 }));
    if (active && added) await quietly(added.activateall());
  }
}

function leave({ reason, error }, about, token) {
  desk = null;
  ring(null);
  if (reason === "taken_over") {
    takenOver = { about, token };
  } else {
    note(null);
    login = { start: about, busy: false, notice: error ? wordsOf(error) : ENDS[reason] ?? `The session is over: ${reason}.` };
  }
  draw();
}

// ---- here it begins

showTheme(localStorage.getItem(THEME));
addEventListener("pointerdown", prepareSound, { once: true });
addEventListener("keydown", prepareSound, { once: true });
const before = noted();
if (before) enter(before, { session: { id: before.session } });
else draw();
