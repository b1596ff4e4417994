import { connect } from "../jackfield-client.js";

const [login, status, desk] = ["login", "status", "desk"].map((id) => document.getElementById(id));
const show = (error) => { status.textContent = `${error.code}: ${error.message}`; };

login.onsubmit = (event) => {
  event.preventDefault();
  work(Object.fromEntries(new FormData(login))).catch(show);
};

async function work({ url, tenant, agent, password, endpoint }) {
  const session = await connect({ url, tenant, agent: { id: agent, password }, confirm: ({ message }) => window.confirm(message) });
  login.remove();
  session.on("change", () => draw(session));
  // Where the agent had a session with a call, the call is in this one, and its telephone is, too.
  const find = () => session.channels.find((channel) => channel.endpoint === endpoint);
  if (!find()) await session.addchannel({ channel: { endpoint, type: "Telephony" } });
  const telephone = await session.until(find);
  if (telephone.can("activate")) await telephone.activate();
  await telephone.ready();
  draw(session);
}

function button(object, verb, data) {
  const element = document.createElement("button");
  element.textContent = verb;
  element.hidden = !object.can(verb);
  element.onclick = () => object.command(verb, data?.()).catch(show);
  return element;
}

function draw(session) {
  status.textContent = `${session.connection}: ${session.channels.map((channel) => `${channel.endpoint} ${channel.availability}`)}`;
  desk.replaceChildren(...session.interactions.map((contact) => {
    const card = document.createElement("section");
    const parties = contact.conversations.flatMap((call) => call.members.map(({ name, address }) => name ?? address));
    card.append(`${contact.state} ${contact.calls ?? ""} ${parties} `);
    for (const call of contact.conversations) card.append(...["answer", "hold", "retrieve", "release"].map((verb) => button(call, verb)));
    card.append(button(contact, "consult", () => ({ destination: prompt("Whom?") })), button(contact, "consulttransfer"), button(contact, "complete"));
    return card;
  }));
}
