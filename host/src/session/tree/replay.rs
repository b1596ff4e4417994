//! The snapshot that a client gets when the session starts, and when it comes back and the journal no longer reaches
//! back.
//!
//! Owns the order of the protocol's Snapshot: the whole tree as events. Must never change the tree; there is never a
//! screenpop in it.

use super::{
    Event, Events, Tree,
    event::event,
    say::{Calls, Pen},
};
use jackfield_plugin_api::report::InteractionState;

impl Tree {
    /// The whole tree as events, the last of them `session.initialized`.
    #[must_use]
    pub fn replay(&self) -> Events {
        let mut pen = Pen::at(&self.session, String::new());
        self.replay_channels(&mut pen);
        self.replay_interactions(&mut pen);
        if self.actions {
            self.add_actions(&mut pen.said);
        }
        if self.down.is_some() {
            self.say_link(&mut pen.said);
        }
        pen.said.push(Event { target: &self.session, name: "session.initialized", data: &self.capabilities.text });
        pen.said
    }

    fn replay_channels(&self, pen: &mut Pen) {
        let mut groups = self.groups.iter().peekable();
        for channel in &self.channels {
            // a group stands where it was created; one that is empty is told on the way
            while let Some(group) = groups.next_if(|group| group.id < channel.place().0) {
                self.replay_group(pen, group);
            }
            match groups.next_if(|group| Some(group.id) == channel.group) {
                Some(group) => self.replay_group(pen, group),
                None if channel.group.is_none() => pen.channel_created(channel),
                None => {}
            }
        }
        for group in groups {
            self.replay_group(pen, group);
        }
    }

    fn replay_group(&self, pen: &mut Pen, group: &super::Group) {
        pen.group_created(group);
        let back = pen.enter('g', group.id);
        pen.group_state(group);
        for channel in self.channels_of(group.id) {
            pen.channel_created(channel);
        }
        pen.say_that(event!("channelgroup.initialized"));
        pen.leave(back);
    }

    fn replay_interactions(&self, pen: &mut Pen) {
        for channel in &self.channels {
            let back = pen.enter_channel(channel);
            for interaction in &channel.interactions {
                pen.interaction_created(channel.kind, interaction);
                let back = pen.enter('i', interaction.id);
                pen.interaction_state(channel.kind, interaction.state, Calls::now(interaction), interaction.recording);
                for conversation in &interaction.conversations {
                    pen.conversation_created(conversation);
                }
                pen.interaction_data(interaction);
                if interaction.state == InteractionState::Alerting {
                    pen.preview(channel.kind, interaction);
                }
                if interaction.consult().is_some() {
                    pen.focus(interaction);
                }
                pen.say_that(event!("interaction.initialized"));
                pen.leave(back);
            }
            pen.leave(back);
        }
    }
}
