//! How an agent is, as a device state in Asterisk: what the lamps of other phones (BLF) show, and what `app_queue` rings
//! a member by.
//!
//! Owns: the names of the device states of this tenant, and what each says. Asterisk keeps a device state for ever, also
//! when we and itself are restarted, so each is put right when the link is back, and at our end says that nobody is
//! there. It is not taken away then: of a device that Asterisk does not know lamps show what they showed before, or idle, and
//! `app_queue` rings it. Must never: touch the device states of somebody else.

use std::collections::BTreeMap;

use jackfield_plugin_api::report::ConversationState;
use serde::Deserialize;

use super::{
    Switch, What,
    model::{Availability, Phone, PhoneKey, Work},
    rooms::segment,
};
use crate::ari::{Request, Response};

/// A device state, as Asterisk describes it.
#[derive(Deserialize)]
struct DeviceState {
    name: String,
    state: String,
}

impl Switch {
    /// The device of an extension; what all of this tenant's begin with, if that is empty.
    pub(super) fn device(&self, key: &str) -> String {
        format!("Stasis:{}:{key}", self.settings.address.application)
    }

    /// Asks which device states an earlier life, or we before the link was lost, left.
    pub(super) fn list_device_states(&mut self) {
        self.told_device_states.clear();
        self.send(Request::get("deviceStates"), What::DeviceStates);
    }

    pub(super) fn device_states_listed(&mut self, response: &Response) {
        let prefix = self.device("");
        let all = response.body.as_array().into_iter().flatten().filter_map(|it| DeviceState::deserialize(it).ok());
        let ours = all.filter_map(|it| Some((it.name.strip_prefix(&prefix)?.to_owned(), it.state)));
        self.told_device_states = ours.collect::<BTreeMap<PhoneKey, String>>();
        self.touched_phones.extend(self.told_device_states.keys().cloned());
        // Nobody need have been at work there yet.
        self.touched_phones.extend(self.settings.agents.values().filter_map(|agent| agent.extension.clone()));
    }

    /// Tells Asterisk how an agent is, if it was told otherwise.
    pub(super) fn tell_device_state(&mut self, key: &str) {
        let state = self.phones.get(key).map_or(UNAVAILABLE, |phone| self.device_state(phone));
        if self.told_device_states.get(key).is_none_or(|told| told != state) {
            let request = Request::put(format!("deviceStates/{}", segment(&self.device(key))));
            self.send(request.with("deviceState", state), What::Lenient);
            self.told_device_states.insert(key.to_owned(), state.to_owned());
        }
        if !self.phones.contains_key(key) {
            self.told_device_states.remove(key);
        }
    }

    fn device_state(&self, phone: &Phone) -> &'static str {
        if self.leaving || phone.work != Work::Active {
            return UNAVAILABLE;
        }
        let conversations = || phone.live().into_iter().flat_map(|live| &live.conversations);
        let any = |state| conversations().any(|it| it.state == state);
        if any(ConversationState::Talking) || any(ConversationState::Dialing) {
            return IN_USE;
        } else if any(ConversationState::Held) {
            return ON_HOLD;
        } else if any(ConversationState::Alerting) {
            return RINGING;
        }
        if phone.elsewhere || phone.waiting.is_some() {
            IN_USE
        } else if phone.unreachable.is_some() || !self.is_watched(phone) {
            UNAVAILABLE
        } else if phone.wrap_up.is_some() || phone.availability != Availability::Ready {
            BUSY
        } else {
            NOT_IN_USE
        }
    }
}

// Asterisk's words.

/// Nobody is at work, or the phone cannot be reached.
const UNAVAILABLE: &str = "UNAVAILABLE";
/// Ready and without a call.
const NOT_IN_USE: &str = "NOT_INUSE";
/// At work and not ready, or in after-call work.
const BUSY: &str = "BUSY";
/// A call is offered.
const RINGING: &str = "RINGING";
/// In a call, or calling.
const IN_USE: &str = "INUSE";
/// Everybody whom the agent talks to is on hold.
const ON_HOLD: &str = "ONHOLD";
