//! The agent's channels, and what CXone's one state for the whole agent means for each.
//!
//! CXone knows no channels and no groups. A channel is active while there is an agent session and the desktop has
//! activated it; a call channel is activated by connecting the agent's phone. Availability is the same on all.

use jackfield_plugin_api::report::{Availability, Channel, ChannelInfo, ChannelStatus, ChannelType, Pending};
use serde::{Deserialize, Serialize};

use super::{
    event::{AgentState, LegStatus, Media},
    facts::Facts,
};
use crate::settings::StationKind;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeskChannel {
    /// Which contacts it takes.
    pub(crate) media: Media,
    /// Station or address.
    pub(crate) endpoint: String,
    /// The desktop has activated it, or the agent is at work on it already.
    pub(crate) opened: bool,
    /// The key of its group.
    #[serde(default)]
    pub(crate) group: Option<String>,
}

/// A channel group: a name for the agent's channels, because CXone knows no groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeskGroup {
    /// Its key.
    pub(crate) key: String,
    /// What the desktop calls it.
    pub(crate) name: String,
}

impl DeskChannel {
    /// A channel of its own that nobody has activated.
    pub(crate) fn new(media: Media, endpoint: impl Into<String>) -> Self {
        Self { media, endpoint: endpoint.into(), opened: false, group: None }
    }

    /// The key under which the host knows it.
    pub(crate) const fn key_of(media: Media) -> &'static str {
        match media {
            Media::Call => "telephony",
            Media::Chat => "chat",
            Media::Email => "email",
            Media::Voicemail => "voicemail",
            Media::WorkItem => "workitem",
            Media::Digital => "digital",
        }
    }

    /// The media of a channel that the host names.
    pub(crate) fn media_of(key: &str) -> Option<Media> {
        Media::ALL.into_iter().find(|media| Self::key_of(*media) == key)
    }

    pub(super) fn create(&self) -> Channel {
        // The protocol has three types: what is read at leisure goes with e-mail.
        let (kind, name) = match self.media {
            Media::Call => (ChannelType::Telephony, "CXone station"),
            Media::Chat => (ChannelType::Chat, "CXone chat"),
            Media::Email => (ChannelType::Email, "CXone e-mail"),
            Media::Voicemail => (ChannelType::Email, "CXone voice mail"),
            Media::WorkItem => (ChannelType::Email, "CXone work items"),
            Media::Digital => (ChannelType::Chat, "CXone digital (not handled here)"),
        };
        let channel = Channel::create(Self::key_of(self.media), kind, &self.endpoint, name);
        match &self.group {
            Some(group) => channel.group(group.as_str()),
            None => channel,
        }
    }
}

/// What was the agent's state before he began to work on a contact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    available: bool,
    reason: String,
}

/// The channels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Desk {
    /// Oldest first.
    pub(crate) channels: Vec<DeskChannel>,
    /// Oldest first.
    #[serde(default)]
    pub(crate) groups: Vec<DeskGroup>,
    /// CXone tells it no more once he works.
    base: Base,
}

impl Desk {
    /// Reads the agent's state.
    pub(super) fn learn(&mut self, facts: &Facts) {
        let state = &facts.state;
        if facts.session.is_none() {
            // After a crash there may be one, and the channels stay as they were.
            if !facts.unknown {
                self.base = Base::default();
                self.channels.iter_mut().for_each(|channel| channel.opened = false);
            }
        } else if !state.current.is_empty() && !state.working() && !state.acw {
            self.base = Base { available: is_available(&state.current), reason: state.reason.clone() };
        }
        // Whose phone is connected is at work, whoever has connected it. It may go down between calls: CXone calls it for
        // the next one.
        if facts.session.is_some()
            && facts.leg == LegStatus::Up
            && let Some(channel) = self.get_mut(Media::Call)
        {
            channel.opened = true;
        }
    }

    /// A channel.
    pub(crate) fn get(&self, media: Media) -> Option<&DeskChannel> {
        self.channels.iter().find(|channel| channel.media == media)
    }

    /// A channel, to change it.
    pub(crate) fn get_mut(&mut self, media: Media) -> Option<&mut DeskChannel> {
        self.channels.iter_mut().find(|channel| channel.media == media)
    }

    /// A contact is there: its channel must be there too, though the desktop has not asked for it.
    pub(super) fn need(&mut self, media: Media, facts: &Facts) {
        match self.get_mut(media) {
            Some(channel) => channel.opened = true,
            None => {
                let endpoint = match media {
                    Media::Call => {
                        let session = facts.session.as_ref();
                        session.map(|session| session.endpoint(StationKind::PhoneNumber).to_owned()).unwrap_or_default()
                    }
                    other => DeskChannel::key_of(other).to_owned(),
                };
                self.channels.push(DeskChannel { opened: true, ..DeskChannel::new(media, endpoint) });
            }
        }
    }

    /// Whether a channel is active.
    pub(crate) const fn active(channel: &DeskChannel, facts: &Facts) -> bool {
        facts.session.is_some() && channel.opened
    }

    pub(super) fn status(&self, channel: &DeskChannel, facts: &Facts) -> ChannelStatus {
        if !Self::active(channel, facts) {
            return ChannelStatus::Inactive;
        }
        let state = &facts.state;
        let now = if state.acw {
            ChannelInfo::acw()
        } else if self.base.available {
            ChannelInfo::ready()
        } else {
            let reason = Some(self.base.reason.clone()).filter(|reason| !reason.is_empty());
            ChannelInfo::not_ready(reason.clone(), reason)
        };
        ChannelStatus::Active(match self.pending(state) {
            Some(pending) => now.pending(pending),
            None => now,
        })
    }

    /// What CXone will make of the state after the contact, where that is another than now.
    fn pending(&self, state: &AgentState) -> Option<Pending> {
        let (name, reason) = state.next.as_ref()?;
        let reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
        if state.next_acw {
            return Some(Pending::new(Availability::Acw, reason.clone(), reason));
        }
        let available = is_available(name);
        let same = available == self.base.available && reason.as_deref().unwrap_or_default() == self.base.reason;
        if same && !state.acw {
            return None;
        }
        let availability = if available { Availability::Ready } else { Availability::NotReady };
        Some(Pending::new(availability, reason.clone(), reason))
    }

    /// What the agent's state was before the contact: available, or not and why.
    pub(crate) fn base(&self) -> (bool, &str) {
        (self.base.available, &self.base.reason)
    }
}

fn is_available(name: &str) -> bool {
    name.eq_ignore_ascii_case("Available")
}
