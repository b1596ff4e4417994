//! What is told to the host.
//!
//! Owns: the statements about each agent's things, and the memory of what the host knows already. Must never: change
//! what they are; it only forgets what has ended once that has been told. Reports go out as effects.

use std::mem;

use jackfield_plugin_api::{
    Report, Timestamp,
    report::{
        Channel as ChannelStatement, ChannelInfo, ChannelStatus, Conversation, ConversationState, Group,
        Interaction as InteractionStatement, InteractionState, Member,
    },
};

use super::{
    Switch,
    message::Effect,
    model::{AgentNo, Call, Channel, ChannelNo, InteractionNo, Leg, Presence, Ringing},
};

impl Switch {
    /// One report to each agent whom the transition touched; then the answers.
    pub(super) fn report_all(&mut self) {
        while let Some(agent) = self.touched.pop_front() {
            self.report_changes(agent);
        }
        for (ticket, outcome) in self.answers.drain(..) {
            self.effects.push(Effect::Answer { ticket, outcome });
        }
    }

    fn report_changes(&mut self, agent: AgentNo) {
        let Some(record) = self.agents.get_mut(agent) else { return };
        if !mem::take(&mut record.dirty) {
            return;
        }
        self.refresh_presence(agent);
        let record = &mut self.agents[agent];
        if record.stale && record.session.is_some() {
            self.drop_unseen(agent);
            return;
        }
        let session = record.session;
        let mut report = Report::new();
        for group in mem::take(&mut record.gone_groups) {
            report = report.group(Group::gone(group));
        }
        for group in record.groups.iter_mut().filter(|group| !group.told) {
            group.told = true;
            report = report.group(Group::new(&group.name, &group.name));
        }
        let gone = mem::take(&mut record.gone_channels);
        report.channels = Vec::with_capacity(gone.len() + record.channels.len());
        report.channels.extend(gone.into_iter().map(ChannelStatement::gone));
        self.state_channels(agent, false, &mut report);
        if let Some(session) = session
            && !report.is_empty()
        {
            self.effects.push(Effect::Report { session, report });
        }
    }

    /// While the host's picture is old, what comes and goes meanwhile is never told.
    fn drop_unseen(&mut self, agent: AgentNo) {
        for channel in self.agents[agent].channels.clone() {
            for interaction in self.channels[channel].interactions.clone() {
                let record = &self.interactions[interaction];
                if record.gone && !record.told {
                    self.drop_interaction(interaction);
                }
            }
        }
    }

    /// Everything that there is for the agent.
    pub(super) fn report_snapshot(&mut self, agent: AgentNo) {
        let record = &mut self.agents[agent];
        record.dirty = false;
        record.gone_channels.clear();
        record.gone_groups.clear();
        let mut report = Report::snapshot();
        for group in &mut record.groups {
            group.told = true;
            report = report.group(Group::new(&group.name, &group.name));
        }
        let session = record.session;
        self.state_channels(agent, true, &mut report);
        if let Some(session) = session {
            self.effects.push(Effect::Report { session, report });
        }
    }

    fn state_channels(&mut self, agent: AgentNo, whole: bool, report: &mut Report) {
        for at in 0..self.agents[agent].channels.len() {
            let channel = self.agents[agent].channels[at];
            self.state_channel(channel, whole, report);
        }
    }

    /// What is to be told of the channel; nothing is made for one of which there is nothing to tell.
    fn state_channel(&mut self, channel: ChannelNo, whole: bool, report: &mut Report) {
        let interactions = self.state_interactions(channel, whole);
        let opened = self.opened;
        let record = &mut self.channels[channel];
        let new = !mem::replace(&mut record.told, true) || whole;
        let changed = mem::take(&mut record.dirty) || new;
        if !changed && interactions.is_empty() {
            return;
        }
        let mut statement = if new {
            ChannelStatement::create(&record.endpoint, record.kind, &record.endpoint, &record.name)
        } else {
            ChannelStatement::new(&record.endpoint)
        };
        if new {
            statement.group.clone_from(&record.group);
        }
        if changed {
            statement.status = Some(status(record));
            statement.since = Some(Timestamp(opened.0 + record.since.at));
        }
        statement.interactions = interactions;
        report.channels.push(statement);
    }

    fn state_interactions(&mut self, channel: ChannelNo, whole: bool) -> Vec<InteractionStatement> {
        let count = self.channels[channel].interactions.len();
        let mut statements = Vec::with_capacity(count);
        for at in (0..count).rev() {
            let interaction = self.channels[channel].interactions[at];
            let record = &self.interactions[interaction];
            if whole || record.dirty {
                // What came and went before anybody was told needs no telling.
                if record.told || !record.gone {
                    statements.push(self.state_interaction(interaction, whole));
                }
                self.purge(interaction);
            }
        }
        statements.reverse();
        statements
    }

    fn state_interaction(&mut self, interaction: InteractionNo, whole: bool) -> InteractionStatement {
        let opened = self.opened;
        let record = &mut self.interactions[interaction];
        record.dirty = false;
        let new = !mem::replace(&mut record.told, true);
        let mut statement = InteractionStatement::new(&record.key);
        if new || whole {
            statement.direction = Some(record.direction);
            statement.disposition.clone_from(&record.disposition);
            record.patch.clear();
            for (key, value) in &record.contact.data {
                statement.data.insert(key.clone(), Some(value.clone()));
            }
        } else {
            statement.data.append(&mut record.patch);
        }
        statement.gone = record.gone;
        statement.since = Some(Timestamp(opened.0 + record.since.at));
        statement.reason = record.reason;
        statement.cause = record.cause;
        statement.recording = Some(record.recording);
        statement.supervises.clone_from(&record.supervises);
        statement.url.clone_from(&record.url);
        let calls = record.contact.kind == jackfield_plugin_api::report::ChannelType::Telephony;
        if !record.gone && (!calls || record.state == InteractionState::Ended) {
            statement.state = Some(record.state);
        }
        if calls {
            let muted = record.muted;
            let mut conversations = Vec::with_capacity(record.legs.len());
            for leg in &mut record.legs {
                conversations.push(state_leg(leg, self.calls.get(leg.call), interaction, muted, new || whole, opened));
            }
            statement.conversations = Some(conversations);
        }
        statement
    }

    /// Forgets what is over and has been told, or need not be.
    pub(super) fn purge(&mut self, interaction: InteractionNo) {
        let record = &mut self.interactions[interaction];
        record.legs.retain(|leg| leg.state != ConversationState::Ended);
        if record.gone {
            self.drop_interaction(interaction);
        }
    }
}

fn status(channel: &Channel) -> ChannelStatus {
    match channel.presence {
        Presence::Inactive => ChannelStatus::Inactive,
        Presence::Unavailable => ChannelStatus::Unavailable,
        Presence::Active => {
            let mut info = ChannelInfo::default();
            info.availability = Some(channel.readiness.availability);
            info.reason_code.clone_from(&channel.readiness.code);
            info.reason_desc.clone_from(&channel.readiness.desc);
            info.queue.clone_from(&channel.queue_text);
            info.pending = channel.pending.as_ref().map(super::model::Readiness::pending);
            ChannelStatus::Active(info)
        }
    }
}

fn state_leg(
    leg: &mut Leg,
    call: Option<&Call>,
    owner: InteractionNo,
    muted: bool,
    whole: bool,
    opened: Timestamp,
) -> Conversation {
    let new = !mem::replace(&mut leg.told, true);
    let mut statement = Conversation::new(&leg.key, leg.role, leg.state);
    statement.was = leg.was.take();
    statement.since = Some(Timestamp(opened.0 + leg.since.at));
    if leg.state == ConversationState::Ended {
        statement.reason = leg.reason;
        statement.cause = leg.cause;
        return statement;
    }
    statement.muted = Some(muted);
    if (mem::take(&mut leg.members_dirty) || new || whole)
        && let Some(call) = call
    {
        let mine = |party: &&super::model::Party| party.agent == Some(owner);
        let called = leg.state == ConversationState::Dialing;
        let others = call.parties.iter().filter(|party| {
            !mine(party) && (party.ringing.is_none() || called && party.ringing == Some(Ringing::Called))
        });
        statement.members = Some(others.map(state_party).collect());
    }
    statement
}

fn state_party(party: &super::model::Party) -> Member {
    let member = Member::new(party.member_key(), &party.address, party.role).muted(party.muted).held(party.held);
    match &party.name {
        Some(name) => member.name(name),
        None => member,
    }
}
