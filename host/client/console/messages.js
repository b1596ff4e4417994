// The messages between this page and the host, as they were sent.
//
// Owns: the last messages, and the list of them. Must never: hold more than it says, or draw while nobody looks: a burst
// of events costs the page an entry each and nothing else.

import { create, h } from "./dom.js";
import { icon } from "./icons.js";
import { tell } from "./dialogs.js";

const KEPT = 500;
/** So many at a time are put on the page. */
const BATCH = 50;

const clockTime = (at) => new Date(at).toISOString().slice(11, 23);

/** In a few words: what it is, about what. */
function summary({ direction, message }) {
  const short = (target = "") => target.split(".").slice(1).join(".") || (target && "session");
  if (message.messageType === "objectEvent") {
    const state = message.data?.state ?? message.data?.channel?.availability ?? "";
    return { kind: "event", name: message.name, about: `${short(message.target)} ${state}`, mark: `#${message.seq}` };
  }
  if (direction === "sent") return { kind: "command", name: message.command, about: short(message.target), mark: "" };
  const { result, failure } = message;
  return { kind: result === "success" ? "success" : "failure", name: message.command ?? "?", about: failure ? failure.code : result, mark: "" };
}

export class Messages {
  #entries = [];
  #waiting = [];
  #element = null;
  #list = null;
  #count = null;
  #asked = false;
  #filter = "";
  #direction = "";
  /** Whether the newest message is in sight, and stays so. */
  #followsEnd = true;

  add(entry) {
    this.#entries.push(entry);
    if (this.#entries.length > KEPT) this.#entries.shift();
    if (!this.#list) return;
    this.#waiting.push(entry);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
    this.#later();
  }

  #later() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#flush();
    });
  }

  #flush() {
    if (!this.#list) return;
    const list = this.#list;
    const some = this.#waiting.splice(0, BATCH).filter((entry) => this.#shows(entry));
    list.append(...some.map((entry) => this.#row(entry)));
    for (let more = list.children.length - KEPT; more > 0; more -= 1) list.firstElementChild.remove();
    this.#count.textContent = `${this.#entries.length} messages`;
    if (this.#followsEnd) list.scrollTop = Number.MAX_SAFE_INTEGER;
    if (this.#waiting.length) this.#later();
  }

  #shows(entry) {
    if (this.#direction && entry.direction !== this.#direction) return false;
    return !this.#filter || JSON.stringify(entry.message).toLowerCase().includes(this.#filter);
  }

  #row(entry) {
    const { kind, name, about, mark } = summary(entry);
    const details = create(h("details", { class: `message ${kind}` },
      h("summary", null,
        h("span", { class: "message-way", "aria-label": entry.direction }, entry.direction === "sent" ? "↑" : "↓"),
        h("time", null, clockTime(entry.at)),
        h("strong", null, name),
        h("span", { class: "message-about" }, `${about} ${mark}`))));
    // What nobody opens is not drawn.
    details.ontoggle = () => {
      if (!details.open || details.children.length > 1) return;
      const text = JSON.stringify(entry.message, null, 2);
      details.append(create(h("div", { class: "message-body" },
        h("button", { type: "button", class: "button small quiet", onclick: () => copy(text) }, icon("copy"), h("span", null, "Copy")),
        h("pre", { tabindex: "0", "aria-label": name }, text))));
    };
    return details;
  }

  #redraw() {
    this.#list.replaceChildren();
    this.#waiting = [...this.#entries];
    this.#later();
  }

  /** The list, with its filter: made when it is opened. */
  show(onclose) {
    const filter = (event) => { this.#filter = event.currentTarget.value.toLowerCase(); this.#redraw(); };
    const direction = (event) => { this.#direction = event.currentTarget.value; this.#redraw(); };
    const all = () => copy(this.#entries.filter((entry) => this.#shows(entry)).map(({ message }) => JSON.stringify(message)).join("\n"));
    const clear = () => { this.#entries = []; this.#redraw(); this.#count.textContent = "0 messages"; };
    this.#element = create(h("section", { class: "panel messages", "aria-labelledby": "messages-title" },
      h("header", { class: "panel-head" },
        h("h2", { id: "messages-title" }, "Messages"),
        h("span", { class: "count messages-count" }),
        h("button", { type: "button", class: "button bare", "aria-label": "Close messages", onclick: onclose }, icon("close"))),
      h("div", { class: "messages-tools" },
        h("input", { type: "search", "aria-label": "Filter messages", placeholder: "Filter", value: this.#filter, oninput: filter }),
        h("select", { "aria-label": "Direction", value: this.#direction, onchange: direction },
          h("option", { value: "" }, "Both ways"), h("option", { value: "sent" }, "Sent"), h("option", { value: "received" }, "Received")),
        h("button", { type: "button", class: "button small quiet", onclick: all }, icon("copy"), h("span", null, "Copy all")),
        h("button", { type: "button", class: "button small quiet", onclick: clear }, "Clear")),
      h("div", { class: "message-list", tabindex: "0", role: "group", "aria-label": "Messages in order" })));
    this.#list = this.#element.querySelector(".message-list");
    this.#list.onscroll = ({ target }) => { this.#followsEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40; };
    this.#count = this.#element.querySelector(".messages-count");
    this.#redraw();
    return this.#element;
  }

  hide() {
    this.#element?.remove();
    this.#element = this.#list = null;
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied", { tone: "good" });
  } catch {
    tell("The browser does not let this page copy; select the text instead");
  }
}
