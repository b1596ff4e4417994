// The tree of a session, and the objects that a desktop holds in its hands.
//
// Owns: the fold of events into channels, interactions and conversations, and what these tell of themselves. Must never:
// know a connection, or change by anything but an event. Events come from jackfield-client.js.

/** A session's objects, folded from its events. */
export class Tree {
  constructor(session) {
    this.link = "up";
    this.linkReason = undefined;
    this.capabilities = { commands: [], channelTypes: [] };
    this.initialized = false;
    /** By how much this machine's clock is ahead of the host's, as far as events have shown. */
    this.ahead = undefined;
    this.nodes = new Map();
    this.root = this.#add(null, "session", { id: session });
  }

  get(target) {
    return this.nodes.get(target);
  }

  #add(parent, kind, created) {
    const target = parent ? `${parent.target}.${created.id}` : created.id;
    // `created` and `stateData` are what the events said, `info`, `data`, … what they add up to.
    const node = {
      kind, id: created.id, target, parent, created, children: [],
      stateData: {}, info: {}, data: {}, members: new Map(),
      focus: null, url: undefined, ended: undefined, since: undefined, initialized: false, disposed: false,
    };
    this.nodes.set(target, node);
    parent?.children.push(node);
    return node;
  }

  /** Takes one event in. Returns the object that it is about, or undefined where that is not known. */
  apply({ target, name, data, at }) {
    if (at !== undefined) this.ahead = Math.min(this.ahead ?? Infinity, Date.now() - at);
    const node = this.nodes.get(target);
    if (!node) return undefined;
    const dot = name.indexOf(".");
    const [word, verb] = [name.slice(0, dot), name.slice(dot + 1)];
    if (name === "state.updated") {
      // A host that tells no times is older than they are.
      if (node.stateData.state !== data.state || data.since) node.since = data.since ?? at ?? Date.now();
      node.stateData = data;
    } else if (verb === "created") {
      const created = this.#add(node, word, data[word]);
      // The first conversation has the focus without an event.
      if (word === "conversation" && node.children.length === 1 && !node.initialized) node.focus = created.id;
      return created;
    } else if (word === "session") {
      this.#ofSession(node, verb, data);
    } else if (verb === "initialized") {
      node.initialized = true;
    } else if (verb === "disposed") {
      if (data.reason) node.ended = data;
      this.#remove(node);
    } else {
      Tree.#ofObject(node, name, data);
    }
    return node;
  }

  #ofSession(node, verb, data) {
    if (verb === "initialized") {
      this.capabilities = data.capabilities;
      this.initialized = node.initialized = true;
    } else if (verb === "linkchanged") {
      [this.link, this.linkReason] = [data.link, data.reason];
    }
  }

  static #ofObject(node, name, data) {
    switch (name) {
      case "channel.infochanged": node.info = data.channel; break;
      case "interaction.preview":
      case "interaction.screenpop": if (data.url) node.url = data.url; break;
      case "interaction.datachanged":
        node.data = { ...node.data };
        for (const [key, value] of Object.entries(data.data)) {
          if (value === null) delete node.data[key];
          // Not by assignment: a key named __proto__ would not become one.
          else Object.defineProperty(node.data, key, { value, writable: true, enumerable: true, configurable: true });
        }
        break;
      case "interaction.focuschanged": node.focus = data.conversation?.id ?? null; break;
      case "interaction.ended": node.ended = data; node.focus = null; break;
      case "conversation.member.added":
      case "conversation.member.changed": node.members.set(data.member.id, data.member); break;
      case "conversation.member.removed": node.members.delete(data.member.id); break;
      default: // An event of an adapter's own, or of a newer host: nothing that the tree shows.
    }
  }

  #remove(node) {
    node.disposed = true;
    this.nodes.delete(node.target);
    node.children.forEach((child) => this.#remove(child));
    if (node.parent && !node.parent.disposed) {
      node.parent.children = node.parent.children.filter((child) => child !== node);
    }
  }

  /** All that it knows as plain data, target by target: two trees are equal when their views are. */
  view() {
    const view = {};
    for (const node of this.nodes.values()) {
      if (node.kind === "session") continue;
      const { created, stateData, info, data, focus } = node;
      view[node.target] = { created, stateData, info, data, focus, members: Object.fromEntries(node.members) };
    }
    return { link: this.link, objects: view };
  }
}

// ---- what a desktop holds in its hands

/** The node behind an object: nobody outside can reach it. */
export const NODE = Symbol("node");
export const SESSION = Symbol("session");

/** Clocks that differ by less differ by no more than what a message takes. */
const SAME_TIME = 2_000;

/** What is to be added to the host's times to have this machine's. */
export const clockDifference = ({ ahead = 0 }) => (Math.abs(ahead) > SAME_TIME ? ahead : 0);

class JackfieldObject {
  constructor(session, node) {
    this[SESSION] = session;
    this[NODE] = node;
  }
  get id() { return this[NODE].id; }
  get kind() { return this[NODE].kind; }
  get target() { return this[NODE].target; }
  get state() { return this[NODE].stateData.state; }
  get since() { return this[NODE].since + this[SESSION].clockDifference; }
  get actions() { return this[NODE].stateData.actions ?? []; }
  get disposed() { return this[NODE].disposed; }
  get parent() { return this[SESSION].object(this[NODE].parent.target); }
  can(verb) { return !this.disposed && this.actions.includes(`${this.kind}.request.${verb}`); }
  command(verb, data) { return this[SESSION].command(`${this.kind}.request.${verb}`, this.target, data); }
  extension(name, data) { return this[SESSION].extension(name, data, this.target); }
}

const childrenOf = (object) =>
  object[NODE].children.filter((node) => node.initialized).map((node) => object[SESSION].object(node.target));

export class ChannelGroup extends JackfieldObject {
  get name() { return this[NODE].created.name; }
  get channels() { return childrenOf(this); }
}

export class Channel extends JackfieldObject {
  get type() { return this[NODE].created.type; }
  get endpoint() { return this[NODE].created.endpoint; }
  get name() { return this[NODE].created.name; }
  get availability() { return this[NODE].info.availability ?? null; }
  get reasoncode() { return this[NODE].info.reasoncode; }
  get reasondesc() { return this[NODE].info.reasondesc; }
  get queue() { return this[NODE].info.queue; }
  get pending() { return this[NODE].info.pending ?? null; }
  get occupied() { return this[NODE].info.occupied ?? false; }
  get group() { return this.parent instanceof ChannelGroup ? this.parent : null; }
  get interactions() { return childrenOf(this); }
}

export class Interaction extends JackfieldObject {
  get channel() { return this.parent; }
  get type() { return this[NODE].created.type; }
  get direction() { return this[NODE].created.direction; }
  get calls() { return this[NODE].stateData.calls; }
  get recording() { return this[NODE].stateData.recording; }
  get disposition() { return this[NODE].stateData.disposition; }
  get supervises() { return this[NODE].stateData.supervises ?? null; }
  get data() { return this[NODE].data; }
  get url() { return this[NODE].url; }
  get ended() { return this[NODE].ended ?? null; }
  get conversations() { return childrenOf(this); }
  get focus() { return this.conversations.find(({ id }) => id === this[NODE].focus) ?? null; }
}

export class Conversation extends JackfieldObject {
  get interaction() { return this.parent; }
  get role() { return this[NODE].created.role; }
  get ended() { return this[NODE].ended ?? null; }
  get muted() { return this[NODE].stateData.muted ?? false; }
  get members() { return [...this[NODE].members.values()]; }
}

export const CLASSES = {
  channelgroup: ChannelGroup, channel: Channel, interaction: Interaction, conversation: Conversation,
};

/** Nothing of it is still to come: it and all that it is part of have been told in full. */
export const isWhole = (node) => node.kind === "session" || (node.initialized && isWhole(node.parent));

