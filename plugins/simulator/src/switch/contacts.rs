//! Contacts: they arrive, wait in queues, are offered to the longest-ready agent, and are done with.
//!
//! Owns: the queues, offers, and the life of an interaction but for its conversations. Must never: decide what becomes
//! of a call ([`calls`](super::calls) does). Contacts come from [`happenings`](super::happenings) and from transfers.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Failure, Json, Outcome,
    lists::ListKind,
    report::{Cause, ChannelType, ConversationState, Direction, InteractionState, MemberRole, Reason, Recording, Role},
};

use super::{
    Done, Switch, ToMatch,
    model::{AgentNo, CallNo, ChannelNo, Contact, Interaction, InteractionNo, Presence, Ringing, Since, key},
    place, rejected,
    timers::Timer,
    wrong_state,
};

/// How many contacts can wait in a queue.
const QUEUE_LENGTH: usize = 10_000;

impl Switch {
    // ---- arrival ------------------------------------------------------------------------------------------------

    pub(super) fn new_contact(&mut self, kind: ChannelType, from: &str, data: BTreeMap<String, Json>) -> Contact {
        let arrived = self.number();
        let id = key("contact", arrived);
        let mut data = data;
        data.insert("contactId".to_owned(), id.as_str().into());
        Contact {
            id,
            kind,
            from: from.to_owned(),
            queue: None,
            data,
            arrived,
            waits_since: self.now,
            call: None,
            refused: Vec::new(),
            patience: None,
        }
    }

    /// A customer turns up.
    pub(super) fn arrive(
        &mut self,
        kind: ChannelType,
        from: &str,
        name: Option<String>,
        data: BTreeMap<String, Json>,
    ) -> Contact {
        let mut contact = self.new_contact(kind, from, data);
        contact.data.insert("from".to_owned(), from.into());
        if kind == ChannelType::Telephony {
            let call = self.new_call();
            self.add_party(call, from.to_owned(), name, MemberRole::Customer);
            contact.call = Some(call);
        } else if let Some(name) = name {
            // There is no party to carry it.
            contact.data.insert("name".to_owned(), name.into());
        }
        self.metric("contacts_total", vec![kind.as_str().to_owned()], 1.0);
        contact
    }

    // ---- queues -------------------------------------------------------------------------------------------------

    /// The contact waits in its queue, where its arrival places it.
    pub(super) fn enqueue(&mut self, mut contact: Contact, queue: usize) {
        contact.queue = Some(queue);
        let kind = contact.kind;
        if self.settings.patience_ms > 0 {
            let gives_up = Timer::GivesUp(queue, kind, contact.id.clone());
            contact.patience = Some(self.timers.set(self.now + self.settings.patience_ms, gives_up));
        }
        let line = &mut self.waiting[queue][place(kind)];
        let at = line.partition_point(|other| other.arrived < contact.arrived);
        self.to_match.push_back(ToMatch::Contact(queue, kind, contact.id.clone()));
        line.insert(at, contact);
        self.waiting_count[place(kind)] += 1;
        self.tell_waiting(queue);
    }

    fn take_waiting(&mut self, queue: usize, kind: ChannelType, at: usize) -> Option<Contact> {
        let mut contact = self.waiting[queue][place(kind)].remove(at)?;
        self.timers.cancel(contact.patience.take());
        self.waiting_count[place(kind)] -= 1;
        self.tell_waiting(queue);
        Some(contact)
    }

    /// Whether another contact may wait; a switch has an end.
    pub(super) fn queue_has_room(&self, queue: usize) -> bool {
        self.waiting[queue].iter().map(std::collections::VecDeque::len).sum::<usize>() < QUEUE_LENGTH
    }

    /// A customer has waited too long.
    pub(super) fn gives_up(&mut self, queue: usize, kind: ChannelType, id: &str) {
        let at = self.waiting[queue][place(kind)].iter().position(|contact| contact.id == id);
        if let Some(contact) = at.and_then(|at| self.take_waiting(queue, kind, at))
            && let Some(call) = contact.call
        {
            self.clear_call(call, None);
        }
    }

    fn tell_waiting(&mut self, queue: usize) {
        self.lists.changed(ListKind::Queues);
        let waiting: usize = self.waiting[queue].iter().map(std::collections::VecDeque::len).sum();
        let name = self.settings.queues[queue].name().to_owned();
        #[allow(clippy::cast_precision_loss)] // nobody has that many contacts
        self.metric("contacts_waiting", vec![name], waiting as f64);
    }

    /// The longest-ready agent for a contact that waits.
    pub(super) fn find_agent(&mut self, queue: usize, kind: ChannelType, id: &str) {
        let line = &self.waiting[queue][place(kind)];
        let Some(at) = line.iter().position(|contact| contact.id == id) else { return };
        let refused = &line[at].refused;
        let fits = |channel: &ChannelNo| self.serves(*channel, queue) && !refused.contains(channel);
        let found = self.idle[place(kind)].iter().map(|(_, channel)| *channel).find(fits);
        if let Some(channel) = found
            && let Some(contact) = self.take_waiting(queue, kind, at)
        {
            self.offer(channel, contact);
        }
    }

    /// The longest-waiting contact for a channel that became free.
    pub(super) fn find_contact(&mut self, channel: ChannelNo) {
        let Some(record) = self.channels.get(channel) else { return };
        if record.idle_since.is_none() {
            return;
        }
        let kind = record.kind;
        let first_for_me = |queue: usize| {
            let line = &self.waiting[queue][place(kind)];
            let at = line.iter().position(|contact| !contact.refused.contains(&channel))?;
            Some((line[at].arrived, queue, at))
        };
        let found = (0..self.waiting.len()).filter(|queue| self.serves(channel, *queue)).filter_map(first_for_me).min();
        if let Some((_, queue, at)) = found
            && let Some(contact) = self.take_waiting(queue, kind, at)
        {
            self.offer(channel, contact);
        }
    }

    pub(super) fn serves(&self, channel: ChannelNo, queue: usize) -> bool {
        let queues = &self.channels[channel].queues;
        queues.is_empty() || queues.contains(&queue)
    }

    /// A contact may be offered again to a channel that refused it.
    pub(super) fn reoffer(&mut self, id: &str, channel: ChannelNo) {
        for queue in 0..self.waiting.len() {
            for line in &mut self.waiting[queue] {
                if let Some(contact) = line.iter_mut().find(|contact| contact.id == id) {
                    contact.refused.retain(|other| *other != channel);
                    let kind = contact.kind;
                    self.to_match.push_back(ToMatch::Contact(queue, kind, id.to_owned()));
                    return;
                }
            }
        }
    }

    // ---- offers -------------------------------------------------------------------------------------------------

    /// A contact for this agent, whatever the agent's readiness.
    pub(super) fn offer_directly(&mut self, agent: AgentNo, contact: Contact) -> Result<(), Failure> {
        let usable = |channel: &ChannelNo| {
            let record = &self.channels[*channel];
            record.kind == contact.kind && record.presence == Presence::Active && self.has_room(*channel)
        };
        match self.agents[agent].channels.iter().copied().find(usable) {
            Some(channel) => {
                self.offer(channel, contact);
                Ok(())
            }
            None => {
                if let Some(call) = contact.call {
                    self.clear_call(call, None);
                }
                Err(rejected(format!("no active {} channel is free", contact.kind.as_str())))
            }
        }
    }

    fn offer(&mut self, channel: ChannelNo, contact: Contact) {
        let url = self.url_for(&contact);
        let call = contact.call;
        let interaction = self.new_interaction(channel, Direction::Inbound, InteractionState::Alerting, contact);
        self.interactions[interaction].url = url;
        match call {
            Some(call) => self.ring_agent(call, interaction, Ringing::Offered, self.settings.offer_ms),
            None => {
                let timer = self.timers.set(self.now + self.settings.offer_ms, Timer::OfferEnds(interaction));
                self.interactions[interaction].timer = Some(timer);
            }
        }
    }

    fn url_for(&self, contact: &Contact) -> Option<String> {
        let url = self.settings.queues[contact.queue?].url()?;
        Some(url.replace("{contact}", &contact.id).replace("{from}", &contact.from))
    }

    pub(super) fn new_interaction(
        &mut self,
        channel: ChannelNo,
        direction: Direction,
        state: InteractionState,
        contact: Contact,
    ) -> InteractionNo {
        let number = self.number();
        let interaction = Interaction {
            key: key("interaction", number),
            channel,
            direction,
            state,
            since: Since::new(state, self.now),
            reason: None,
            cause: None,
            recording: Recording::Off,
            url: None,
            contact,
            disposition: None,
            supervises: None,
            heard_by: Vec::new(),
            muted: false,
            legs: Vec::new(),
            timer: None,
            gone: false,
            told: false,
            dirty: false,
            patch: BTreeMap::new(),
        };
        let no = self.interactions.insert(number, interaction);
        self.channels[channel].interactions.push(no);
        self.touch(no);
        self.leave_line(channel);
        self.refresh_idle(channel);
        no
    }

    /// A chat or an e-mail was not taken in time.
    pub(super) fn offer_ends(&mut self, interaction: InteractionNo) {
        if self.interactions.get(interaction).is_some_and(|record| record.state == InteractionState::Alerting) {
            self.metric("offers_unanswered_total", Vec::new(), 1.0);
            self.not_taken(interaction, Reason::Redirected, Cause::NoAnswer);
        }
    }

    /// The agent does not take what is offered: it goes back to its queue, or whoever called is told.
    pub(super) fn not_taken(&mut self, interaction: InteractionNo, reason: Reason, cause: Cause) {
        let channel = self.interactions[interaction].channel;
        let mut contact = self.interactions[interaction].contact.clone();
        contact.refused.push(channel);
        let alerting = |leg: &&super::model::Leg| leg.state == ConversationState::Alerting;
        let Some(call) = self.interactions[interaction].live_legs().find(alerting).map(|leg| leg.call) else {
            self.end_interaction(interaction, reason, None);
            if let Some(queue) = contact.queue {
                self.return_to_queue(contact, queue, channel);
            }
            return;
        };
        let ringing = self.remove_agent_party(call, interaction);
        self.end_leg(interaction, call, reason, None);
        self.members_changed(call);
        match ringing {
            Some(Ringing::Offered) => match contact.queue {
                Some(queue) if self.only_a_customer_waits(call) => {
                    contact.call = Some(call);
                    self.return_to_queue(contact, queue, channel);
                }
                _ => self.thin_out(call, Some(cause)),
            },
            Some(Ringing::Invited(ticket)) => {
                self.answers.push((ticket, Outcome::Failure(super::calls::not_reached(cause))));
                self.thin_out(call, Some(cause));
            }
            Some(Ringing::Called) | None => self.clear_call(call, Some(cause)),
        }
    }

    fn return_to_queue(&mut self, contact: Contact, queue: usize, refused_by: ChannelNo) {
        let timer = Timer::Reoffer(contact.id.clone(), refused_by);
        self.timers.set(self.now + self.settings.reoffer_ms, timer);
        self.enqueue(contact, queue);
    }

    fn only_a_customer_waits(&self, call: CallNo) -> bool {
        self.calls.get(call).is_some_and(
            |call| matches!(call.parties.as_slice(), [party] if party.agent.is_none() && party.ringing.is_none()),
        )
    }

    // ---- the life of an interaction -----------------------------------------------------------------------------

    /// An offered chat or e-mail is taken.
    pub(super) fn accept(&mut self, interaction: InteractionNo) -> Done {
        let record = &mut self.interactions[interaction];
        if record.state != InteractionState::Alerting {
            return Err(wrong_state("the contact is not offered any more"));
        }
        record.state = InteractionState::Started;
        self.timers.cancel(record.timer.take());
        self.touch(interaction);
        Ok(Some(Outcome::success()))
    }

    /// Nothing goes on any more in the interaction. What nobody took leaves nothing to do.
    pub(super) fn end_interaction(&mut self, interaction: InteractionNo, reason: Reason, cause: Option<Cause>) {
        let record = &mut self.interactions[interaction];
        if !record.is_live() {
            return;
        }
        let (was, channel) = (record.state, record.channel);
        record.gone = was == InteractionState::Alerting;
        record.state = InteractionState::Ended;
        record.reason = Some(reason);
        record.cause = cause;
        record.recording = Recording::Off;
        self.timers.cancel(record.timer.take());
        self.touch(interaction);
        self.end_supervisions(interaction);
        self.after_contact(channel, interaction, was == InteractionState::Started);
    }

    /// The agent or the platform is done with the contact.
    pub(super) fn complete(&mut self, interaction: InteractionNo) {
        let Some(record) = self.interactions.get(interaction) else { return };
        if record.gone {
            return;
        }
        let channel = record.channel;
        if record.is_live() {
            self.end_interaction(interaction, Reason::Released, None);
        }
        let record = &mut self.interactions[interaction];
        record.gone = true;
        self.timers.cancel(record.timer.take());
        self.touch(interaction);
        self.after_wrap_up(channel);
    }

    /// The agent leaves whatever goes on: an offer is returned, a call released.
    pub(super) fn leave_everything(&mut self, interaction: InteractionNo) {
        let record = &self.interactions[interaction];
        if record.state == InteractionState::Alerting {
            self.not_taken(interaction, Reason::Redirected, Cause::NoAnswer);
            return;
        }
        for role in [Role::Primary, Role::Consult] {
            if let Some(call) = self.interactions[interaction].leg(role).map(|leg| leg.call) {
                self.leave(interaction, call, Reason::Released, None);
            }
        }
        self.end_interaction(interaction, Reason::Released, None);
    }

    /// Forgets the interaction at once.
    pub(super) fn drop_interaction(&mut self, interaction: InteractionNo) {
        let Some(record) = self.interactions.remove(interaction) else { return };
        self.timers.cancel(record.timer);
        self.channels[record.channel].interactions.retain(|other| *other != interaction);
    }
}
