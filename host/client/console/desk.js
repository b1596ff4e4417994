// The page of a session: its head, its channels, its contacts, its messages.

import { announce, ask, attempt, tell } from "./dialogs.js";
import { channelsPanel, contactOf } from "./channels.js";
import { contactsPanel, webAddress, whoOf, wordsOfEnd } from "./contacts.js";
import { drawer, h } from "./dom.js";
import { icon } from "./icons.js";
import { askExtension, chooseExtension, titleOf } from "./questions.js";
import { ring, silent, toggleSound } from "./ring.js";

const CONNECTION = {
  connecting: ["Connecting", "wait"], open: ["Connected", "go"], reconnecting: ["Reconnecting", "wait"], closed: ["Closed", "stop"],
};

/** Whether a call that ends goes on as a part of the contact's other one, in a conference. */
function isMerged({ id, members, interaction }) {
  const others = interaction.conversations.filter((call) => call.id !== id).flatMap((call) => call.members);
  return members.length > 0 && members.every(({ address }) => others.some((other) => other.address === address));
}

export class Desk {
  /** The conversations whose keypads are open. */
  keypads = new Set();
  session = null;
  #extensions = [];
  #messages;
  #reason = "";
  #attempts = 0;
  #showsMessages = false;
  #about;

  /** `about`: who works here; `redraw`: draws the page. */
  constructor(about, messages, redraw) {
    this.#about = about;
    this.#messages = messages;
    this.draw = drawer(redraw);
  }

  get isAway() {
    return this.session.connection !== "open";
  }

  /** The session is there. */
  attach(session) {
    this.session = session;
    session.on("change", () => this.draw());
    session.on("connection", ({ state, reason, attempt: attempts }) => {
      [this.#reason, this.#attempts] = [reason ?? "", attempts ?? 0];
      if (state === "reconnecting" && !attempts) announce("The connection is lost. Reconnecting.");
      if (state === "open") announce("Connected");
    });
    session.on("added", (object) => {
      if (object.kind === "interaction" && object.state === "ALERTING") announce(`Incoming ${contactOf(object.type)} from ${whoOf(object)}`);
    });
    session.on("interaction.screenpop", ({ data }) => {
      const link = webAddress(data.url);
      if (link) tell("There is a page for this contact", { tone: "good", link });
    });
    session.on("interaction.ended", ({ object, data }) => {
      // What was only offered is gone with it, and nothing else would say why.
      if (["abandoned", "redirected"].includes(data.reason) && object) tell(`${whoOf(object)}: ${wordsOfEnd(data)}`);
    });
    session.on("conversation.disposed", ({ object, data }) => {
      if (data.reason && object && !isMerged(object)) tell(`${object.role === "consult" ? "Consult" : "Call"}: ${wordsOfEnd(data, "call")}`, { tone: data.reason === "failed" ? "bad" : "good" });
    });
    session.extensions().then((commands) => { this.#extensions = commands; this.draw(); }, () => { /* The page is whole without them. */ });
    this.draw();
  }

  /** The button for the adapter's own commands of an object, where there are any. */
  extensionsButton(object) {
    const commands = this.#extensions.filter(({ target }) => target === object.kind);
    if (commands.length === 0) return null;
    const onclick = () => (commands.length === 1 ? askExtension(object, commands[0]) : chooseExtension(object, commands));
    const label = commands.length === 1 ? titleOf(commands[0].name) : "More commands";
    return h("button", { key: "extensions", type: "button", class: "button bare", "aria-label": label, title: label, "aria-haspopup": "dialog", disabled: this.isAway, onclick }, icon("more"));
  }

  #toggleMessages() {
    this.#showsMessages = !this.#showsMessages;
    if (!this.#showsMessages) this.#messages.hide();
    this.draw();
  }

  /** Puts the list of messages where it belongs; it draws itself. */
  placeMessages() {
    const place = document.getElementById("messages");
    if (!place || place.childElementCount > 0) return;
    place.append(this.#messages.show(() => { this.#toggleMessages(); document.getElementById("show-messages")?.focus(); }));
    // On a narrow page they stand below the rest, where nobody would see that they are there.
    place.scrollIntoView({ block: "nearest" });
  }

  #head({ theme }) {
    const { session } = this;
    const [word, tone] = CONNECTION[session.connection] ?? CONNECTION.closed;
    const linkDown = session.connection === "open" && session.link === "down";
    return h("header", { key: "head", class: "top" },
      h("div", { class: "brand" }, h("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), h("h1", null, "Jackfield")),
      h("p", { class: "who" }, h("strong", null, this.#about.agent), h("span", null, this.#about.tenant)),
      h("p", { class: `pill ${linkDown ? "stop" : tone}`, role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), linkDown ? "Platform link down" : word),
      h("nav", { class: "buttons", "aria-label": "Session" },
        this.#extensions.some(({ target }) => target === "session") && this.#sessionExtensions(),
        this.#supervise(),
        h("button", { key: "sound", type: "button", class: "button bare", "aria-pressed": String(silent()), "aria-label": "Silence the ring tone", title: silent() ? "The ring tone is off" : "The ring tone is on", onclick: () => { toggleSound(); this.draw(); } }, icon(silent() ? "silent" : "sound")),
        h("button", { key: "theme", type: "button", class: "button bare", "aria-label": "Switch between light and dark", title: "Light or dark", onclick: theme }, icon("theme")),
        h("button", { key: "messages", id: "show-messages", type: "button", class: "button small quiet", "aria-pressed": String(this.#showsMessages), onclick: () => this.#toggleMessages() }, icon("messages"), h("span", null, "Messages")),
        h("button", { key: "out", type: "button", class: "button small quiet", disabled: this.isAway, onclick: () => attempt("Log out", () => session.logout()) }, icon("out"), h("span", null, "Log out"))));
  }

  /** What a supervisor can do with a colleague, in one dialog; nothing where the platform has nothing of it. */
  #supervise() {
    const { session } = this;
    const hears = (mode) => ["supervise", ({ agent }) => session.supervise({ agent, mode })];
    const deeds = {
      listen: hears("listen"),
      whisper: hears("whisper"),
      barge: hears("barge"),
      "not ready": ["colleague.notready", ({ agent, reasoncode }) => session.colleagueNotready({ agent, reasoncode })],
      ready: ["colleague.ready", ({ agent }) => session.colleagueReady({ agent })],
    };
    const options = Object.keys(deeds).filter((deed) => session.can(deeds[deed][0]));
    if (options.length === 0) return null;
    const onclick = () => ask({
      title: "Supervise a colleague", submit: "Do it",
      fields: [
        { name: "agent", label: "Colleague", required: true, list: { session, kind: "destinations", only: "colleague" } },
        { name: "deed", label: "What you do", required: true, options, hint: "listen, whisper, barge: hear the call, and be heard by nobody, by the colleague alone, by all; not ready, ready: whether the colleague takes contacts" },
        options.includes("not ready") && { name: "reasoncode", label: "Reason code", remember: "reasons", list: { session, kind: "reasons" }, hint: "for not ready" },
      ].filter(Boolean),
      onsubmit: (data) => deeds[data.deed][1](data),
    });
    return h("button", { key: "supervise", type: "button", class: "button small quiet", "aria-haspopup": "dialog", disabled: this.isAway, onclick }, icon("listen"), h("span", null, "Supervise"));
  }

  #sessionExtensions() {
    const { session } = this;
    const commands = this.#extensions.filter(({ target }) => target === "session");
    const onclick = () => (commands.length === 1 ? askExtension(session, commands[0]) : chooseExtension(session, commands));
    return h("button", { key: "extensions", type: "button", class: "button small quiet", "aria-haspopup": "dialog", disabled: this.isAway, onclick }, icon("extension"), h("span", null, "Commands"));
  }

  #banner() {
    const { session } = this;
    if (session.connection === "reconnecting") {
      const attempts = this.#attempts ? ` Attempt ${this.#attempts + 1}.` : "";
      return h("div", { key: "banner", class: "banner wait" }, h("span", { class: "spinner", "aria-hidden": "true" }),
        h("p", null, h("strong", null, "The connection is lost; coming back."), ` Calls go on at the platform.${attempts}`, this.#reason && h("span", { class: "reason" }, ` ${this.#reason}`)));
    }
    if (session.connection === "open" && session.link === "down") {
      return h("div", { key: "banner", class: "banner stop" },
        h("p", null, h("strong", null, "The host has lost its platform."), ` Calls go on; commands fail until the link is back. ${session.linkReason ?? ""}`));
    }
    return null;
  }

  /** The whole page. */
  page(context) {
    const { session } = this;
    const offered = session.interactions.filter(({ state }) => state === "ALERTING");
    ring(offered.length ? `Incoming: ${whoOf(offered[0])}` : null);
    const page = h("div", { key: "desk", class: `desk ${this.#showsMessages ? "with-messages" : ""}` },
      this.#head(context),
      this.#banner(),
      h("main", { key: "main", class: `columns ${this.isAway ? "away" : ""}` },
        channelsPanel(this),
        contactsPanel(this),
        this.#showsMessages && h("div", { key: "messages", id: "messages", own: true })));
    return page;
  }
}
