// Every line below a @ts-expect-error does not compile: the compiler complains where one does.
import type { Channel, Conversation, Session } from "jackfield-client";

export function mistakes(session: Session, channel: Channel, call: Conversation): void {
  // @ts-expect-error a misspelt method
  call.hodl();
  // @ts-expect-error a misspelt command
  session.command("conversation.request.hodl", call.target);
  // @ts-expect-error a misspelt verb
  call.can("hodl");
  // @ts-expect-error another object's command
  channel.command("hold");
  // @ts-expect-error a misspelt member of the data
  channel.dial({ destinaton: "5551234" });
  // @ts-expect-error data that is missing
  channel.notready();
  // @ts-expect-error a type of channel that there is not
  session.addchannel({ channel: { endpoint: "1", type: "Telefony" } });
  // @ts-expect-error a way of supervising that there is not
  session.supervise({ agent: "1002", mode: "shout" });
  // @ts-expect-error a list that there is not
  session.watch("colleagues");
  // @ts-expect-error a misspelt notification
  session.on("adedd", () => {});
  // @ts-expect-error a misspelt event
  session.on("interaction.ednded", () => {});
  // @ts-expect-error a misspelt member of an event's data
  session.on("interaction.ended", ({ data }) => console.log(data.reson));
  // @ts-expect-error a reason that there is not
  session.on("interaction.ended", ({ data }) => data.reason === "hungup");
  // @ts-expect-error a state that there is not
  if (call.state === "TALKNG") call.hold();
  // @ts-expect-error a standard command is not an extension
  session.extension("channel.request.ready");
}
