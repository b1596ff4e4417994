// Compiles: what a desktop written in TypeScript does.
import { connect, JackfieldError, type Interaction, type Session } from "jackfield-client";

export async function work(): Promise<void> {
  const session: Session = await connect({
    url: "http://127.0.0.1:8080",
    tenant: "demo",
    agent: { id: "1001", password: "any" },
    needinfo: ({ uiExtension }) => ({ skill: { id: uiExtension.skills[0].id } }),
    on: { "interaction.screenpop": ({ data }) => console.log(data.url), connection: ({ state }) => console.log(state) },
  });
  session.on("added", (object) => {
    if (object.kind === "interaction") show(object);
  });
  session.on("interaction.ended", ({ object, data }) => console.log(object?.id, data.reason === "failed" && data.cause));
  session.on("session.example.messages", ({ data }) => console.log(data.anything));
  await session.addchannel({ channel: { endpoint: "2001", type: "Telephony" } });
  const channel = await session.until(() => session.channels[0]);
  await channel.notready({ reasoncode: "lunch" });
  await session.command("channel.request.ready", channel.target);
  await channel.command("dial", { destination: "5551234" });
  await channel.extension("channel.request.simulator.askskill", { on: true });
  const destinations = await session.watch("destinations");
  const free = destinations.entries.filter(({ presence }) => presence?.state === "READY");
  console.log((await session.list("queues", { query: "sales" })).entries[0]?.waiting, free[0]?.addresses?.[0]?.address);
  session.on("list", (list) => console.log(list.kind));
  await destinations.stop();
  await session.supervise({ agent: "1002", mode: "whisper" });
  if (session.can("colleague.notready")) await session.colleagueNotready({ agent: "1002", reasoncode: "meeting" });
  await session.colleagueReady({ agent: "1002" });
  if (channel.can("deactivate")) await channel.deactivate();
  await session.logout().catch((error: unknown) => {
    if (error instanceof JackfieldError && error.code === "timeout") console.log(error.context);
  });
}

function show(contact: Interaction): void {
  const call = contact.focus;
  if (call?.state === "TALKING") call.senddtmf({ digits: "12#" });
  for (const { id, muted } of call?.members ?? []) if (muted) call?.memberUnmute({ member: { id } });
  if (contact.supervises?.mode === "listen") console.log(contact.supervises.agent);
  if (contact.recording === "ON") contact.recordingPause();
}
