// The contacts in the middle: what is offered, what is being worked on, what is to be completed.

import { buttons, isOfMember, memberButtons } from "./actions.js";
import { contactOf, pictureOf } from "./channels.js";
import { counting } from "./clock.js";
import { ask, attempt } from "./dialogs.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const INTERACTION = {
  ALERTING: ["Incoming", "go"], DIALING: ["Dialing", "wait"], STARTED: ["In progress", "go"],
  ENDED: ["Ended", "off"], COMPLETED: ["Completed", "off"],
};
const CONVERSATION = {
  ALERTING: ["Ringing", "go"], DIALING: ["Calling", "wait"], TALKING: ["Talking", "go"],
  HELD: ["On hold", "wait"], ENDED: ["Ended", "off"],
};
const CALLS = { CONSULT: "Consulting", CONFERENCE: "Conference" };
const RECORDING = { ON: "Recording", PAUSED: "Recording paused" };
const ENDED = {
  rejected: "Rejected", transferred: "Transferred", abandoned: "The caller gave up",
  redirected: "Offered to somebody else", lost: "Cut by the platform", failed: "It could not be connected",
};
const CAUSE = { busy: "busy", noanswer: "no answer", unreachable: "unreachable", cancelled: "cancelled" };
const SUPERVISES = { listen: "Listening to", whisper: "Whispering to", barge: "In the call of" };
const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

const memberName = ({ name, address, id }) => name || address || id;

/** Who it is about. */
export function whoOf(interaction) {
  const members = interaction.conversations.flatMap((call) => call.members);
  const customer = members.find(({ role }) => role === "customer") ?? members[0];
  if (customer) return memberName(customer);
  const { name, from } = interaction.data;
  return String(name ?? from ?? contactOf(interaction.type));
}

/** What it is and on which channel: "Incoming call · 2001", "Internal call · 2002". */
function kindOf({ type, direction, state, channel }) {
  const isOffered = state === "ALERTING" && direction !== "outbound";
  const words = [isOffered && "incoming", !(isOffered && direction === "inbound") && direction, contactOf(type)].filter(Boolean).join(" ");
  return `${words[0].toUpperCase()}${words.slice(1)} · ${channel.endpoint ?? channel.id}`;
}

/** An address that may be opened: no other than of the web. */
export function webAddress(url) {
  try {
    const { protocol, href } = new URL(url);
    return protocol === "https:" || protocol === "http:" ? href : null;
  } catch {
    return null;
  }
}

function conversationPanel(desk, call) {
  const [state, tone] = CONVERSATION[call.state] ?? [call.state, "off"];
  const hasFocus = call.interaction.focus === call;
  const title = call.role === "consult" ? "Consult" : "Call";
  const keypad = desk.keypads.has(call.target) && call.can("senddtmf");
  const press = {
    "conversation.request.senddtmf": {
      expanded: keypad ? "true" : "false",
      onclick: () => { if (!desk.keypads.delete(call.target)) desk.keypads.add(call.target); desk.draw(); },
    },
  };
  return h("section", { key: call.target, class: `conversation ${tone} ${hasFocus ? "focused" : ""}`, "data-target": call.target, "aria-label": `${title}, ${state}`, tabindex: "-1" },
    h("header", { class: "conversation-head" },
      h("h4", null, title),
      h("span", { class: `chip ${tone}` }, state),
      call.muted && h("span", { class: "chip stop" }, "Muted"),
      hasFocus && call.interaction.conversations.length > 1 && h("span", { class: "chip focus" }, "Focus"),
      counting(call.since)),
    h("ul", { class: "members" }, call.members.map((member) => h("li", { key: member.id },
      h("span", { class: "member-name" }, memberName(member)),
      h("span", { class: "member-more" }, [member.name && member.address, member.role].filter(Boolean).join(" · ")),
      member.muted && h("span", { key: "muted", class: "chip stop" }, "Muted"),
      member.held && h("span", { key: "held", class: "chip wait" }, "On hold"),
      h("span", { key: "buttons", class: "member-buttons" }, memberButtons(desk, call, member, memberName(member)))))),
    h("div", { class: "buttons" }, buttons(desk, call, { size: "small", press, only: (name) => !isOfMember(name) }), desk.extensionsButton(call)),
    keypad && dialPad(desk, call));
}

function dialPad(desk, call) {
  const send = (digits) => attempt("Keypad", () => call.senddtmf({ digits }));
  return h("div", {
    key: "keypad", class: "keypad", role: "group", "aria-label": "Keypad", tabindex: "0",
    onkeydown: (event) => {
      if (!event.ctrlKey && !event.altKey && !event.metaKey && DIGITS.includes(event.key)) { event.preventDefault(); send(event.key); }
    },
  }, DIGITS.map((digit) => h("button", { key: digit, type: "button", class: "key", disabled: desk.isAway, onclick: () => send(digit) }, digit)));
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function dataTable(desk, interaction) {
  const entries = Object.entries(interaction.data);
  const canSet = interaction.can("setinteractiondata");
  const edit = (key, value) => ask({
    title: `Set ${key}`, submit: "Set", fields: [{ name: "value", label: "Value", value: shown(value) }],
    onsubmit: ({ value: text = "" }) => interaction.setinteractiondata({ key, value: text }),
  });
  if (entries.length === 0) return null;
  return h("details", { key: "data", class: "data", open: true },
    h("summary", null, h("h4", null, "Data"), h("span", { class: "count" }, entries.length)),
    h("dl", null, entries.map(([key, value]) => h("div", { key, class: "datum" },
      h("dt", null, key),
      h("dd", null, shown(value),
        canSet && h("button", { type: "button", class: "button bare", "aria-label": `Edit ${key}`, onclick: () => edit(key, value), disabled: desk.isAway }, icon("edit")))))));
}

function statusChips(interaction) {
  const [state, tone] = INTERACTION[interaction.state] ?? [interaction.state, "off"];
  const recording = interaction.type === "Telephony" && RECORDING[interaction.recording];
  return [
    h("span", { key: "state", class: `chip ${tone}` }, interaction.direction === "outbound" && interaction.state === "ALERTING" ? "Outgoing" : state),
    CALLS[interaction.calls] && h("span", { key: "calls", class: "chip focus" }, CALLS[interaction.calls]),
    interaction.supervises && h("span", { key: "supervises", class: "chip focus" }, `${SUPERVISES[interaction.supervises.mode] ?? "Supervising"} ${interaction.supervises.agent}`),
    interaction.disposition && h("span", { key: "disposition", class: "chip" }, interaction.disposition),
    recording && h("span", { key: "recording", class: `chip stop ${interaction.recording === "ON" ? "blinks" : ""}` }, recording),
  ];
}

/** In words, how a contact, or one call of it, ended. */
export function wordsOfEnd({ reason, cause }, what = "contact") {
  const words = reason === "released" ? `The ${what} is over` : ENDED[reason] ?? reason;
  return cause ? `${words}: ${CAUSE[cause] ?? cause}` : words;
}

function endOf({ ended, state }) {
  return ended && state === "ENDED" ? h("p", { key: "end", class: "note" }, wordsOfEnd(ended)) : null;
}

// While a contact is offered, these say the same as Answer and Reject.
const SAME = { "interaction.request.accept": "conversation.request.answer", "conversation.request.release": "interaction.request.reject" };

function offerButtons(desk, interaction) {
  const objects = [...interaction.conversations, interaction];
  const all = objects.flatMap((object) => object.actions);
  const first = (name) => !(SAME[name] && all.includes(SAME[name]));
  return h("div", { key: "offer", class: "offer-buttons" },
    h("div", { class: "buttons" }, objects.map((object) => buttons(desk, object, { size: "large", only: first }))),
    h("div", { class: "buttons" }, objects.map((object) => buttons(desk, object, { size: "small", quiet: true, only: (name) => !first(name) })), desk.extensionsButton(interaction)));
}

function contactCard(desk, interaction) {
  const offered = interaction.state === "ALERTING";
  const who = whoOf(interaction);
  const page = webAddress(interaction.url);
  const direction = { inbound: "from", outbound: "to", internal: "internal with" }[interaction.direction] ?? "";
  const calls = interaction.conversations;
  return h("article", {
    key: interaction.target, class: `contact ${offered ? "offered" : ""} ${interaction.state.toLowerCase()}`, tabindex: "-1",
    "data-target": interaction.target, "aria-label": `${contactOf(interaction.type)} ${direction} ${who}, ${(INTERACTION[interaction.state] ?? [""])[0]}`,
  },
    h("header", { class: "contact-head" },
      h("span", { class: `badge ${offered ? "go rings" : INTERACTION[interaction.state]?.[1]}` }, icon(pictureOf(interaction.type))),
      h("div", { class: "contact-name" },
        h("h3", null, who),
        h("p", null, kindOf(interaction))),
      h("div", { class: "contact-state" }, statusChips(interaction), counting(interaction.since))),
    endOf(interaction),
    page && h("p", { key: "page" }, h("a", { href: page, target: "_blank", rel: "noopener noreferrer", class: "button small quiet" }, icon("open"), h("span", null, "Open page"))),
    offered && offerButtons(desk, interaction),
    !offered && calls.length > 0 && h("div", { key: "calls", class: "conversations" }, calls.map((call) => conversationPanel(desk, call))),
    !offered && h("div", { key: "buttons", class: "buttons" }, buttons(desk, interaction), desk.extensionsButton(interaction)),
    dataTable(desk, interaction));
}

/** The panel of contacts: what is offered stands first and stays in sight. */
export function contactsPanel(desk) {
  const all = desk.session.interactions;
  const order = { ALERTING: 0, DIALING: 1, STARTED: 1, ENDED: 2 };
  const [offers, others] = [all.filter(({ state }) => state === "ALERTING"), all.filter(({ state }) => state !== "ALERTING")];
  others.sort((one, other) => (order[one.state] ?? 3) - (order[other.state] ?? 3));
  const channels = desk.session.channels;
  const waiting = channels.some(({ availability }) => availability === "READY")
    ? "You are ready. Contacts appear here."
    : channels.length ? "Make a channel ready to receive contacts, or dial." : "Nothing to do yet.";
  return h("section", { key: "contacts", class: "panel contacts", "aria-labelledby": "contacts-title", tabindex: "-1" },
    h("header", { class: "panel-head" }, h("h2", { id: "contacts-title" }, "Contacts"), all.length > 0 && h("span", { class: "count" }, all.length)),
    h("div", { key: "offers", class: "offers" }, offers.map((interaction) => contactCard(desk, interaction))),
    all.length === 0 && h("div", { key: "empty", class: "nothing" }, icon("phone"), h("p", null, waiting)),
    h("div", { key: "cards", class: "cards" }, others.map((interaction) => contactCard(desk, interaction))));
}
