// The channels at the side: what each can be used for now, and what can be done with it.

import { buttons } from "./actions.js";
import { counting } from "./clock.js";
import { ask, attempt, confirm } from "./dialogs.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const TYPES = {
  Telephony: { icon: "phone", label: "Telephone", contact: "call" },
  Chat: { icon: "chat", label: "Chat", contact: "chat" },
  Email: { icon: "mail", label: "E-mail", contact: "e-mail" },
};

export const pictureOf = (type) => TYPES[type]?.icon ?? "bolt";
export const labelOf = (type) => TYPES[type]?.label ?? type;
/** What comes in on a channel of this type, within a sentence. */
export const contactOf = (type) => TYPES[type]?.contact ?? type;

const AVAILABILITY = { READY: ["Ready", "go"], NOTREADY: ["Not ready", "wait"], ACW: ["After-call work", "wait"] };

/** In words and in a colour: how a channel is. */
function statusOf(channel) {
  if (channel.state === "UNAVAILABLE") return ["Unavailable", "stop"];
  if (channel.state === "INACTIVE") return ["Inactive", "off"];
  const [word, tone] = AVAILABILITY[channel.availability] ?? ["Active", "wait"];
  const reason = channel.reasondesc ?? channel.reasoncode;
  return [reason && channel.availability !== "READY" ? `${word}: ${reason}` : word, tone];
}

function pendingOf({ pending }) {
  if (!pending) return null;
  const [word] = AVAILABILITY[pending.availability] ?? [pending.availability];
  return h("p", { class: "note" }, `Then ${[word, pending.reasondesc ?? pending.reasoncode].filter(Boolean).join(": ").toLowerCase()}`);
}

function channelCard(desk, channel) {
  const [status, tone] = statusOf(channel);
  const queue = [channel.queue ?? []].flat();
  const removable = desk.session.can("removechannel") && !channel.group && channel.interactions.length === 0;
  const remove = async () => {
    const yes = await confirm({ title: "Remove the channel?", text: `${labelOf(channel.type)} ${channel.endpoint} is not used any more in this session.`, yes: "Remove" });
    if (yes) await attempt("Remove", () => desk.session.removechannel({ channel: { id: channel.id } }));
  };
  return h("li", { key: channel.target, class: "channel", "data-target": channel.target, tabindex: "-1" },
    h("div", { class: "channel-head" },
      h("span", { class: `badge ${tone}` }, icon(pictureOf(channel.type))),
      h("div", { class: "channel-name" },
        h("h3", null, channel.endpoint),
        h("p", null, [labelOf(channel.type), channel.name !== channel.endpoint && channel.name, ...queue].filter(Boolean).join(" · "))),
      desk.extensionsButton(channel),
      removable && h("button", { type: "button", class: "button bare", "aria-label": `Remove ${channel.endpoint}`, title: "Remove", onclick: remove, disabled: desk.isAway }, icon("close"))),
    h("p", { class: "channel-state" },
      h("span", { class: `chip ${tone}` }, status),
      channel.occupied && h("span", { class: "chip busy" }, "In use"),
      channel.state === "ACTIVE" && counting(channel.since)),
    pendingOf(channel),
    h("div", { class: "buttons" }, buttons(desk, channel, { size: "small" })));
}

function groupCard(desk, group) {
  const removable = desk.session.can("removechannelgroup") && group.channels.every(({ interactions }) => interactions.length === 0);
  const remove = () => attempt("Remove", () => desk.session.removechannelgroup({ channelgroup: { id: group.id } }));
  return h("section", { key: group.target, class: "group", "aria-label": `Group ${group.name ?? group.id}`, "data-target": group.target, tabindex: "-1" },
    h("header", { class: "group-head" },
      h("h3", null, group.name ?? group.id),
      h("div", { class: "buttons" }, buttons(desk, group, { size: "small" }),
        removable && h("button", { type: "button", class: "button bare", "aria-label": `Remove group ${group.name ?? group.id}`, title: "Remove", onclick: remove, disabled: desk.isAway }, icon("close")))),
    h("ul", { class: "list" }, group.channels.map((channel) => channelCard(desk, channel))));
}

function addChannel(desk) {
  const { session } = desk;
  return ask({
    title: "Add a channel", submit: "Add",
    intro: "A telephone, or an address for chats or e-mails, that you work with in this session.",
    fields: [
      { name: "type", label: "Type", required: true, options: session.capabilities.channelTypes },
      { name: "endpoint", label: "Endpoint", required: true, hint: "The telephone's extension, or the address", remember: "endpoints", list: { session, kind: "endpoints" } },
      { name: "activate", label: "Activate it", type: "checkbox", value: true },
    ],
    onsubmit: async ({ type, endpoint, activate }) => {
      await session.addchannel({ channel: { endpoint, type } });
      if (!activate) return;
      const added = await session.until(() => session.channels.find((channel) => channel.endpoint === endpoint && channel.type === type));
      if (added.can("activate")) await added.activate();
    },
  });
}

function addGroup({ session }) {
  return ask({
    title: "Add a channel group", submit: "Add",
    fields: [
      { name: "name", label: "Name", required: true, known: ["all"], remember: "groups", list: { session, kind: "groups" } },
      { name: "chat", label: "With chat", type: "checkbox" },
      { name: "email", label: "With e-mail", type: "checkbox" },
      { name: "callback", label: "With a telephone for calling back", type: "checkbox" },
    ],
    onsubmit: (channelgroup) => session.addchannelgroup({ channelgroup }),
  });
}

/** The panel of channels. */
export function channelsPanel(desk) {
  const { session } = desk;
  const single = session.channels.filter(({ group }) => !group);
  const empty = session.channels.length === 0 && session.channelgroups.length === 0;
  return h("section", { key: "channels", class: "panel channels", "aria-labelledby": "channels-title", tabindex: "-1" },
    h("header", { class: "panel-head" },
      h("h2", { id: "channels-title" }, "Channels"),
      h("div", { class: "buttons" },
        session.can("addchannel") && h("button", { key: "add", type: "button", class: "button small quiet", onclick: () => addChannel(desk), "aria-haspopup": "dialog" }, icon("plus"), h("span", null, "Channel")),
        session.can("addchannelgroup") && h("button", { key: "group", type: "button", class: "button small quiet", onclick: () => addGroup(desk), "aria-haspopup": "dialog" }, icon("plus"), h("span", null, "Group")))),
    empty && h("p", { key: "empty", class: "empty" }, "Add a channel to receive contacts: a telephone, a chat or an e-mail address."),
    single.length > 0 && h("ul", { key: "single", class: "list" }, single.map((channel) => channelCard(desk, channel))),
    session.channelgroups.map((group) => groupCard(desk, group)));
}
