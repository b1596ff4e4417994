//! Interactions made out of contacts: which contact is whose part, and how each interaction is as a whole.
//!
//! An interaction is keyed by the MasterID under which it was first seen, a conversation by its first ContactID; both
//! keep that key whatever CXone renames. What an interaction looks like is worked out here only when its contacts are
//! at rest, so the order in which CXone told of them does not matter.

use std::collections::BTreeMap;

use jackfield_plugin_api::{
    Json,
    report::{
        Cause, Conversation, ConversationState, Direction, Interaction, InteractionState, Member, MemberRole, Reason,
        Recording, Role,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    event::{CallType, Media, Stage},
    facts::{Contact, Facts, is_older},
};

/// How many parents of parents are looked at; CXone's word is not taken for there being no circle.
const LONGEST_LINE: usize = 16;

/// Why something ends, when it is known beforehand.
pub(crate) type Intent = (Reason, Option<Cause>);

/// An interaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The MasterID under which it was first seen.
    pub(crate) key: String,
    pub(crate) media: Media,
    /// The contact whose data is shown.
    pub(crate) lead: String,
    /// Its living conversations.
    pub(crate) convs: Vec<Conv>,
    /// Call data that was set from here.
    pub(crate) data: BTreeMap<String, Json>,
    /// CXone has nothing left of it, but the agent has not completed it: a disposition ended it, and what a desktop does
    /// next is to complete it.
    #[serde(default)]
    pub(crate) kept: bool,
    /// How it was made known; a transfer may turn it.
    #[serde(default)]
    created: Option<Direction>,
    /// What the host was told of the recording last.
    #[serde(default)]
    recording: Option<Recording>,
    /// Somebody else records: it was paused, though the agent had not asked for it.
    #[serde(default)]
    scripted: bool,
    /// The contact's own data, as shown last.
    #[serde(skip)]
    shown: BTreeMap<String, Json>,
    /// The address to open, as shown last.
    #[serde(skip)]
    url: Option<String>,
    #[serde(skip)]
    intents: BTreeMap<String, Intent>,
    /// A blind transfer or conference is under way: the second call is not shown, and the first one not as held.
    #[serde(skip)]
    pub(crate) blind: Option<Blind>,
    /// The host has been told that nothing is left.
    #[serde(skip)]
    told_gone: bool,
    /// The host has been told that it is over, and why.
    #[serde(default)]
    told_ended: Option<Intent>,
}

/// What hides the second call of a blind transfer or conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blind {
    /// The first call is shown as talking while it is held.
    pub(crate) talking: bool,
}

/// A conversation: one call, or a conference of several.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conv {
    /// The first contact's id.
    pub(crate) key: String,
    /// Whether it is the consult.
    pub(crate) consult: bool,
    /// Its contacts.
    pub(crate) contacts: Vec<String>,
}

impl Conv {
    /// The contact that commands go to.
    pub(crate) fn contact<'a>(&self, facts: &'a Facts) -> Option<&'a Contact> {
        self.contacts.iter().filter_map(|id| facts.contact(id)).find(|contact| contact.live())
    }

    /// It is a conference.
    pub(crate) fn is_conference(&self, facts: &Facts) -> bool {
        self.contacts.iter().filter(|id| facts.stage(id) != Stage::Over).count() > 1
    }
}

impl Case {
    fn new(key: &str, lead: &Contact) -> Self {
        Self {
            key: key.to_owned(),
            media: lead.now.media,
            lead: lead.now.id.clone(),
            convs: Vec::new(),
            data: BTreeMap::new(),
            kept: false,
            created: None,
            recording: None,
            scripted: false,
            shown: BTreeMap::new(),
            url: None,
            intents: BTreeMap::new(),
            blind: None,
            told_gone: false,
            told_ended: None,
        }
    }

    /// Says beforehand why a contact will end.
    pub(crate) fn intend(&mut self, contact: &str, intent: Intent) {
        self.intents.insert(contact.to_owned(), intent);
    }

    /// It will not end after all.
    pub(crate) fn intend_nothing(&mut self, contact: &str) {
        self.intents.remove(contact);
    }

    /// Whoever began to record, it is over.
    pub(crate) fn recording_stopped(&mut self) {
        self.scripted = false;
        self.recording = Some(Recording::Off);
    }

    fn has(&self, contact: &str) -> bool {
        self.convs.iter().any(|conv| conv.contacts.iter().any(|id| id == contact))
    }

    fn hidden(&self, contact: &str) -> bool {
        self.blind.is_some() && !self.has(contact) && self.lead != contact
    }
}

/// All interactions.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    /// Oldest first.
    pub(crate) list: Vec<Case>,
    /// Interactions in which a command is about to make a call: the next new one is theirs. Commands to CXone are carried
    /// out in order, so that is so whatever the call's event says of its parent and its master.
    expecting: Vec<String>,
}

impl Cases {
    /// An interaction.
    pub(crate) fn get(&self, key: &str) -> Option<&Case> {
        self.list.iter().find(|case| case.key == key)
    }

    /// An interaction, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Case> {
        self.list.iter_mut().find(|case| case.key == key)
    }

    /// The next call that is made belongs to this interaction.
    pub(crate) fn expect(&mut self, key: &str) {
        self.expecting.push(key.to_owned());
    }

    /// No call will come for this interaction any more.
    pub(crate) fn expect_no_more(&mut self, key: &str) {
        if let Some(at) = self.expecting.iter().position(|expecting| expecting == key) {
            self.expecting.remove(at);
        }
    }

    /// A contact has come that was not there before: it may be one that a command waits for.
    pub(super) fn claim(&mut self, facts: &mut Facts, id: &str) {
        let handed_over = self.handed_over(facts, id);
        let Some(contact) = facts.contacts.iter_mut().find(|contact| contact.now.id == id) else { return };
        if contact.case.is_some() || self.holds(id) {
            return;
        }
        // Nobody has offered it, whatever it says of its direction.
        let called = contact.now.media == Media::Call && contact.now.stage != Stage::Offered;
        if called && !self.expecting.is_empty() {
            contact.case = Some(self.expecting.remove(0));
            contact.called = true;
        } else {
            contact.case = handed_over;
        }
    }

    /// The interaction of a colleague's consultation in which he has handed over his customer: nobody has offered that call
    /// to the agent, who talks to the customer at once. It may have another master than the consultation.
    fn handed_over(&self, facts: &Facts, id: &str) -> Option<String> {
        let new = facts.contact(id).filter(|new| facts.known() && new.now.stage.talking() && !new.made_here())?;
        let consulted = |it: &&Contact| {
            it.now.id != new.now.id
                && it.now.media == Media::Call
                && it.now.call_type == CallType::Consult
                && it.now.inbound
        };
        let consult = facts.contacts.iter().filter(consulted).find(|it| it.spoken && self.holds(&it.now.id))?;
        Some(self.key_of(facts, &consult.now.id))
    }

    /// The key of the interaction that a contact belongs to: the one that has it, that it was made for, that its parent
    /// belongs to; else the one of its master.
    pub(crate) fn key_of(&self, facts: &Facts, id: &str) -> String {
        self.key_of_kin(facts, id, LONGEST_LINE)
    }

    fn key_of_kin(&self, facts: &Facts, id: &str, generations: usize) -> String {
        if let Some(case) = self.list.iter().find(|case| case.has(id)) {
            return case.key.clone();
        }
        let Some(contact) = facts.contact(id) else { return id.to_owned() };
        if let Some(case) = &contact.case {
            return case.clone();
        }
        let media = contact.now.media;
        let fits = |key: &str| self.get(key).is_none_or(|case| case.media == media);
        if let Some(parent) = &contact.now.parent
            && generations > 0
            && (facts.contact(parent).is_some_and(|it| it.now.media == media) || self.holds(parent))
        {
            let key = self.key_of_kin(facts, parent, generations - 1);
            if fits(&key) {
                return key;
            }
        }
        let related =
            |other: &&Contact| other.now.id != id && other.now.master == contact.now.master && other.now.media == media;
        let related = facts.contacts.iter().filter(related).find_map(|other| other.case.clone());
        match related {
            Some(key) if fits(&key) => key,
            _ if fits(&contact.now.master) => contact.now.master.clone(),
            _ => id.to_owned(),
        }
    }

    /// Interactions that only wait for the agent to complete them are told as gone; gives their keys.
    pub(crate) fn release_kept(&mut self) -> Vec<String> {
        let kept = self.list.iter_mut().filter(|case| case.kept);
        kept.map(|case| {
            case.kept = false;
            case.key.clone()
        })
        .collect()
    }

    fn holds(&self, id: &str) -> bool {
        self.list.iter().any(|case| case.has(id))
    }

    /// The contacts of an interaction, oldest first.
    fn contacts(&self, facts: &Facts, key: &str) -> Vec<String> {
        let ids = facts.contacts.iter().map(|contact| &contact.now.id);
        ids.filter(|id| self.key_of(facts, id) == key).cloned().collect()
    }

    /// Whether an interaction is as it can stay. What is not is the middle of something that CXone tells in parts.
    pub(crate) fn at_rest(&self, facts: &Facts, key: &str) -> bool {
        let ids = self.contacts(facts, key);
        let case = self.get(key);
        let live: Vec<&Contact> = ids
            .iter()
            .filter(|id| !case.is_some_and(|case| case.hidden(id)))
            .filter_map(|id| facts.contact(id))
            .filter(|contact| contact.live())
            .collect();
        let count = |wanted: &[Stage]| live.iter().filter(|one| wanted.contains(&one.now.stage)).count();
        let (joined, talking) = (count(&[Stage::Joined]), count(&[Stage::Active, Stage::Masked]));
        // Half a conference; two calls heard at once; a consult before its original is held.
        if joined == 1 && live.len() > 1 || talking > 1 || talking == 1 && count(&[Stage::Dialing]) > 0 {
            return false;
        }
        let Some(case) = case else { return true };
        let over = |id: &String| facts.stage(id) == Stage::Over;
        // One party of a conference is gone and the others are still told as joined.
        if case.convs.iter().any(|conv| conv.contacts.len() > 1 && conv.contacts.iter().any(over)) && joined > 0 {
            return false;
        }
        // One of two calls is over: the other may follow, as a transfer.
        let spoken = |conv: &Conv| conv.contact(facts).is_some_and(|contact| contact.now.stage.spoken());
        if case.convs.iter().any(|conv| conv.contacts.iter().all(over)) && case.convs.iter().any(spoken) {
            return false;
        }
        // A colleague's consultation is over: his customer may be on the way, under a new id.
        let consulted =
            |id: &String| facts.contact(id).is_some_and(|it| it.now.call_type == CallType::Consult && it.now.inbound);
        if live.is_empty() && case.convs.iter().flat_map(|conv| &conv.contacts).any(consulted) {
            return false;
        }
        // The same call under a new id, before the old one is over.
        !live.iter().any(|new| {
            let renamed = |old: &&Contact| {
                old.now.id != new.now.id && old.now.call_type == CallType::Consult && case.has(&old.now.id)
            };
            !case.has(&new.now.id) && !new.made_here() && live.iter().any(renamed)
        })
    }

    /// Works out how an interaction is, and remembers that the host will be told so. `None`: nothing to tell.
    pub(crate) fn settle(&mut self, facts: &mut Facts, key: &str) -> Option<(Media, Interaction)> {
        let ids = self.contacts(facts, key);
        for contact in facts.contacts.iter_mut().filter(|contact| ids.contains(&contact.now.id)) {
            contact.case = Some(key.to_owned());
        }
        if self.get(key).is_none() {
            let lead = ids.iter().filter_map(|id| facts.contact(id)).find(|contact| !contact.now.done)?;
            self.list.push(Case::new(key, lead));
        }
        let at = self.list.iter().position(|case| case.key == key)?;
        let case = &mut self.list[at];
        if let Some(lead) = facts.contact(&case.lead) {
            case.media = lead.now.media;
        }
        let interaction = case.settle(facts, &ids);
        let media = case.media;
        let (gone, idle) = (case.told_gone, !ids.iter().any(|id| facts.contact(id).is_some_and(Contact::live)));
        if gone && idle {
            self.list.remove(at);
        }
        for id in ids {
            if facts.contact(&id).is_some_and(|contact| contact.now.done) {
                facts.forget(&id);
            }
        }
        interaction.map(|interaction| (media, interaction))
    }
}

impl Case {
    fn settle(&mut self, facts: &Facts, ids: &[String]) -> Option<Interaction> {
        let shown: Vec<&Contact> =
            ids.iter().filter(|id| !self.hidden(id)).filter_map(|id| facts.contact(id)).collect();
        let live = shown.iter().any(|contact| contact.live());
        if self.told_gone && !live {
            return None;
        }
        if self.told_ended.is_some() && live {
            // Called back under the same key: the host takes it for a new one.
            self.told_ended = None;
            self.convs.clear();
        }
        self.told_gone = false;
        let never = !shown.iter().any(|contact| contact.spoken);
        let mut told = self.settle_conversations(facts, &shown);
        let before = std::mem::take(&mut self.shown);
        self.read_lead(facts);
        let now = self.direction(facts);
        let direction = *self.created.get_or_insert(now);
        let mut interaction = Interaction::create(&self.key, direction);
        let (ended, intent) = (told.ended, told.intent);
        if self.media == Media::Call {
            interaction.conversations = Some(std::mem::take(&mut told.conversations));
            interaction.recording = told.recording;
            interaction.recording_unknown = told.recording.is_none();
        } else if let Some(contact) = shown.iter().find(|contact| contact.live()) {
            interaction.state = Some(match contact.now.stage {
                Stage::Offered => InteractionState::Alerting,
                Stage::Dialing => InteractionState::Dialing,
                _ => InteractionState::Started,
            });
        }
        interaction.url.clone_from(&self.url);
        interaction.data =
            self.shown.iter().chain(&self.data).map(|(name, one)| (name.clone(), Some(one.clone()))).collect();
        for name in before.into_keys().filter(|name| !self.shown.contains_key(name)) {
            interaction.data.entry(name).or_insert(None);
        }
        if !live {
            let left = self.kept || shown.iter().any(|contact| !contact.now.done) && !never;
            let why = self.told_ended.or(intent).or(ended).unwrap_or((Reason::Released, None));
            let (reason, cause) = why;
            interaction.reason = Some(reason);
            interaction.cause = cause;
            if left {
                interaction.state = Some(InteractionState::Ended);
                self.told_ended = Some(why);
            } else {
                interaction.gone = true;
                self.told_gone = true;
            }
            self.intents.clear();
        }
        Some(interaction)
    }

    /// Puts contacts into conversations and tells how those are.
    fn settle_conversations(&mut self, facts: &Facts, shown: &[&Contact]) -> Told {
        let mut told = Told::default();
        if self.media != Media::Call {
            if let Some(contact) = shown.iter().find(|contact| !contact.live()) {
                told.ended = Some(natural_end(facts, contact));
                told.intent = self.intents.get(&contact.now.id).copied();
            }
            return told;
        }
        for contact in shown.iter().filter(|contact| contact.live()) {
            if !self.has(&contact.now.id) {
                self.place(facts, contact);
            }
        }
        let absorbed = self.join(facts);
        let over = |conv: &Conv| conv.contact(facts).is_none();
        // Two calls that end at once have been connected to each other.
        let connected = self.convs.iter().filter(|conv| over(conv)).count() > 1 && facts.session.is_some();
        let mut living = Vec::new();
        for conv in std::mem::take(&mut self.convs) {
            if !over(&conv) {
                told.conversations.push(self.tell(facts, &conv));
                if !conv.consult {
                    told.recording = self.recorded(facts, &conv);
                }
                living.push(conv);
                continue;
            }
            let contacts = || conv.contacts.iter();
            let intended = contacts().find_map(|id| self.intents.get(id)).copied();
            let natural = contacts().find_map(|id| facts.contact(id));
            let natural = natural.map_or((Reason::Released, None), |contact| natural_end(facts, contact));
            let natural = if connected { (Reason::Transferred, None) } else { natural };
            let (reason, cause) = intended.unwrap_or(natural);
            let mut ended = Conversation::ended(&conv.key, reason);
            ended.cause = cause;
            told.conversations.push(ended);
            told.ended = Some((reason, cause));
        }
        self.convs = living;
        told.conversations.extend(absorbed.into_iter().map(|key| Conversation::ended(key, Reason::Released)));
        if told.ended.is_none() {
            // It was over before it had been shown as living.
            told.ended = shown.iter().find(|contact| !contact.live()).map(|contact| natural_end(facts, contact));
            let intent = |contact: &&&Contact| self.intents.get(&contact.now.id).copied();
            told.intent = shown.iter().find_map(|contact| intent(&contact));
        }
        told
    }

    /// Finds the conversation of a contact that has none.
    fn place(&mut self, facts: &Facts, contact: &Contact) {
        let id = contact.now.id.clone();
        if !contact.made_here()
            && let Some(conv) = self.convs.iter_mut().find(|conv| conv.contact(facts).is_none())
        {
            // The same call under a new ContactID.
            if conv.contacts.contains(&self.lead) {
                self.lead.clone_from(&id);
            }
            conv.contacts = vec![id];
            return;
        }
        let consult = self.convs.iter().any(|conv| conv.contact(facts).is_some());
        if !consult && facts.stage(&self.lead) == Stage::Over {
            self.lead.clone_from(&id);
        }
        self.convs.push(Conv { key: id.clone(), consult, contacts: vec![id] });
    }

    /// Puts what is joined into one conversation; gives the keys of those that are dissolved into it.
    fn join(&mut self, facts: &Facts) -> Vec<String> {
        let joined = |conv: &Conv| conv.contact(facts).is_some_and(|contact| contact.now.stage == Stage::Joined);
        if self.convs.iter().filter(|conv| joined(conv)).count() < 2 {
            return Vec::new();
        }
        let (mut together, apart): (Vec<_>, Vec<_>) = std::mem::take(&mut self.convs).into_iter().partition(joined);
        together.sort_by_key(|conv| conv.consult);
        let mut whole = together.remove(0);
        let mut dissolved = Vec::new();
        for conv in together {
            whole.contacts.extend(conv.contacts);
            dissolved.push(conv.key);
        }
        self.convs = vec![whole];
        self.convs.extend(apart);
        dissolved
    }

    /// Whether a call is recorded, as far as CXone tells: only what the agent has asked for, and what is paused. What a
    /// script records is not told, and so nothing is said of it.
    fn recorded(&mut self, facts: &Facts, conv: &Conv) -> Option<Recording> {
        let contacts = || conv.contacts.iter().filter_map(|id| facts.contact(id)).filter(|contact| contact.live());
        let asked = contacts().any(|contact| contact.now.recording);
        let paused = contacts().any(|contact| contact.now.stage == Stage::Masked);
        self.scripted |= paused && !asked;
        self.recording = match (paused, asked || self.scripted) {
            (true, _) => Some(Recording::Paused),
            (false, true) => Some(Recording::On),
            (false, false) => self.recording.map(|_| Recording::Off),
        };
        self.recording
    }

    fn tell(&self, facts: &Facts, conv: &Conv) -> Conversation {
        let contacts: Vec<&Contact> =
            conv.contacts.iter().filter_map(|id| facts.contact(id)).filter(|contact| contact.live()).collect();
        let any = |test: &dyn Fn(Stage) -> bool| contacts.iter().any(|contact| test(contact.now.stage));
        let state = if any(&Stage::talking) {
            ConversationState::Talking
        } else if any(&|stage| stage == Stage::Held) {
            let talking = self.blind.is_some_and(|blind| blind.talking);
            if talking { ConversationState::Talking } else { ConversationState::Held }
        } else if any(&|stage| stage == Stage::Dialing) {
            ConversationState::Dialing
        } else {
            ConversationState::Alerting
        };
        let role = if conv.consult { Role::Consult } else { Role::Primary };
        let mut told = Conversation::new(&conv.key, role, state);
        if matches!(state, ConversationState::Talking | ConversationState::Held) {
            told.muted = Some(facts.muted);
        }
        told.members = Some(contacts.iter().map(|contact| member(contact, conv.consult)).collect());
        told
    }

    /// Reads the data of the contact that is shown, while there is one.
    fn read_lead(&mut self, facts: &Facts) {
        let Some(lead) = facts.contact(&self.lead) else { return };
        let now = &lead.now;
        let members = [
            ("contactId", &now.id),
            ("masterId", &now.master),
            ("skillId", &now.skill),
            ("ani", &now.ani),
            ("dnis", &now.dnis),
            ("startTime", &now.started),
        ];
        let given = members.into_iter().filter(|(_, value)| !value.is_empty());
        self.shown = given.map(|(name, value)| (name.to_owned(), Json::from(value.as_str()))).collect();
        let details = now.details.iter().map(|(name, value)| ((*name).to_owned(), Json::from(value.as_str())));
        self.shown.extend(details);
        let parked = now.media != Media::Call && now.stage == Stage::Held;
        if parked {
            self.shown.insert("parked".to_owned(), Json::from(serde_json::json!(true)));
        }
        // Made known as a colleague's consultation, it may have become a customer's call.
        let turned = self.direction(facts);
        if self.created.is_some_and(|created| created != turned) {
            let word = match turned {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
                Direction::Internal => "internal",
            };
            self.shown.insert("direction".to_owned(), Json::from(word));
        }
        if let Some(url) = lead.pop.as_ref().or(now.url.as_ref()) {
            self.url = Some(url.clone());
        }
    }

    fn direction(&self, facts: &Facts) -> Direction {
        match facts.contact(&self.lead) {
            Some(lead) if lead.now.call_type == CallType::Consult => Direction::Internal,
            Some(lead) if !lead.now.inbound => Direction::Outbound,
            _ => Direction::Inbound,
        }
    }
}

/// What is told of an interaction's conversations.
#[derive(Default)]
struct Told {
    conversations: Vec<Conversation>,
    recording: Option<Recording>,
    ended: Option<Intent>,
    intent: Option<Intent>,
}

fn member(contact: &Contact, consult: bool) -> Member {
    let now = &contact.now;
    let address = if now.inbound { &now.ani } else { &now.dnis };
    // A customer who was transferred to the agent names his former contact as parent, and is a customer still.
    let beside = consult || !now.inbound && now.parent.is_some();
    let role = match now.call_type {
        CallType::Consult => MemberRole::Agent,
        // An agent's own queue has customers too; who calls it from here calls the agent.
        CallType::PersonalQueue if !now.inbound => MemberRole::Agent,
        _ if beside => MemberRole::External,
        _ => MemberRole::Customer,
    };
    Member::new(&now.id, address, role)
}

/// Why a contact ended, from what CXone tells of it.
fn natural_end(facts: &Facts, contact: &Contact) -> Intent {
    let now = &contact.now;
    let refused = |text: &str| text.to_ascii_lowercase().contains("refus");
    if contact.lost {
        (Reason::Lost, None)
    } else if contact.spoken {
        (Reason::Released, None)
    } else if refused(&now.code)
        || now.inbound && refused(&facts.state.reason) && !is_older(&facts.state.since, &now.changed)
    {
        // The agent did not take it: CXone offers it to somebody else, and has made him unavailable for that.
        (Reason::Redirected, None)
    } else if now.inbound {
        (Reason::Abandoned, None)
    } else {
        (Reason::Failed, cause(&now.code))
    }
}

/// CXone documents no list of DisconnectCode; these words are what its clients show.
pub(crate) fn cause(code: &str) -> Option<Cause> {
    let code = code.to_ascii_lowercase().replace([' ', '_', '-'], "");
    [
        ("busy", Cause::Busy),
        ("noanswer", Cause::NoAnswer),
        ("timeout", Cause::NoAnswer),
        ("invalid", Cause::Unreachable),
        ("unreach", Cause::Unreachable),
        ("badnumber", Cause::Unreachable),
        ("disconnectednumber", Cause::Unreachable),
        ("congestion", Cause::Unreachable),
    ]
    .into_iter()
    .find(|(word, _)| code.contains(word))
    .map(|(_, cause)| cause)
}
