//! Voicemail (`app_voicemail`): how many messages wait for an agent.
//!
//! Owns: which mailboxes are an agent's, and who waits to hear of them. They are listened to by calling the place in the
//! dialplan that plays them. Must never: take a mailbox that Asterisk does not know for an empty one.

use std::collections::BTreeSet;

use jackfield_plugin_api::{Code, Failure, Outcome};
use serde_json::{Value, json};

use super::{CommandId, Switch};
use crate::manager::{Mailbox, Messages, Order};

/// A question of an agent's, and what is known of its answer.
#[derive(Debug)]
pub(super) struct Asked {
    command: CommandId,
    /// Those that Asterisk has not answered for, and the queue that each is of.
    open: Vec<(Mailbox, Option<String>)>,
    entries: Vec<Value>,
    /// Why one is not known.
    words: String,
}

impl Switch {
    /// Tells an agent what is in the mailboxes of the own extensions, and of the queues that the agent works for.
    pub(super) fn ask_for_messages(&mut self, command: CommandId, agent: &str) {
        if self.settings.mailbox.is_none() && self.settings.queues.values().all(|queue| queue.mailbox.is_none()) {
            return self.refuse(command, Code::Unsupported, "no mailboxes are configured (mailbox)");
        }
        let open = self.mailboxes_of(agent);
        if open.is_empty() {
            return self.refuse(command, Code::InvalidState, "the agent has no extension, so no mailbox either");
        }
        if !self.manager_up {
            return self.refuse(command, Code::LinkDown, "there is no connection to Asterisk's manager interface");
        }
        let id = self.number();
        for (mailbox, _) in &open {
            let mailbox = mailbox.clone();
            self.effects.push(super::Effect::Manager(Order::Mailbox { id, mailbox }));
        }
        self.mailboxes.insert(id, Asked { command, open, entries: Vec::new(), words: String::new() });
    }

    fn mailboxes_of(&self, agent: &str) -> Vec<(Mailbox, Option<String>)> {
        let phones = self.phones_of(agent);
        let own = phones.iter().filter_map(|key| {
            let Mailbox { name, context } = self.settings.mailbox.as_ref()?;
            let named = |part: &str| part.replace("{extension}", key);
            Some((Mailbox { name: named(name), context: named(context) }, None))
        });
        let queues: BTreeSet<&String> =
            phones.iter().filter_map(|key| self.phones.get(key)).flat_map(|phone| &phone.queues).collect();
        let of_queues = queues
            .into_iter()
            .filter_map(|name| Some((self.settings.queues.get(name)?.mailbox.clone()?, Some(name.clone()))));
        own.chain(of_queues).collect()
    }

    pub(super) fn messages_counted(&mut self, id: u64, mailbox: &Mailbox, messages: Result<Messages, String>) {
        let Some(asked) = self.mailboxes.get_mut(&id) else { return };
        let Some(at) = asked.open.iter().position(|(other, _)| other == mailbox) else { return };
        let (mailbox, queue) = asked.open.remove(at);
        match messages {
            Ok(Messages { new, old }) => {
                let mut entry = json!({"mailbox": mailbox.to_string(), "new": new, "old": old});
                if let Some(queue) = queue {
                    entry["queue"] = queue.into();
                }
                asked.entries.push(entry);
            }
            Err(words) => asked.words = format!("{mailbox}: {words}"),
        }
        if !asked.open.is_empty() {
            return;
        }
        let Some(Asked { command, entries, words, .. }) = self.mailboxes.remove(&id) else { return };
        if entries.is_empty() {
            let failure = Failure::new(Code::Rejected, "Asterisk does not know the agent's mailbox");
            self.reply(command, failure.context(words));
        } else {
            self.reply(command, Outcome::data(json!({"mailboxes": entries})));
        }
    }

    /// The manager interface is gone: nobody is left to wait for.
    pub(super) fn give_up_mailboxes(&mut self) {
        for Asked { command, .. } in std::mem::take(&mut self.mailboxes).into_values() {
            self.refuse(command, Code::LinkDown, "the connection to Asterisk's manager interface was lost");
        }
    }
}
