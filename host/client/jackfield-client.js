// jackfield-client: what an agent desktop needs to work with a Jackfield host.
//
// Owns: one session of one agent: its connection and its return after a loss, its commands, and the tree of channels,
// interactions and conversations that is folded from the host's events. Must never: show anything, keep a password
// longer than the log-in that it was given for, send a command a second time by itself, or change the tree by anything
// but events. Messages come from the host; commands come from the desktop. Names are the session protocol's own.
//
//   objects.js      the fold, and the objects that it makes: Channel, Interaction, Conversation
//   lists.js        the lists that are watched
//   transport.js    the two ways to the host: a WebSocket, or HTTP with an event stream

import { WatchedList } from "./lists.js";
import { CLASSES, NODE, Tree, clockDifference, isWhole } from "./objects.js";
import { JackfieldError, TRANSPORTS, address, failed, lost, open, withToken } from "./transport.js";

export { Channel, ChannelGroup, Conversation, Interaction, Tree } from "./objects.js";
export { WatchedList } from "./lists.js";
export { JackfieldError } from "./transport.js";

/** The standard commands of each kind of object, by the part of their names behind `<object>.request.`. */
const COMMANDS = {
  session: ["addchannel", "removechannel", "addchannelgroup", "removechannelgroup", "supervise", "colleague.ready", "colleague.notready", "logout"],
  channelgroup: ["activateall", "deactivateall"],
  channel: ["activate", "deactivate", "ready", "notready", "dial"],
  interaction: [
    "accept", "reject", "setinteractiondata", "setdisposition", "complete",
    "consult", "alternate", "consulttransfer", "consultconference",
    "recording.start", "recording.stop", "recording.pause", "recording.resume",
  ],
  conversation: [
    "answer", "release", "hold", "retrieve", "mute", "unmute", "senddtmf", "blindtransfer", "blindconference",
    "member.remove", "member.mute", "member.unmute", "member.hold", "member.retrieve",
  ],
};

/** How long to wait before the second, third, … attempt to reconnect: a random part of at most this. */
const BACK_OFF = { first: 250, longest: 10_000 };
/** A log-in that fails with one of these is tried again: the host or the platform is only just coming up. */
const PASSING = ["link_down", "shutting_down", "timeout", "unreachable", "adapter_failed", "rate_limited", "disconnected"];
/** Close codes of the host after which coming back would only take the session away from somebody. */
const TAKEN_OVER = 4001;

/** A session: one agent at work. Made by `connect`. */
export class Session {
  #options;
  #transport = null;
  #tree = null;
  /** The tree that a snapshot is being folded into, until it is complete. */
  #staging = null;
  #objects = new Map();
  #listeners = new Map();
  /** Watched lists by their kind, and by how many. */
  #lists = new Map();
  #id = null;
  #seq = 0;
  #connection = "connecting";
  #attempt = 0;
  #wake = null;
  #began = null;
  #again = false;
  /** Whether the transport is there and has the session. */
  #isBound = false;
  /** A logout is under way: that the host ends the connection is part of it. */
  #isLeaving = false;
  /** What is watched is to be watched again. */
  #mustWatch = false;
  /** False when events were missed that the host does not know of: only a snapshot helps. */
  #isSure = true;

  constructor(options) {
    this.#options = options;
    for (const [name, listener] of Object.entries(options.on ?? {})) this.on(name, listener);
    globalThis.addEventListener?.("online", () => this.#wake?.());
  }

  get id() { return this.#id; }
  get target() { return this.#id; }
  get kind() { return "session"; }
  get tenant() { return this.#options.tenant; }
  get seq() { return this.#seq; }
  get connection() { return this.#connection; }
  get link() { return this.#tree?.link ?? "up"; }
  get linkReason() { return this.#tree?.linkReason; }
  get capabilities() { return this.#tree?.capabilities ?? { commands: [], channelTypes: [] }; }
  get tree() { return this.#tree; }
  get clockDifference() { return clockDifference(this.#tree ?? {}); }
  get channelgroups() { return this.#all("channelgroup"); }
  get channels() { return this.#all("channel"); }
  get interactions() { return this.#all("interaction"); }

  #all(kind) {
    const nodes = this.#tree ? [...this.#tree.nodes.values()] : [];
    return nodes.filter((node) => node.kind === kind && isWhole(node)).map((node) => this.object(node.target));
  }

  /** The object with a target. The same object for the same target, for as long as it is there. */
  object(target) {
    const node = this.#tree?.get(target);
    // The tree's own: while another session is being made, what is shown is still that of the old one.
    if (target === this.#id || node?.kind === "session") return this;
    const known = this.#objects.get(target);
    if (known || !node) return known;
    const object = new CLASSES[node.kind](this, node);
    this.#objects.set(target, object);
    return object;
  }

  can(verb) {
    return this.#connection === "open" && (verb === "logout" || this.capabilities.commands.includes(`session.request.${verb}`));
  }

  // ---- listeners

  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  #emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        // A mistake in one listener must neither stop the fold nor go unseen.
        queueMicrotask(() => { throw error; });
      }
    }
  }

  /** Waits until `condition` returns something true, which it resolves to. */
  until(condition, { timeout = 30_000 } = {}) {
    const now = condition();
    if (now) return Promise.resolve(now);
    return new Promise((resolve, reject) => {
      const done = (settle, value) => { stop.forEach((each) => each()); clearTimeout(timer); settle(value); };
      const look = () => { const value = condition(); if (value) done(resolve, value); };
      const timer = setTimeout(() => done(reject, new JackfieldError("timeout", `the condition given to until() did not hold within ${timeout / 1000} s`)), timeout);
      const stop = [
        this.on("change", look),
        this.on("end", ({ reason }) => done(reject, new JackfieldError("ended", `the session has ended: ${reason}`))),
      ];
    });
  }

  // ---- commands

  /** Sends one command. Resolves to the data of its success; rejects with a JackfieldError. */
  async command(name, target = this.#id, data = {}) {
    for (;;) {
      const response = await this.#request({ command: name, target, data });
      if (response.result === "success") {
        if (name === "interaction.request.setdisposition") this.#dispositionSet(target, data.disposition);
        return response.data ?? {};
      }
      if (response.result !== "needinfo") throw failed(response);
      const { uiExtension } = response;
      const question = { command: name, target, data, uiExtension, object: this.object(target) };
      const extensions = await this.#options.needinfo?.(question);
      if (!extensions) throw new JackfieldError("needinfo", "the platform must know more", { command: name, target, uiExtension });
      data = { ...data, extensions: { ...data.extensions, ...extensions } };
    }
  }

  /** No event tells it before the state changes for another reason. */
  #dispositionSet(target, disposition) {
    const node = this.#tree?.get(target);
    if (!node) return;
    node.stateData = { ...node.stateData, disposition };
    const object = this.object(target);
    this.#emit("changed", object);
    this.#emit("change", { object });
  }

  /** Sends a command of an adapter's own. */
  extension(name, data, target = this.#id) {
    return this.command(name, target, data);
  }

  // ---- lists

  /** One page of a list, as it is now. */
  list(kind, { query, under, limit, after } = {}) {
    return this.command("session.request.list", this.#id, { kind, query, under, limit, after });
  }

  /** A list that is kept up to date. Whoever watches it calls its `stop` when he needs it no more. */
  async watch(kind) {
    const known = this.#lists.get(kind);
    if (known) {
      known.users += 1;
      return known.begun.then(() => known.list);
    }
    const list = new WatchedList(kind, {
      read: (...page) => this.list(...page),
      onchange: () => { this.#emit("list", list); this.#emit("change", {}); },
      stop: () => this.#unwatch(kind),
    });
    const watched = { list, users: 1, begun: this.#beginWatch(list) };
    this.#lists.set(kind, watched);
    try {
      await watched.begun;
    } catch (error) {
      this.#lists.delete(kind);
      throw error;
    }
    return list;
  }

  async #beginWatch(list) {
    await this.command("session.request.watch", this.#id, { kind: list.kind });
    await list.reload();
  }

  async unwatch(list) {
    return list.stop();
  }

  async #unwatch(kind) {
    const watched = this.#lists.get(kind);
    if (!watched || (watched.users -= 1) > 0) return;
    this.#lists.delete(kind);
    // Where it does not arrive the session is gone, or the next one watches nothing.
    await this.command("session.request.unwatch", this.#id, { kind }).catch(() => {});
  }

  /** A snapshot says nothing of lists, and may be another session's. */
  #watchAgain() {
    for (const { list } of this.#lists.values()) this.#beginWatch(list).catch(() => { /* The host tells when it can be read. */ });
  }

  #request(message) {
    if (this.#connection === "closed") return Promise.reject(new JackfieldError("ended", "the session is over"));
    if (this.#connection !== "open") return Promise.reject(lost());
    return this.#transport?.request(message) ?? Promise.reject(lost());
  }

  /** What the session's adapter can do beyond the standard: each command's name, target and the JSON Schema of its data. */
  async extensions() {
    const response = await withToken(this.#options, (headers) => this.#options.fetch(address(this.#options, "extensions"), { headers }));
    if (response.status === 404) return [];
    if (!response.ok) throw failed(await response.json());
    return (await response.json()).commands;
  }

  async logout() {
    this.#isLeaving = true;
    try {
      await this.command("session.request.logout");
    } catch (error) {
      this.#isLeaving = false;
      if (!this.#transport && this.#isBound) this.#return(error.message);
      throw error;
    }
    this.#end("logout");
  }

  /** Leaves without logging out: the session waits for its client for as long as the host's configuration says. */
  close() {
    this.#end("closed");
  }

  // ---- its life

  /** Logs in, or returns to the session that the options name. */
  async begin() {
    const { session, agent } = this.#options;
    this.#id = session?.id ?? null;
    const begun = new Promise((resolve, reject) => { this.#began = { resolve, reject }; });
    begun.catch(() => {});
    try {
      await this.#establish(agent);
    } catch (error) {
      const gone = error.code === "not_found" && session && agent;
      if (!gone) {
        this.#end("failed", error);
        throw error;
      }
      this.#id = null;
      await this.#establish(agent).catch((again) => { this.#end("failed", again); throw again; });
    }
    return begun.then(() => this);
  }

  /** One attempt: a connection, then the session that is known, or a new one for the agent. */
  async #establish(agent) {
    let transport = null;
    this.#isBound = false;
    const callbacks = {
      event: (event) => this.#event(event),
      message: (direction, message) => this.#emit("message", { direction, message: withoutPassword(message), at: Date.now() }),
      lost: (why) => this.#lost(transport, why),
    };
    transport = await open(this.#options, callbacks);
    if (this.#connection === "closed") return transport.close();
    this.#transport = transport;
    try {
      const fresh = this.#id === null;
      if (fresh) await this.#prepare(transport, agent);
      else await this.#bind(transport);
      // One that is returned to and has no event yet was lost before its start.
      if (fresh || this.#seq === 0) await this.#start(transport);
      if (this.#transport !== transport) throw lost();
      this.#attempt = 0;
      this.#isBound = true;
      // A snapshot that is still coming opens it.
      if (!this.#staging) this.#connect("open");
      this.#lookAtLists();
    } catch (error) {
      if (this.#transport === transport) this.#transport = null;
      transport.close();
      throw error;
    }
  }

  async #prepare(transport, agent) {
    let override = this.#options.override ?? false;
    for (;;) {
      const response = await transport.prepare({ model: this.#options.model ?? "jackfield-client", override, agent });
      if (response.result === "success") {
        this.#id = response.data.session.id;
        this.#seq = 0;
        this.#staging = new Tree(this.#id);
        return transport.prepared?.(this.#id);
      }
      if (response.result !== "confirm") throw failed(response);
      override = Boolean(await this.#options.confirm?.({ message: response.message, agent: agent.id }));
      if (!override) throw new JackfieldError("confirm", response.message ?? "the agent has a session already");
    }
  }

  async #start(transport) {
    const { extension } = this.#options;
    const data = extension === undefined ? { actions: true } : { extension, actions: true };
    const response = await transport.request({ command: "session.start", target: this.#id, data });
    // A start whose answer was lost with its connection has been carried out.
    if (response.result !== "success" && response.failure?.code !== "invalid_state") throw failed(response);
  }

  async #bind(transport) {
    const known = this.#isSure && (this.#tree?.initialized || this.#staging);
    const response = await transport.bind(this.#id, known ? this.#seq : undefined, ({ replay, seq }) => {
      // At once, before the next message: what follows is numbered from here.
      if (replay === "snapshot" || !known) this.#staging = new Tree(this.#id);
      this.#seq = seq;
      this.#isSure = true;
    });
    if (response.result !== "success") throw failed(response);
  }

  #event(event) {
    if (event.seq <= this.#seq) return;
    if (event.seq !== this.#seq + 1) {
      // A number is missing, which no host does: start again from a snapshot rather than show what is not so.
      this.#isSure = false;
      return this.#transport?.fail(`event ${event.seq} is out of order`);
    }
    this.#seq = event.seq;
    const isSnapshot = this.#staging !== null;
    const tree = this.#staging ?? this.#tree;
    const before = isSnapshot ? undefined : tree.get(event.target);
    const node = tree.apply(event);
    this.#emit("event", { ...event, snapshot: isSnapshot });
    if (event.name === "session.listchanged") this.#lists.get(event.data.kind)?.list.change(event.seq, event.data);
    if (event.name === "session.disposed") return this.#gone(event.data.reason, event.data.retryAfter);
    if (isSnapshot) return tree.initialized ? this.#swap() : undefined;
    this.#notify(event, node ?? before);
  }

  /** Notifies listeners of one event that is no part of a snapshot. */
  #notify(event, node) {
    const object = node && isWhole(node) ? this.object(event.target) : undefined;
    this.#emit(event.name, { ...event, object });
    if (!node) return;
    if (event.name.endsWith(".initialized") && isWhole(node)) {
      this.#added(node);
    } else if (node.disposed) {
      this.#objects.delete(node.target);
      if (object) this.#emit("removed", object);
    } else if (object) {
      this.#emit("changed", object);
    }
    // Half a bundle is nothing to show.
    if (isWhole(node)) this.#emit("change", { object });
  }

  #added(node) {
    if (node.kind !== "session") this.#emit("added", this.object(node.target));
    node.children.forEach((child) => this.#added(child));
  }

  /** A snapshot is complete: it takes the place of what was known. Objects that are still there stay the same objects. */
  #swap() {
    const [old, tree] = [this.#tree, this.#staging];
    this.#tree = tree;
    this.#staging = null;
    const removed = [];
    for (const [target, object] of this.#objects) {
      const node = tree.get(target);
      if (node) {
        // The time since when a state holds is known better by who was there.
        if (node.stateData.since === undefined && node.stateData.state === object.state) node.since = object[NODE].since;
        object[NODE] = node;
      } else {
        object[NODE].disposed = true;
        this.#objects.delete(target);
        removed.push(object);
      }
    }
    removed.forEach((object) => this.#emit("removed", object));
    for (const node of tree.nodes.values()) {
      if (node.kind === "session") continue;
      this.#emit(old?.nodes.has(node.target) ? "changed" : "added", this.object(node.target));
    }
    const again = this.#again;
    this.#again = true;
    this.#began?.resolve();
    this.#began = null;
    if (this.#isBound) this.#connect("open");
    this.#mustWatch = true;
    this.#lookAtLists();
    if (old?.root.id !== tree.root.id) this.#emit("started", { again });
    this.#emit("change", {});
  }

  #lookAtLists() {
    if (!this.#mustWatch || this.#connection !== "open") return;
    this.#mustWatch = false;
    this.#watchAgain();
  }

  // ---- when the connection or the session goes away

  #connect(state, more = {}) {
    if (this.#connection === "closed") return;
    this.#connection = state;
    this.#emit("connection", { state, ...more });
    this.#emit("change", {});
  }

  #lost(transport, { code, reason } = {}) {
    if (this.#transport !== transport || this.#connection === "closed") return;
    this.#transport = null;
    if (code === TAKEN_OVER) return this.#end("taken_over");
    // Before it was bound: whoever is establishing it is told by the failure of what it waits for.
    if (this.#isBound && !this.#isLeaving) this.#return(reason);
  }

  /** Comes back to the session, however long it takes. */
  async #return(reason) {
    this.#isBound = false;
    this.#connect("reconnecting", { reason, attempt: 0 });
    while (this.#connection === "reconnecting") {
      await this.#pause();
      if (this.#connection !== "reconnecting") return;
      try {
        return await this.#establish();
      } catch (error) {
        if (error.code === "not_found") return this.#gone("not_found");
        // The host knows fewer events than we do: nothing that we know can be relied on.
        if (error.code === "bad_request") this.#isSure = false;
        this.#connect("reconnecting", { reason: error.message, attempt: this.#attempt });
      }
    }
  }

  /** The session is over, but not by a logout: the desktop says whether and as whom to log in again, and a host that ends
   * says after how many seconds. */
  async #gone(reason, after = 0) {
    if (this.#connection === "closed") return;
    this.#transport?.close();
    [this.#transport, this.#isBound] = [null, false];
    if (reason === "replaced" || !this.#options.logInAgain || this.#began) {
      this.#began?.reject(new JackfieldError("not_found", "there is no such session", { reason }));
      return this.#end(reason);
    }
    [this.#id, this.#seq, this.#staging] = [null, 0, null];
    this.#connect("reconnecting", { reason, attempt: 0 });
    let [agent, error] = [null, undefined];
    while (this.#connection === "reconnecting") {
      agent ??= await this.#options.logInAgain({ reason, error });
      if (!agent) return this.#end(reason);
      await this.#pause(after);
      after = 0;
      if (this.#connection !== "reconnecting") return;
      try {
        return await this.#establish(agent);
      } catch (failure) {
        // Lost in the middle of it: the session may be there already, and is returned to.
        if (this.#id !== null && failure.code === "disconnected") return this.#return(failure.message);
        this.#id = null;
        this.#connect("reconnecting", { reason: failure.message, attempt: this.#attempt });
        if (!PASSING.includes(failure.code)) [agent, error] = [null, failure];
      }
    }
  }

  /** The pause before an attempt: random, so that a thousand desktops do not come back in the same moment, on top of so
   * many seconds. */
  #pause(least = 0) {
    const most = Math.min(BACK_OFF.longest, BACK_OFF.first * 2 ** this.#attempt);
    this.#attempt += 1;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), least * 1000 + Math.random() * most);
      this.#wake = () => { clearTimeout(timer); this.#wake = null; resolve(); };
    });
  }

  #end(reason, error) {
    if (this.#connection === "closed") return;
    this.#connect("closed", { reason });
    this.#transport?.close();
    this.#transport = null;
    this.#wake?.();
    this.#began?.reject(error ?? new JackfieldError("ended", `the session has ended: ${reason}`));
    this.#emit("end", { reason, error });
  }
}

const methodOf = (verb) => verb.replace(/\.(\w)/g, (_, letter) => letter.toUpperCase());
for (const [kind, verbs] of Object.entries(COMMANDS)) {
  for (const verb of verbs.filter((verb) => verb !== "logout")) {
    const { prototype } = kind === "session" ? Session : CLASSES[kind];
    const name = `${kind}.request.${verb}`;
    const send = kind === "session"
      ? function (data) { return this.command(name, this.target, data); }
      : function (data) { return this.command(verb, data); };
    Object.defineProperty(prototype, methodOf(verb), { value: send, writable: true, configurable: true });
  }
}

function withoutPassword(message) {
  const agent = message.data?.agent;
  return agent?.password === undefined ? message
    : { ...message, data: { ...message.data, agent: { ...agent, password: "***" } } };
}

/** What is wrong with the options of `connect`, before anything is sent. */
function mistakeIn({ url, tenant, agent, session, transport = "auto", WebSocket }) {
  if (!tenant) return "tenant is missing";
  if (!agent && !session) return "agent is missing, or the session to return to";
  if (!TRANSPORTS.includes(transport)) return `transport is none of ${TRANSPORTS.join(", ")}: ${transport}`;
  if (transport === "websocket" && !WebSocket) return "there is no global WebSocket here (Node has one from version 22 on): hand one in as WebSocket";
  try {
    return ["http:", "https:"].includes(address({ url, tenant }, "").protocol) ? null : `url is no address of a host, such as http://127.0.0.1:8080: ${url}`;
  } catch {
    return `url is no address of a host, such as http://127.0.0.1:8080: ${url}`;
  }
}

/** Logs an agent in at a host, or returns to a session. Resolves to a Session whose tree is complete. */
export async function connect(options) {
  const { WebSocket, fetch } = globalThis;
  const all = { WebSocket, fetch: (...request) => fetch(...request), ...options };
  const mistake = mistakeIn(all);
  if (mistake) throw new JackfieldError("bad_request", mistake);
  return new Session(all).begin();
}
