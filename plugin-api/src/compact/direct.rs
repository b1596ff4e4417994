//! What crosses the boundary all the time, written and read without serde: commands, answers and reports.
//!
//! Owns: a second way to write and read these, for speed alone. Must never: mean anything else. What is written is, byte
//! for byte, what serde writes. What is read is what serde reads, or nothing: where a text is not what this version writes
//! (a member of a later one, another order, another type, cut off) this gives up, and serde reads it and says what is
//! wrong if something is. A member that the lists below leave out does not compile.
//!
//! Why: a derived reader keeps each member in a variable of its own, each with its error, and moves an object several
//! times before it is where it belongs; a name is found, measured, checked and compared one after the other.

use std::{collections::BTreeMap, str};

use serde::{Deserialize, Serialize};

use super::{Error, read, read::Reader, write::Writer};
use crate::{
    Command, Json, Outcome,
    report::{
        Availability, Cause, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationAt,
        ConversationState, Direction, ExtensionEvent, Group, Interaction, InteractionAt, InteractionState, Member,
        MemberRole, Pending, Reason, Recording, Report, Role, Target,
    },
    wire::{Answer, AnswerRef, Execute, ExecuteRef, Payload, PayloadOwned},
};

/// Room that is made for a list at once; one that claims to be longer has to show it.
const ROOM: usize = 16;

trait Write {
    /// Whether it is written where it may be left out.
    fn is_there(&self) -> bool {
        true
    }

    fn write(&self, writer: &mut Writer<'_>);
}

pub(super) trait Read: Sized {
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// An object of a report, which is read where it is kept.
trait Object: Write + Sized {
    fn empty() -> Self;
    fn fill(&mut self, reader: &mut Reader<'_>) -> Option<()>;
}

// ---- names ----

/// A text of the protocol as it is written: its tag, if it has one; its length; itself.
const fn written<const N: usize>(tag: Option<u8>, name: &str) -> [u8; N] {
    assert!(name.len() < 64, "its length is one byte");
    let mut written = [0; N];
    let mut at = N - name.len();
    written[at - 1] = name.len() as u8;
    if let Some(tag) = tag {
        written[0] = tag;
    }
    let before = at;
    while at < N {
        written[at] = name.as_bytes()[at - before];
        at += 1;
    }
    written
}

const fn utf8(bytes: &'static [u8]) -> &'static str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a name is text"),
    }
}

macro_rules! piece {
    ($tag:expr, $name:expr) => {{
        const BYTES: [u8; $name.len() + 1 + $tag.is_some() as usize] = written($tag, $name);
        const PIECE: &str = utf8(&BYTES);
        PIECE
    }};
}

/// The name of a member.
macro_rules! name {
    ($name:expr) => {
        piece!(None::<u8>, $name)
    };
}

/// A word that is a value.
macro_rules! word {
    ($word:expr) => {
        piece!(Some(b's'), $word)
    };
}

/// The name of a variant, in front of its value.
macro_rules! variant {
    ($name:expr) => {
        piece!(Some(b'v'), $name)
    };
}

/// How many members follow.
fn members(reader: &mut Reader<'_>) -> Option<usize> {
    reader.tag(b'{')?;
    reader.count()
}

/// One for each member.
macro_rules! one {
    ($member:ident) => {
        1
    };
}

/// An object that has all of these members, in this order.
macro_rules! all {
    (write $writer:ident; $($member:ident),+) => {{
        $writer.tagged(b'{', 0 $(+ one!($member))+);
        $(
            $writer.piece(name!(stringify!($member)));
            $member.write($writer);
        )+
    }};
    (read $reader:ident; $($kind:ident)::+ { $($member:ident),+ }) => {{
        if members($reader)? != 0 $(+ one!($member))+ {
            return None;
        }
        $(
            if !$reader.skip_piece(name!(stringify!($member))) {
                return None;
            }
            let $member = Read::read($reader)?;
        )+
        $($kind)::+ { $($member),+ }
    }};
}

/// A member of an object that may leave some out: named in its place, where it is there.
macro_rules! member {
    (count $object:ident; $member:ident needed) => {
        1
    };
    (count $object:ident; $member:ident $($name:literal)?) => {
        u64::from($object.$member.is_there())
    };
    (write $object:ident, $writer:ident; $member:ident needed) => {
        $writer.piece(name!(stringify!($member)));
        $object.$member.write($writer);
    };
    (write $object:ident, $writer:ident; $member:ident) => {
        member!(write $object, $writer; $member (stringify!($member)));
    };
    (write $object:ident, $writer:ident; $member:ident $name:expr) => {
        if $object.$member.is_there() {
            $writer.piece(name!($name));
            $object.$member.write($writer);
        }
    };
    (read $object:ident, $left:ident, $reader:ident; $member:ident needed) => {
        if $left == 0 || !$reader.skip_piece(name!(stringify!($member))) {
            return None;
        }
        $left -= 1;
        $object.$member = Read::read($reader)?;
    };
    (read $object:ident, $left:ident, $reader:ident; $member:ident) => {
        member!(read $object, $left, $reader; $member (stringify!($member)));
    };
    (read $object:ident, $left:ident, $reader:ident; $member:ident $name:expr) => {
        if $left > 0 && $reader.skip_piece(name!($name)) {
            $left -= 1;
            $object.$member = Read::read($reader)?;
        }
    };
}

/// Objects: how one is made, and its members in the order in which they are written; with another name, or needed.
macro_rules! objects {
    ($($kind:ident = $empty:expr, { $($member:ident $(: $how:tt)?),+ })+) => {$(
        impl Object for $kind {
            fn empty() -> Self {
                $empty
            }

            fn fill(&mut self, reader: &mut Reader<'_>) -> Option<()> {
                let mut left = members(reader)?;
                $(member!(read self, left, reader; $member $($how)?);)+
                (left == 0).then_some(())
            }
        }

        impl Write for $kind {
            fn write(&self, writer: &mut Writer<'_>) {
                // So that none is forgotten.
                let Self { $($member: _),+ } = self;
                writer.tagged(b'{', 0 $(+ member!(count self; $member $($how)?))+);
                $(member!(write self, writer; $member $($how)?);)+
            }
        }
    )+};
}

/// Reads a message, where there is nothing in it that is not expected.
pub(super) fn directly<T: Read>(text: &str) -> Option<T> {
    let mut reader = Reader::begin(text)?;
    let message = T::read(&mut reader)?;
    reader.is_at_end().then_some(message)
}

macro_rules! payloads {
    (written $($message:ty),+; read $($owned:ty),+) => {
        $(impl Payload for $message {
            fn write_compact(&self, text: &mut String) -> Result<(), Error> {
                self.write(&mut Writer::begin(text));
                Ok(())
            }
        })+
        $(impl PayloadOwned for $owned {
            fn read_compact(text: &str) -> Result<Self, Error> {
                directly(text).map_or_else(|| read(text), Ok)
            }
        })+
    };
}
payloads! { written ExecuteRef<'_>, AnswerRef<'_>, Report; read Execute, Answer, Report }

// ---- values ----

impl Write for String {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.byte(b's');
        writer.text(self);
    }
}

impl Read for String {
    // Where it is put in place, the code for it is there a dozen times.
    #[inline(never)]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.tag(b's')?;
        reader.text().map(str::to_owned)
    }
}

impl Write for u64 {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.tagged(b'u', *self);
    }
}

impl Read for u64 {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.tag(b'u')?;
        reader.number()
    }
}

impl Write for bool {
    fn is_there(&self) -> bool {
        *self
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.byte(if *self { b't' } else { b'f' });
    }
}

impl Read for bool {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }
}

impl<T: Write> Write for Option<T> {
    fn is_there(&self) -> bool {
        self.is_some()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            None => writer.byte(b'n'),
            Some(value) => value.write(writer),
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.peek()? == b'n' {
            reader.byte()?;
            return Some(None);
        }
        T::read(reader).map(Some)
    }
}

impl<T: Object> Write for Vec<T> {
    fn is_there(&self) -> bool {
        !self.is_empty()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.tagged(b'[', self.len() as u64);
        self.iter().for_each(|item| item.write(writer));
    }
}

impl<T: Object> Read for Vec<T> {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.tag(b'[')?;
        let count = reader.count()?;
        let mut list = Self::with_capacity(count.min(ROOM));
        for _ in 0..count {
            list.push(T::empty());
            list.last_mut()?.fill(reader)?;
        }
        Some(list)
    }
}

/// Call data.
impl Write for BTreeMap<String, Option<Json>> {
    fn is_there(&self) -> bool {
        !self.is_empty()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.tagged(b'{', self.len() as u64);
        for (key, value) in self {
            writer.text(key);
            value.write(writer);
        }
    }
}

impl Read for BTreeMap<String, Option<Json>> {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut data = Self::new();
        for _ in 0..members(reader)? {
            let key = reader.text()?.to_owned();
            data.insert(key, Read::read(reader)?);
        }
        Some(data)
    }
}

/// Values that are rare, or have a form of their own: as serde has them.
macro_rules! by_serde {
    ($($kind:ident)*) => {$(
        impl Write for $kind {
            fn write(&self, writer: &mut Writer<'_>) {
                by_serde(self, writer);
            }
        }

        impl Read for $kind {
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                Self::deserialize(reader).ok()
            }
        }
    )*};
}
by_serde! { Json Pending Target }

fn by_serde<T: Serialize>(value: &T, writer: &mut Writer<'_>) {
    // Fails for lists of unknown length and bytes that are no text, of which there are none in these.
    let _ = value.serialize(writer.inner());
}

/// Words of the protocol.
macro_rules! words {
    ($($kind:ident ($($word:literal $variant:ident),*);)*) => {$(
        impl Write for $kind {
            fn write(&self, writer: &mut Writer<'_>) {
                writer.piece(match self {
                    $(Self::$variant => word!($word),)*
                });
            }
        }

        impl Read for $kind {
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(
                    if reader.skip_piece(word!($word)) {
                        return Some(Self::$variant);
                    }
                )*
                None
            }
        }
    )*};
}
words! {
    ChannelType ("Telephony" Telephony, "Chat" Chat, "Email" Email);
    Availability ("READY" Ready, "NOTREADY" NotReady, "ACW" Acw);
    Direction ("inbound" Inbound, "outbound" Outbound, "internal" Internal);
    InteractionState (
        "ALERTING" Alerting, "DIALING" Dialing, "STARTED" Started, "ENDED" Ended, "COMPLETED" Completed
    );
    Reason (
        "released" Released, "rejected" Rejected, "transferred" Transferred, "abandoned" Abandoned, "redirected" Redirected, "lost" Lost, "failed" Failed
    );
    Cause ("busy" Busy, "noanswer" NoAnswer, "unreachable" Unreachable, "cancelled" Cancelled);
    Recording ("OFF" Off, "ON" On, "PAUSED" Paused);
    Role ("primary" Primary, "consult" Consult);
    ConversationState ("ALERTING" Alerting, "DIALING" Dialing, "TALKING" Talking, "HELD" Held, "ENDED" Ended);
    MemberRole ("customer" Customer, "agent" Agent, "external" External);
}

// ---- reports ----

objects! {
    Report = Self::default(), { snapshot, groups, channels, events }
    Group = Self::default(), { key: needed, gone, name }
    Channel = Self::default(), {
        key: needed, was, gone, group, kind: "type", endpoint, name, status, interactions
    }
    ChannelInfo = Self::default(), { availability, reason_code, reason_desc, queue, pending }
    Interaction = Self::default(), {
        key: needed, was, gone, direction, state, reason, cause, recording, url, data, conversations
    }
    Conversation = Self::default(), { key: needed, was, role, state, reason, cause, muted, members }
    Member = Self { key: String::new(), address: None, name: None, role: MemberRole::External }, {
        key: needed, address, name, role: needed
    }
    ExtensionEvent = Self { on: Target::Session, name: String::new(), data: Json::empty_object() }, {
        on: needed, name: needed, data: needed
    }
}

macro_rules! read_alone {
    ($($kind:ident)*) => {$(
        impl Read for $kind {
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                let mut object = Self::empty();
                object.fill(reader)?;
                Some(object)
            }
        }
    )*};
}
read_alone! { Report ChannelInfo }

impl Write for ChannelStatus {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Inactive => writer.piece(word!("INACTIVE")),
            Self::Active(info) => {
                writer.piece(variant!("ACTIVE"));
                info.write(writer);
            }
            Self::Unavailable => writer.piece(word!("UNAVAILABLE")),
        }
    }
}

impl Read for ChannelStatus {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.skip_piece(word!("INACTIVE")) {
            Some(Self::Inactive)
        } else if reader.skip_piece(word!("UNAVAILABLE")) {
            Some(Self::Unavailable)
        } else if reader.skip_piece(variant!("ACTIVE")) {
            Read::read(reader).map(Self::Active)
        } else {
            None
        }
    }
}

// ---- commands and answers ----

impl Write for ExecuteRef<'_> {
    fn write(&self, writer: &mut Writer<'_>) {
        let Self { request, command } = self;
        all!(write writer; request, command);
    }
}

impl Read for Execute {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(all!(read reader; Self { request, command }))
    }
}

impl Write for AnswerRef<'_> {
    fn write(&self, writer: &mut Writer<'_>) {
        let Self { request, report, outcome } = self;
        match report {
            None => all!(write writer; request, outcome),
            Some(report) => all!(write writer; request, report, outcome),
        }
    }
}

impl Read for Answer {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut answer = Self { request: 0, report: None, outcome: Outcome::success() };
        let mut left = members(reader)?;
        member!(read answer, left, reader; request needed);
        member!(read answer, left, reader; report);
        member!(read answer, left, reader; outcome needed);
        (left == 0).then_some(answer)
    }
}

impl Write for Outcome {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Success(data) => {
                writer.piece(variant!("success"));
                data.write(writer);
            }
            other => by_serde(other, writer),
        }
    }
}

impl Read for Outcome {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.skip_piece(variant!("success")) {
            return Read::read(reader).map(Self::Success);
        }
        Self::deserialize(reader).ok()
    }
}

macro_rules! both_ways {
    ($($kind:ident { $($member:ident),+ })+) => {$(
        impl Write for $kind {
            fn write(&self, writer: &mut Writer<'_>) {
                let Self { $($member),+ } = self;
                all!(write writer; $($member),+);
            }
        }

        impl Read for $kind {
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                Some(all!(read reader; Self { $($member),+ }))
            }
        }
    )+};
}
both_ways! {
    InteractionAt { channel, interaction }
    ConversationAt { channel, interaction, conversation }
}

macro_rules! commands {
    ($($name:literal $variant:ident { $($member:ident),+ })+) => {
        impl Write for Command {
            fn write(&self, writer: &mut Writer<'_>) {
                match self {
                    $(Self::$variant { $($member),+ } => {
                        writer.piece(variant!($name));
                        all!(write writer; $($member),+);
                    })+
                    other => by_serde(other, writer),
                }
            }
        }

        impl Read for Command {
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(
                    if reader.skip_piece(variant!($name)) {
                        return Some(all!(read reader; Self::$variant { $($member),+ }));
                    }
                )+
                Self::deserialize(reader).ok()
            }
        }
    };
}
// Those of an agent's calls and contacts, the most common ones first; the others are serde's.
commands! {
    "answer" Answer { conversation }
    "release" Release { conversation }
    "complete" Complete { interaction }
    "ready" Ready { channel }
    "not_ready" NotReady { channel, reason_code, reason_desc }
    "dial" Dial { channel, destination, extensions }
    "hold" Hold { conversation }
    "retrieve" Retrieve { conversation }
    "mute" Mute { conversation }
    "unmute" Unmute { conversation }
    "accept" Accept { interaction }
    "reject" Reject { interaction }
    "consult" Consult { interaction, destination }
    "alternate" Alternate { interaction, hold, retrieve }
    "consult_transfer" ConsultTransfer { interaction }
    "consult_conference" ConsultConference { interaction }
    "blind_transfer" BlindTransfer { conversation, destination }
    "blind_conference" BlindConference { conversation, destination }
    "send_dtmf" SendDtmf { conversation, digits }
    "set_interaction_data" SetInteractionData { interaction, key, value }
    "set_disposition" SetDisposition { interaction, disposition }
}
