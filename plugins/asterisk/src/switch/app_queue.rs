//! Asterisk's own queues (`app_queue`): agents as their members, and their figures.
//!
//! Owns: who is a member of which of them, and paused or not, in Asterisk's view. The queue itself, its calls, its log and
//! its figures are Asterisk's: a call that it distributes enters the application by the member's channel, as a call for
//! that agent. Must never: remove a member that is not one of this tenant's agents.

use super::{CommandId, Effect, Switch, lists::listed_figures, queue_history::Membership};
use crate::manager::{News, Order, QueueStatus};
use jackfield_plugin_api::{
    Timestamp,
    lists::{ListEntry, ListRequest},
    report::ChannelType,
};

/// What Asterisk says of a member who would be rung now.
const NOT_IN_USE: u64 = 1;

impl Switch {
    pub(super) fn is_app_queue(&self, queue: &str) -> bool {
        self.settings.queues.get(queue).is_some_and(|queue| queue.app_queue)
    }

    /// What Asterisk rings for an agent of an extension.
    fn interface(&self, key: &str) -> String {
        self.settings.member.as_deref().unwrap_or_default().replace("{extension}", key)
    }

    /// An order for the manager interface; while that is away nothing is said, for all is said when it is back.
    fn order(&mut self, order: Order) {
        if self.manager_up {
            self.effects.push(Effect::Manager(order));
        }
    }

    pub(super) fn add_member(&mut self, queue: &str, key: &str, agent: &str, paused: Option<&String>) {
        self.order(Order::Add {
            queue: queue.to_owned(),
            interface: self.interface(key),
            name: agent.to_owned(),
            state_interface: self.device(key),
            paused: paused.is_some(),
        });
        self.pause_member(queue, key, paused);
    }

    pub(super) fn remove_member_of(&mut self, queue: &str, key: &str) {
        self.order(Order::Remove { queue: queue.to_owned(), interface: self.interface(key) });
    }

    pub(super) fn pause_member(&mut self, queue: &str, key: &str, reason: Option<&String>) {
        self.order(Order::Pause { queue: queue.to_owned(), interface: self.interface(key), reason: reason.cloned() });
    }

    pub(super) fn manager_news(&mut self, news: News) {
        match news {
            News::Up => {
                self.manager_up = true;
                self.say_members();
                self.look_for_members();
                self.read_callbacks();
            }
            News::Down => {
                self.manager_up = false;
                for (id, request) in std::mem::take(&mut self.queue_lists).into_values() {
                    self.list_queues(id, &request, &[]);
                }
                self.give_up_mailboxes();
                self.give_up_parking();
                self.suspend_callbacks();
            }
            News::Stored { id, done } => self.stored(id, done),
            News::Kept { entries } => self.callbacks_read(entries),
            News::Parked { id, calls } => self.parking_told(id, calls),
            News::Variable { id, name, value } => self.parked_data_told(id, name, value),
            News::Mailbox { id, mailbox, messages } => self.messages_counted(id, &mailbox, messages),
            News::Queues { id, queues } => match self.queue_lists.remove(&id) {
                Some((command, request)) => self.list_queues(command, &request, &queues),
                None => self.remove_strangers(&queues),
            },
        }
    }

    /// Who is a member is said once more, as Asterisk may have forgotten it.
    fn say_members(&mut self) {
        let told = std::mem::take(&mut self.told_memberships);
        for (key, Membership { agent, queues, paused }) in &told {
            for queue in queues.iter().filter(|queue| self.is_app_queue(queue)).cloned().collect::<Vec<_>>() {
                self.add_member(&queue, key, agent, paused.as_ref());
            }
        }
        self.told_memberships = told;
    }

    /// Asks who is a member: some may be left of an earlier life. Not as long as their agents may come back.
    pub(super) fn look_for_members(&mut self) {
        if self.strays_stay_until.is_none() && self.settings.queues.values().any(|queue| queue.app_queue) {
            let id = self.number();
            self.order(Order::Status(id));
        }
    }

    /// Members of this tenant's, by the device state that they are rung by, who are not at work there.
    fn remove_strangers(&mut self, queues: &[QueueStatus]) {
        for queue in queues.iter().filter(|queue| self.is_app_queue(&queue.name)).cloned().collect::<Vec<_>>() {
            for member in &queue.members {
                let Some(key) = member.state_interface.strip_prefix(&self.device("")).map(str::to_owned) else {
                    continue;
                };
                if self.told_memberships.get(&key).is_none_or(|it| !it.queues.contains(&queue.name)) {
                    self.order(Order::Remove { queue: queue.name.clone(), interface: member.interface.clone() });
                }
            }
        }
    }

    // The list.

    /// Answers with the queues; Asterisk is asked first if some are its own.
    pub(super) fn show_queues(&mut self, command: CommandId, request: ListRequest) {
        if self.manager_up && self.settings.queues.values().any(|queue| queue.app_queue) {
            let id = self.number();
            self.queue_lists.insert(id, (command, request));
            self.order(Order::Status(id));
        } else {
            self.list_queues(command, &request, &[]);
        }
    }

    fn list_queues(&mut self, command: CommandId, request: &ListRequest, statuses: &[QueueStatus]) {
        let entries: Vec<ListEntry> = self
            .settings
            .queues
            .iter()
            .map(|(name, queue)| {
                if queue.app_queue {
                    let status = statuses.iter().find(|status| status.name == *name);
                    status.map_or_else(|| ListEntry::new(name).channel_type(ChannelType::Telephony), entry)
                } else {
                    self.listed_queue(name)
                }
            })
            .collect();
        self.reply(command, request.page(entries));
    }
}

/// What Asterisk says of a queue of its own.
fn entry(status: &QueueStatus) -> ListEntry {
    let mut entry = ListEntry::new(&status.name).channel_type(ChannelType::Telephony);
    entry.waiting = Some(status.waiting);
    entry.waiting_since =
        status.longest_wait_seconds.map(|seconds| Timestamp(Timestamp::now().0.saturating_sub(seconds * 1000)));
    let ready = status.members.iter().filter(|member| !member.paused && member.status == NOT_IN_USE);
    entry.ready = Some(ready.count() as u64);
    let answered_by = status.members.iter().map(|member| (member.name.clone(), member.taken)).collect();
    let share = (status.completed > 0).then_some(status.service_level_percent / 100.0);
    entry.data = listed_figures(status.completed, status.abandoned, &answered_by, share, status.service_level_seconds);
    entry
}
