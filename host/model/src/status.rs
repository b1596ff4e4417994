//! The status of a channel: as it is kept, and when it is the same state as before.

use std::borrow::Cow;

use jackfield_plugin_api::report::{Availability, ChannelInfo, ChannelStatus, Pending};

use crate::limits;

/// Whether a channel is in the same state, for the same reason: its queue and what is pending are no part of that.
pub(crate) fn is_same_state(before: &ChannelStatus, now: &ChannelStatus) -> bool {
    match (before, now) {
        (ChannelStatus::Active(before), ChannelStatus::Active(now)) => {
            before.availability == now.availability
                && before.reason_code == now.reason_code
                && before.reason_desc == now.reason_desc
        }
        _ => before == now,
    }
}

/// A status as it is kept: an active channel has an availability, a ready one no reason, no text is too long.
pub(crate) fn status(stated: &ChannelStatus) -> Cow<'_, ChannelStatus> {
    let ChannelStatus::Active(info) = stated else { return Cow::Borrowed(stated) };
    let ready = info.availability == Some(Availability::Ready);
    let pending = info.pending.as_ref().map_or([&None, &None], |pending| [&pending.reason_code, &pending.reason_desc]);
    let long = [&info.reason_code, &info.reason_desc, &info.queue]
        .into_iter()
        .chain(pending)
        .any(|text| text.as_ref().is_some_and(|text| text.len() > limits::TEXT));
    let reason = info.reason_code.is_some() || info.reason_desc.is_some();
    if info.availability.is_some() && !(ready && reason) && !long {
        return Cow::Borrowed(stated);
    }
    let cut = |text: &Option<String>| text.as_deref().map(|text| limits::cut(text).to_owned());
    let mut kept = ChannelInfo::default();
    kept.availability = info.availability.or(Some(Availability::NotReady));
    if !ready {
        kept.reason_code = cut(&info.reason_code);
        kept.reason_desc = cut(&info.reason_desc);
    }
    kept.queue = cut(&info.queue);
    kept.pending = info
        .pending
        .as_ref()
        .map(|pending| Pending::new(pending.availability, cut(&pending.reason_code), cut(&pending.reason_desc)));
    Cow::Owned(ChannelStatus::Active(kept))
}
