// The standard commands as buttons: what each is called here, how it looks, and what it asks for first.
//
// Owns: words and pictures for commands. Must never: decide whether a command is allowed; the host says that for every
// object, and there is a button for each that it allows.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { ask, attempt, confirm } from "./dialogs.js";

const destination = { name: "destination", label: "Number or endpoint", required: true, remember: "destinations", list: "destinations" };

/**
 * label, icon; tone: `go`, `stop`, `main` or quiet; slot: buttons that take each other's place share one, so that the
 * keyboard's focus stays on it; fields: what is asked for; form: the data made of the answers.
 */
const ACTIONS = {
  "channelgroup.request.activateall": { label: "Activate all", icon: "power" },
  "channelgroup.request.deactivateall": { label: "Deactivate all", icon: "power" },
  "channel.request.activate": {
    label: "Activate", icon: "power", tone: "main", slot: "active", title: "Activate the channel",
  },
  "channel.request.ready": { label: "Ready", icon: "check", tone: "go" },
  "channel.request.notready": {
    label: "Not ready", icon: "pause", title: "Not ready",
    fields: [
      { name: "reasoncode", label: "Reason code", required: true, remember: "reasons", known: ["acw"], list: "reasons", hint: "acw is after-call work" },
      { name: "reasondesc", label: "Description" },
    ],
  },
  "channel.request.dial": { label: "Dial", icon: "phone", tone: "main", title: "Call a number", fields: [destination] },
  "channel.request.deactivate": { label: "Deactivate", icon: "power", slot: "active" },
  "conversation.request.answer": { label: "Answer", icon: "phone", tone: "go" },
  "interaction.request.accept": { label: "Accept", icon: "check", tone: "go" },
  "interaction.request.reject": { label: "Reject", icon: "close", tone: "stop" },
  "conversation.request.hold": { label: "Hold", icon: "pause", slot: "hold" },
  "conversation.request.retrieve": { label: "Retrieve", icon: "play", tone: "main", slot: "hold" },
  "conversation.request.mute": { label: "Mute", icon: "mute", slot: "mute" },
  "conversation.request.unmute": { label: "Unmute", icon: "unmute", slot: "mute" },
  "conversation.request.senddtmf": { label: "Keypad", icon: "keypad" },
  "conversation.request.blindtransfer": { label: "Transfer", icon: "transfer", title: "Transfer without asking", fields: [destination] },
  "conversation.request.blindconference": { label: "Add party", icon: "plus", title: "Add a party to the call", fields: [destination] },
  "conversation.request.release": { label: "Release", icon: "hangup", tone: "stop" },
  "interaction.request.consult": { label: "Consult", icon: "consult", title: "Consult somebody", fields: [destination] },
  "interaction.request.alternate": { label: "Swap", icon: "swap" },
  "interaction.request.consulttransfer": { label: "Complete transfer", icon: "transfer", tone: "main" },
  "interaction.request.consultconference": { label: "Conference", icon: "conference" },
  "interaction.request.recording.start": { label: "Record", icon: "record", slot: "record" },
  "interaction.request.recording.stop": { label: "Stop recording", icon: "stop" },
  "interaction.request.recording.pause": { label: "Pause recording", icon: "pause", slot: "pause" },
  "interaction.request.recording.resume": { label: "Resume recording", icon: "record", slot: "pause" },
  "interaction.request.setdisposition": {
    label: "Disposition", icon: "tag", title: "How did it turn out?",
    fields: [{ name: "disposition", label: "Disposition", required: true, remember: "dispositions", list: "dispositions" }],
  },
  "interaction.request.setinteractiondata": {
    label: "Set data", icon: "edit", title: "Set a value of the contact's data",
    fields: [{ name: "key", label: "Key", required: true }, { name: "value", label: "Value" }],
  },
  "interaction.request.complete": { label: "Complete", icon: "check", tone: "main" },
};

/** A command that would change nothing now has no button: there is nothing to be had by pressing it. */
function changesNothing(object, name) {
  switch (name) {
    case "channel.request.ready": return object.availability === "READY" && !object.pending;
    case "conversation.request.mute": return object.muted;
    case "conversation.request.unmute": return !object.muted;
    case "interaction.request.recording.start": return object.recording !== "OFF";
    case "interaction.request.recording.stop": return object.recording === "OFF";
    case "interaction.request.recording.pause": return object.recording !== "ON";
    case "interaction.request.recording.resume": return object.recording !== "PAUSED";
    default: return false;
  }
}

/** The buttons for all that an object allows now; `press` takes the place of what a command's button does. */
export function buttons(desk, object, { size = "", press = {}, only = () => true, quiet = false } = {}) {
  const order = Object.keys(ACTIONS);
  const allowed = object.actions.filter((name) => only(name) && !changesNothing(object, name));
  allowed.sort((one, other) => order.indexOf(one) - order.indexOf(other));
  return allowed.map((name) => button(desk, object, name, size, press[name], quiet));
}

/** What can be done with one member of a conference: of what takes each other's place the one that changes something. */
const MEMBER_ACTIONS = [
  { verb: "mute", label: "Mute", icon: "mute", slot: "mute", when: ({ muted }) => !muted },
  { verb: "unmute", label: "Unmute", icon: "unmute", slot: "mute", when: ({ muted }) => muted },
  { verb: "hold", label: "Hold", icon: "pause", slot: "hold", when: ({ held }) => !held },
  { verb: "retrieve", label: "Retrieve", icon: "play", slot: "hold", when: ({ held }) => held },
  {
    verb: "remove", label: "Remove", icon: "close", when: () => true,
    asks: (name) => ({ title: `Remove ${name}?`, text: `${name} leaves the call; the others go on.`, yes: "Remove" }),
  },
];

/** Commands to one member stand with the member, not with the call. */
export const isOfMember = (name) => name.startsWith("conversation.request.member.");

/** The buttons for all that a call allows with one of its members now. */
export function memberButtons(desk, call, member, name) {
  const there = MEMBER_ACTIONS.filter(({ verb, when }) => call.can(`member.${verb}`) && when(member));
  return there.map(({ verb, label, icon: picture, slot, asks }) => {
    const onclick = async () => {
      if (asks && !(await confirm(asks(name)))) return;
      await attempt(`${label} ${name}`, () => call.command(`member.${verb}`, { member: { id: member.id } }));
    };
    return h("button", {
      key: slot ?? verb, type: "button", class: "button bare", "data-command": `conversation.request.member.${verb}`, onclick,
      "aria-label": `${label} ${name}`, title: `${label} ${name}`, disabled: desk.session.connection !== "open",
    }, icon(picture));
  });
}

function button(desk, object, name, size, press, quiet) {
  const verb = name.split(".request.")[1];
  const { label, icon: picture, tone = "quiet", slot, title, fields } = ACTIONS[name] ?? { label: verb, icon: "bolt" };
  const send = (data) => attempt(label, () => object.command(verb, data));
  const onclick = press?.onclick ?? (() => {
    if (!fields) return send();
    const { session } = desk;
    const under = object.kind === "interaction" ? object.target : undefined;
    const listed = fields.map((field) => (field.list ? { ...field, list: { session, kind: field.list, under: field.list === "dispositions" ? under : undefined } } : field));
    return ask({ title: title ?? label, fields: listed, submit: label, onsubmit: (data) => object.command(verb, data) });
  });
  return h("button", {
    key: slot ?? name, type: "button", class: `button ${quiet ? "quiet" : tone} ${size}`, "data-command": name, onclick,
    disabled: desk.session.connection !== "open", "aria-expanded": press?.expanded, "aria-haspopup": fields ? "dialog" : undefined,
  }, icon(picture), h("span", null, label));
}
