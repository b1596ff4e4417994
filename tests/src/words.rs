//! The lists of events in protocol.md, section 4, as words: what [`crate::agent::Agent::hears`] compares with.
//!
//! An event goes by its name; where the name alone does not tell the object, the object stands in brackets:
//! `state.updated(primary)`, `conversation.disposed(consult)`. `primary` and `consult` are conversations by role.

/// The channel's pair.
pub const PAIR: &str = "channel.infochanged state.updated(channel)";
/// A channel comes.
pub const NEW_CHANNEL: &str = "channel.created state.updated(channel) channel.initialized";
/// The first conversation comes.
pub const NEW_CALL: &str = "conversation.created state.updated(primary) conversation.member.added(primary) \
    conversation.initialized";
/// A consult comes.
pub const NEW_CONSULT: &str = "conversation.created state.updated(consult) conversation.member.added(consult) \
    conversation.initialized";
/// A call comes, inbound or dialled.
pub const CALL_COMES: &str = "channel.infochanged state.updated(channel) \
    interaction.created state.updated(interaction) \
    conversation.created state.updated(primary) conversation.member.added(primary) conversation.initialized \
    interaction.datachanged interaction.preview interaction.initialized";
/// A chat or an e-mail comes.
pub const CHAT_COMES: &str = "channel.infochanged state.updated(channel) \
    interaction.created state.updated(interaction) \
    interaction.datachanged interaction.preview interaction.initialized";
/// A call is answered, by whichever side rang.
pub const ANSWERED: &str = "state.updated(primary) interaction.screenpop state.updated(interaction)";
/// The primary ends.
pub const PRIMARY_ENDS: &str = "state.updated(primary) conversation.disposed(primary)";
/// The consult ends.
pub const CONSULT_ENDS: &str = "state.updated(consult) conversation.disposed(consult)";
/// The only call ends.
pub const CALL_ENDS: &str = "state.updated(primary) conversation.disposed(primary) \
    interaction.ended state.updated(interaction) \
    channel.infochanged state.updated(channel)";
/// The only call ends before it was the agent's.
pub const OFFER_ENDS: &str = "state.updated(primary) conversation.disposed(primary) \
    interaction.ended state.updated(interaction) interaction.disposed \
    channel.infochanged state.updated(channel)";
/// An ended interaction is completed.
pub const COMPLETED: &str = "interaction.complete state.updated(interaction) interaction.disposed";

/// Puts lists together.
pub fn list(parts: &[&str]) -> String {
    parts.join(" ")
}
