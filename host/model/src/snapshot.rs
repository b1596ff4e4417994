//! The snapshot that a client gets when the session starts, and when it comes back and the journal no longer reaches
//! back.
//!
//! Owns the order of the protocol's Snapshot: the whole tree as events. Must never change the tree; there is never a
//! screen pop in it.

use std::sync::Arc;

use jackfield_plugin_api::report::InteractionState;
use jackfield_protocol::event::{Event, EventData, EventName, Path};

use crate::{
    Tree,
    emit::{self, Emitter},
};

impl Tree {
    /// The whole tree as events, the last of them `session.initialized`.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Event> {
        let mut emitter = Emitter::new();
        self.emit_channels(&mut emitter);
        self.emit_interactions(&mut emitter);
        let mut emitted = emitter.emitted;
        if self.actions {
            self.add_actions(&mut emitted);
        }
        if self.down.is_some() {
            emitted.push(self.link_event());
        }
        let data = EventData::Initialized { capabilities: Arc::clone(&self.capabilities.list) };
        emitted.push(Event { on: Path::Session, name: EventName::SessionInitialized, data });
        emitted
    }

    fn emit_channels(&self, emitter: &mut Emitter) {
        let mut groups = self.groups.iter().peekable();
        for channel in &self.channels {
            // A group stands where it was created; an empty one is emitted on the way.
            while let Some(group) = groups.next_if(|group| group.id < channel.place().0) {
                self.emit_group(emitter, group);
            }
            match groups.next_if(|group| Some(group.id) == channel.group) {
                Some(group) => self.emit_group(emitter, group),
                None if channel.group.is_none() => emitter.channel_created(channel),
                None => {}
            }
        }
        for group in groups {
            self.emit_group(emitter, group);
        }
    }

    fn emit_group(&self, emitter: &mut Emitter, group: &crate::GroupNode) {
        emitter.group_created(group);
        let back = emitter.enter_group(group.id);
        emitter.group_state(group);
        for channel in self.channels_of(group.id) {
            emitter.channel_created(channel);
        }
        emitter.bare(EventName::GroupInitialized);
        emitter.leave(back);
    }

    fn emit_interactions(&self, emitter: &mut Emitter) {
        for channel in &self.channels {
            let back = emitter.enter_channel(channel);
            for interaction in &channel.interactions {
                emitter.interaction_created(channel.kind, interaction);
                let back = emitter.enter_interaction(interaction.id);
                let (state, since) = (interaction.state, interaction.since);
                let calls = emit::calls_now(interaction);
                emitter.interaction_state(channel.kind, interaction, state, since, calls);
                for conversation in &interaction.conversations {
                    emitter.conversation_created(conversation);
                }
                emitter.interaction_data(interaction);
                if interaction.state == InteractionState::Alerting {
                    emitter.preview(channel.kind, interaction);
                }
                if interaction.consult().is_some() {
                    emitter.focus(interaction);
                }
                emitter.bare(EventName::InteractionInitialized);
                emitter.leave(back);
            }
            emitter.leave(back);
        }
    }
}
