//! Channel groups. CXone knows none: a group is a name for the agent's channels, his station with the chat and the e-mail
//! channel that were asked for.

use std::time::Instant;

use jackfield_plugin_api::{Code, Failure, Report, report::Group};

use super::{rejected, state};
use crate::{
    line::Line,
    model::{Desk, DeskChannel, DeskGroup, LegStatus, Media},
    settings::StationKind,
};

pub(super) fn add(line: &Line, name: &str, chat: bool, email: bool) -> Result<(), Failure> {
    line.with(|model| {
        let key = format!("group {name}");
        if model.desk.groups.iter().any(|group| group.key == key) {
            return Err(Failure::new(Code::Conflict, "the session has this channel group already"));
        }
        let kind = line.api.settings.station;
        let station = model.facts.session.as_ref().map(|session| session.endpoint(kind).to_owned());
        let station = station.filter(|station| !station.is_empty());
        // A name that can be a station is the station itself, as of a channel that stands alone.
        let any = kind == StationKind::StationId;
        let named = (any || name.chars().any(|letter| letter.is_ascii_digit())).then(|| name.to_owned());
        let wanted = [(Media::Call, true), (Media::Chat, chat), (Media::Email, email)];
        let mut channels = Vec::new();
        for (media, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            if model.desk.get(media).is_some() {
                continue;
            }
            let endpoint = match media {
                Media::Call => station.clone().or_else(|| named.clone()).ok_or_else(|| {
                    rejected("CXone has no station for this group: name the group as the station, or start with one")
                })?,
                other => DeskChannel::key_of(other).to_owned(),
            };
            let opened = media == Media::Call && model.facts.session.is_some() && model.facts.leg == LegStatus::Up;
            channels.push(DeskChannel { opened, group: Some(key.clone()), ..DeskChannel::new(media, endpoint) });
        }
        if channels.is_empty() {
            return Err(Failure::new(Code::Conflict, "the session has all channels of this group already"));
        }
        model.desk.groups.push(DeskGroup { key, name: name.to_owned() });
        model.desk.channels.extend(channels);
        model.touch_desk(Instant::now());
        Ok(())
    })
}

/// Removes a group with its channels; those that are active are deactivated first, in order.
pub(super) async fn remove(line: &Line, key: &str) -> Result<(), Failure> {
    let active = line.with(|model| {
        let mine = model.desk.channels.iter().filter(|channel| channel.group.as_deref() == Some(key));
        let active = mine.filter(|channel| Desk::active(channel, &model.facts));
        active.map(|channel| DeskChannel::key_of(channel.media)).collect::<Vec<_>>()
    });
    for channel in active {
        state::deactivate(line, channel).await?;
    }
    line.with(|model| {
        model.desk.channels.retain(|channel| channel.group.as_deref() != Some(key));
        model.desk.groups.retain(|group| group.key != key);
    });
    line.report_extra(Report::new().group(Group::gone(key)));
    Ok(())
}
