//! What the host is told: the whole model of an agent's phones, each time something in it changed.
//!
//! Owns: the translation of the model into reports. What ended is named once, with its reason, in the first report
//! after it ended.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Report,
    report::{
        Availability as Shown, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState,
        Interaction, InteractionState, Member, MemberRole, Pending, Reason, Recording, Role,
    },
};

use super::{
    Effect, Switch,
    model::{self, Availability, PartyState, Phone, Work},
};

impl Switch {
    /// Reports the phones that changed, but for those whose change Asterisk has not confirmed yet.
    pub(super) fn report_changes(&mut self) {
        let phones = std::mem::take(&mut self.unreported);
        let mut by_agent: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in phones {
            let Some(phone) = self.phones.get(&key) else { continue };
            if phone.holds > 0 {
                self.unreported.insert(key);
            } else {
                by_agent.entry(phone.agent.clone()).or_default().push(key);
            }
        }
        for (agent, phones) in by_agent {
            let Some(session) = self.desks.get(&agent).and_then(|desk| desk.session.clone()) else { continue };
            let mut report = Report::new();
            for key in phones {
                if let Some(phone) = self.phones.get(&key) {
                    report = report.channel(self.channel(phone));
                }
                self.told(&key);
            }
            self.tell(&agent, session, report);
        }
    }

    fn tell(&mut self, agent: &str, session: String, report: Report) {
        let memory = self.memory_of(agent);
        self.effects.push(Effect::Remember { session: session.clone(), memory });
        self.effects.push(Effect::Report { session, report });
    }

    /// Reports everything that an agent has.
    pub(super) fn report_snapshot(&mut self, agent: &str) {
        let Some(desk) = self.desks.get(agent) else { return };
        let Some(session) = desk.session.clone() else { return };
        let mut report = Report::snapshot();
        for key in desk.phones.clone() {
            if let Some(phone) = self.phones.get(&key) {
                report = report.channel(self.channel(phone));
            }
            self.told(&key);
            self.unreported.remove(&key);
        }
        self.tell(agent, session, report);
    }

    pub(super) fn removed_channel(&mut self, agent: &str, key: &str) {
        let Some(session) = self.desks.get(agent).and_then(|desk| desk.session.clone()) else { return };
        self.tell(agent, session, Report::new().channel(Channel::gone(key)));
    }

    fn told(&mut self, key: &str) {
        let Some(phone) = self.phones.get_mut(key) else { return };
        phone.gone.clear();
        for interaction in &mut phone.interactions {
            interaction.closed.clear();
        }
    }

    fn channel(&self, phone: &Phone) -> Channel {
        let mut channel =
            Channel::create(&phone.key, ChannelType::Telephony, &phone.key, &phone.key).status(status(phone));
        for gone in &phone.gone {
            let mut interaction = self.interaction(phone, gone);
            interaction.gone = true;
            channel = channel.interaction(interaction);
        }
        for interaction in &phone.interactions {
            channel = channel.interaction(self.interaction(phone, interaction));
        }
        channel
    }

    fn interaction(&self, phone: &Phone, it: &model::Interaction) -> Interaction {
        let mut out = Interaction::create(&it.key, it.direction).no_conversations();
        if let Some((reason, cause)) = it.ended {
            if it.taken {
                out = out.state(InteractionState::Ended);
            }
            out = out.reason(reason);
            out.cause = cause.filter(|_| reason == Reason::Failed);
        }
        out.data = it.data.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        out.recording = Some(self.recording(it));
        out.supervises.clone_from(&it.supervises);
        for conversation in &it.conversations {
            out = out.conversation(self.conversation_statement(phone, conversation));
        }
        for closed in &it.closed {
            let mut conversation = Conversation::ended(&closed.key, closed.reason);
            conversation.cause = closed.cause.filter(|_| closed.reason == Reason::Failed);
            out = out.conversation(conversation);
        }
        out
    }

    fn recording(&self, it: &model::Interaction) -> Recording {
        let conversation = it.with_role(Role::Primary).or_else(|| it.conversations.first());
        match conversation.and_then(|it| self.rooms.get(&it.room)).and_then(|room| room.recording.as_ref()) {
            None => Recording::Off,
            Some(recording) if recording.paused => Recording::Paused,
            Some(_) => Recording::On,
        }
    }

    fn conversation_statement(&self, phone: &Phone, it: &model::Conversation) -> Conversation {
        let mut out = Conversation::new(&it.key, it.role, it.state).muted(phone.muted);
        let mut members = Vec::new();
        // Who is only being called is a member of the call that consists of calling them.
        let all = it.state == ConversationState::Dialing;
        if let Some(room) = self.rooms.get(&it.room) {
            for (key, party) in room.parties.iter().filter_map(|key| Some((key, self.parties.get(key)?))) {
                if all || party.state != PartyState::Dialing || party.callback.is_some() {
                    let member = Member::new(party.member_key(key), &party.number, party.role).muted(party.muted);
                    let member = member.held(party.held);
                    members.push(if party.name.is_empty() { member } else { member.name(&party.name) });
                }
            }
            for seat in room.seats.iter().filter(|seat| seat.phone != phone.key) {
                let there = self.conversation(seat).is_some_and(|it| it.state != ConversationState::Alerting);
                if let Some(other) = self.phones.get(&seat.phone).filter(|_| all || there) {
                    let member = Member::new(colleague_key(&other.key), &other.key, MemberRole::Agent);
                    members.push(member.name(&other.agent));
                }
            }
        }
        out.members = Some(members);
        out
    }
}

/// The key under which an agent is a member of a colleague's conversation.
pub(super) fn colleague_key(phone: &str) -> String {
    format!("agent:{phone}")
}

fn status(phone: &Phone) -> ChannelStatus {
    match phone.work {
        Work::Inactive => return ChannelStatus::Inactive,
        Work::Lost => return ChannelStatus::Unavailable,
        Work::Active => {}
    }
    let elsewhere = phone.elsewhere && phone.live().is_none();
    let mut info = match (&phone.wrap_up, &phone.availability) {
        (Some(_), _) => ChannelInfo::acw(),
        (None, Availability::Ready) if elsewhere => {
            let desc = "the phone has a call of its own";
            let info = ChannelInfo::not_ready(Some("onphone".to_owned()), Some(desc.to_owned()));
            info.pending(Pending::new(Shown::Ready, None, None))
        }
        (None, Availability::Ready) => ChannelInfo::ready(),
        (None, Availability::NotReady { code, desc }) => ChannelInfo::not_ready(code.clone(), desc.clone()),
    };
    if !phone.queues.is_empty() {
        info = info.queue(phone.queues.iter().cloned().collect::<Vec<_>>().join(","));
    }
    if let Some(pending) = &phone.pending {
        info = info.pending(match pending {
            Availability::Ready => Pending::new(Shown::Ready, None, None),
            Availability::NotReady { code, desc } => Pending::new(Shown::NotReady, code.clone(), desc.clone()),
        });
    }
    ChannelStatus::Active(info)
}
