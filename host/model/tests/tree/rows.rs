//! Every row of the protocol's section 4, and of "what happens by itself": the report that an adapter would naturally
//! make, and the listed events, exactly.

use super::desk::Desk;
use jackfield_plugin_api::{
    Report,
    report::{
        Availability, Cause, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState,
        Direction, Group, Interaction, InteractionState, Member, MemberRole, Pending, Reason, Recording, Role,
    },
};

// ---- reports, in the words of the table

fn phone() -> Channel {
    Channel::create("ext1", ChannelType::Telephony, "1001", "Desk")
}

fn chat() -> Channel {
    Channel::create("chat", ChannelType::Chat, "chat", "Chat")
}

fn on(channel: Channel) -> Report {
    Report::new().channel(channel)
}

/// A statement about the phone's one call.
fn call(interaction: Interaction) -> Report {
    on(Channel::new("ext1").interaction(interaction))
}

fn chats(interaction: Interaction) -> Report {
    on(Channel::new("chat").interaction(interaction))
}

fn m1() -> Interaction {
    Interaction::new("M1")
}

fn e1() -> Interaction {
    Interaction::new("E1")
}

/// The calls of the phone's interaction are these.
fn calls(conversations: impl IntoIterator<Item = Conversation>) -> Report {
    call(conversations.into_iter().fold(m1().no_conversations(), Interaction::conversation))
}

fn no_calls() -> Interaction {
    m1().no_conversations()
}

use ConversationState::{Alerting, Dialing, Held, Talking};

fn one(state: ConversationState) -> Conversation {
    Conversation::new("C1", Role::Primary, state)
}

fn two(state: ConversationState) -> Conversation {
    Conversation::new("C2", Role::Consult, state)
}

fn with(conversation: Conversation, parties: &[&str]) -> Conversation {
    parties.iter().fold(conversation, |conversation, key| conversation.member(party(key)))
}

fn party(key: &str) -> Member {
    Member::new(key, format!("+1{key}"), MemberRole::Customer).name(key)
}

fn ready() -> ChannelStatus {
    ChannelStatus::Active(ChannelInfo::ready())
}

fn not_ready(code: &str) -> ChannelStatus {
    ChannelStatus::Active(ChannelInfo::not_ready(Some(code.into()), None))
}

fn status(status: ChannelStatus) -> Report {
    on(Channel::new("ext1").status(status))
}

fn start() -> Report {
    Report::snapshot().channel(phone().status(ready())).channel(chat().status(ready()))
}

fn offered() -> Report {
    let interaction = Interaction::create("M1", Direction::Inbound).data("ani", "+1555");
    call(interaction.conversation(with(one(Alerting), &["cust"])))
}

fn dialed() -> Interaction {
    Interaction::create("M1", Direction::Outbound).conversation(with(one(Dialing), &["cust"]))
}

fn answered() -> Report {
    calls([one(Talking)])
}

fn talk() -> Vec<Report> {
    vec![start(), offered(), answered()]
}

fn consulted() -> Report {
    calls([one(Held), with(two(Dialing), &["expert"])])
}

fn connected() -> Report {
    calls([one(Held), two(Talking)])
}

fn back() -> Report {
    calls([one(Talking), two(Held)])
}

fn both_held() -> Report {
    calls([one(Held), two(Held)])
}

fn conference() -> Report {
    calls([with(one(Talking), &["cust", "expert"])])
}

fn two_calls() -> Vec<Report> {
    and(talk(), [consulted(), connected()])
}

fn ended_calls() -> Vec<Report> {
    and(talk(), [call(no_calls())])
}

fn chat_offered() -> Report {
    chats(Interaction::create("E1", Direction::Inbound).state(InteractionState::Alerting))
}

fn chat_taken() -> Vec<Report> {
    vec![start(), chat_offered(), chats(e1().state(InteractionState::Started))]
}

fn group() -> Report {
    let channels = [phone(), chat()].map(|channel| channel.group("g"));
    channels.into_iter().fold(Report::new().group(Group::new("g", "Sales")), Report::channel)
}

fn both(state: &ChannelStatus) -> Report {
    Report::new()
        .channel(Channel::new("ext1").status(state.clone()))
        .channel(Channel::new("chat").status(state.clone()))
}

fn empty() -> Report {
    Report::snapshot()
}

fn and(mut reports: Vec<Report>, more: impl IntoIterator<Item = Report>) -> Vec<Report> {
    reports.extend(more);
    reports
}

// ---- events, in the words of the table

const SHORT: &[(&str, &str)] = &[
    ("BUNDLE", "interaction.created I CALL interaction.datachanged interaction.preview interaction.initialized"),
    ("CALL", "conversation.created P conversation.member.added(primary) conversation.initialized"),
    ("SECOND", "conversation.created C conversation.member.added(consult) conversation.initialized"),
    ("CHAT", "interaction.created I interaction.datachanged interaction.preview interaction.initialized"),
    ("CHANNEL", "channel.created state.updated(channel) channel.initialized"),
    ("PAIR", "channel.infochanged state.updated(channel)"),
    ("END1", "P conversation.disposed(primary)"),
    ("END2", "C conversation.disposed(consult)"),
    ("ENDED", "interaction.ended I"),
    ("COMPLETE", "interaction.complete I interaction.disposed"),
    ("FOCUS", "interaction.focuschanged"),
    ("POP", "interaction.screenpop"),
    ("JOIN", "conversation.member.added(primary)"),
    ("LEAVE", "conversation.member.removed(primary)"),
    ("CHANGE", "conversation.member.changed(primary)"),
    ("DATA", "interaction.datachanged"),
    ("I", "state.updated(interaction)"),
    ("P", "state.updated(primary)"),
    ("C", "state.updated(consult)"),
    ("G", "state.updated(channelgroup)"),
];

fn listed(words: &str) -> Vec<String> {
    let expand = |word: &str| match SHORT.iter().find(|(short, _)| *short == word) {
        Some((_, long)) => listed(long),
        None => vec![word.to_owned()],
    };
    words.split_whitespace().flat_map(expand).collect()
}

/// After these reports this one raises exactly these events.
fn raises(before: Vec<Report>, report: Report, events: &str) {
    let mut desk = Desk::new(false);
    for report in &before {
        let told = desk.apply(report);
        assert!(told.notes.is_empty(), "left out: {:?}", told.notes);
    }
    let told = desk.apply(&report);
    assert_eq!(told.words, listed(events), "as listed: {events}");
    assert!(told.notes.is_empty() || events.is_empty(), "left out: {:?}", told.notes);
}

macro_rules! rows {
    ($($name:ident: $before:expr, $report:expr => $events:expr;)*) => {$(
        #[test]
        fn $name() {
            raises($before.into(), $report, $events);
        }
    )*};
}

rows! {
    // channels and groups
    addchannel: [empty()], on(phone()) => "CHANNEL";
    a_channel_that_is_created_active: [empty()], on(phone().status(ready())) => "channel.created PAIR channel.initialized";
    a_channel_that_is_created_unavailable: [empty()], on(phone().status(ChannelStatus::Unavailable)) => "CHANNEL";
    removechannel_active: [start()], on(Channel::gone("ext1")) => "PAIR channel.disposed";
    removechannel_inactive: [empty(), on(phone())], on(Channel::gone("ext1")) => "channel.disposed";
    removechannel_unavailable:
        [empty(), on(phone().status(ChannelStatus::Unavailable))], on(Channel::gone("ext1")) => "channel.disposed";
    addchannelgroup:
        [empty()], group() => "channelgroup.created G CHANNEL CHANNEL channelgroup.initialized";
    removechannelgroup:
        [empty(), group(), status(ready())], Report::new().group(Group::gone("g"))
        => "PAIR channel.disposed channel.disposed channelgroup.disposed";
    the_first_channel_of_a_group_comes:
        [empty(), Report::new().group(Group::new("g", "Sales"))], on(phone().group("g")) => "G CHANNEL";
    the_last_channel_of_a_group_goes:
        [empty(), Report::new().group(Group::new("g", "Sales")), on(phone().group("g"))], on(Channel::gone("ext1"))
        => "channel.disposed G";
    another_channel_of_a_group_comes:
        [empty(), Report::new().group(Group::new("g", "Sales")), on(phone().group("g"))], on(chat().group("g")) => "CHANNEL";
    activateall: [empty(), group()], both(&not_ready("1")) => "PAIR PAIR";
    activateall_where_one_was_active:
        [empty(), group(), on(Channel::new("chat").status(not_ready("1")))], both(&not_ready("1")) => "PAIR";
    deactivateall: [empty(), group(), both(&not_ready("1"))], both(&ChannelStatus::Inactive) => "PAIR PAIR";
    activate: [empty(), on(phone())], status(ChannelStatus::Active(ChannelInfo::default())) => "PAIR";
    activate_when_unavailable: [empty(), on(phone().status(ChannelStatus::Unavailable))], status(not_ready("1")) => "PAIR";
    deactivate: [start()], status(ChannelStatus::Inactive) => "PAIR";
    ready_when_not_ready: [start(), status(not_ready("1"))], status(ready()) => "PAIR";
    ready_when_ready: [start()], status(ready()) => "";
    notready: [start()], status(not_ready("1")) => "PAIR";
    notready_for_another_reason: [start(), status(not_ready("1"))], status(not_ready("2")) => "PAIR";
    notready_during_a_call:
        talk(), status(ChannelStatus::Active(ChannelInfo::ready().pending(Pending::new(Availability::NotReady, None, None))))
        => "PAIR";
    another_queue: [start()], status(ChannelStatus::Active(ChannelInfo::ready().queue("sales"))) => "PAIR";
    availability_changes_while_a_call_is_held:
        talk(), on(Channel::new("ext1").status(not_ready("1")).interaction(m1().conversation(one(Held)))) => "PAIR P";
    ready_timer: [start(), status(ChannelStatus::Active(ChannelInfo::acw()))], status(ready()) => "PAIR";
    endpoint_gone: [start()], status(ChannelStatus::Unavailable) => "PAIR";

    // calls begin
    dial: [start()], call(dialed()) => "PAIR BUNDLE";
    dial_where_the_availability_changes_too:
        [start()], on(Channel::new("ext1").status(not_ready("1")).interaction(dialed())) => "PAIR BUNDLE";
    an_inbound_call: [start()], offered() => "PAIR BUNDLE";
    a_dialled_party_answers: [start(), call(dialed())], answered() => "P POP I";
    accept_or_answer_a_call: [start(), offered()], answered() => "P POP I";
    accept_with_call_data: [start(), offered()], call(m1().data("k", "v").conversation(one(Talking))) => "P DATA POP I";
    a_call_that_is_first_seen_talking:
        [start()], call(Interaction::create("M1", Direction::Inbound).conversation(with(one(Talking), &["cust"])))
        => "PAIR interaction.created I CALL DATA POP interaction.initialized";
    a_call_and_its_consult_are_first_seen:
        [start()],
        call(Interaction::create("M1", Direction::Inbound)
            .conversation(with(one(Held), &["cust"]))
            .conversation(with(two(Talking), &["expert"])))
        => "PAIR interaction.created I CALL SECOND DATA FOCUS POP interaction.initialized";
    a_call_is_first_seen_over:
        [start()], call(Interaction::create("M1", Direction::Inbound).state(InteractionState::Ended))
        => "interaction.created I DATA interaction.initialized";
    a_second_call: talk(),
        call(Interaction::create("M2", Direction::Inbound).conversation(with(one(Alerting), &["other"]))) => "BUNDLE";

    // calls end
    reject_a_call:
        [start(), offered()], call(Interaction::gone("M1").reason(Reason::Rejected)) => "END1 ENDED interaction.disposed PAIR";
    a_caller_gives_up: [start(), offered()], call(no_calls()) => "END1 ENDED interaction.disposed PAIR";
    an_offer_is_gone: [start(), offered()], call(Interaction::gone("M1")) => "END1 ENDED interaction.disposed PAIR";
    release_the_only_call: talk(), call(no_calls()) => "END1 ENDED PAIR";
    release_while_dialing:
        [start(), call(dialed())], call(no_calls().reason(Reason::Failed).cause(Cause::Cancelled)) => "END1 ENDED PAIR";
    the_agent_leaves_a_conference: and(talk(), [conference()]), call(no_calls()) => "END1 ENDED PAIR";
    hung_up_and_into_acw_in_one_report:
        talk(), on(Channel::new("ext1").status(ChannelStatus::Active(ChannelInfo::acw())).interaction(no_calls()))
        => "END1 ENDED PAIR";
    complete_a_call: ended_calls(), call(m1().state(InteractionState::Completed)) => "COMPLETE";
    after_call_work_times_out: ended_calls(), call(Interaction::gone("M1")) => "COMPLETE";
    the_platform_completes_at_once: talk(), call(Interaction::gone("M1")) => "END1 ENDED COMPLETE PAIR";
    a_dialled_call_is_gone_at_once: [start(), call(dialed())], call(Interaction::gone("M1")) => "END1 ENDED COMPLETE PAIR";
    taken_and_over_between_two_reports:
        [start(), offered()], call(no_calls().state(InteractionState::Ended)) => "POP I END1 ENDED PAIR";
    recalled_under_the_same_key: ended_calls(), offered() => "PAIR COMPLETE BUNDLE";
    one_ends_and_another_begins:
        talk(),
        on(Channel::new("ext1").interaction(no_calls()).interaction(
            Interaction::create("M2", Direction::Inbound).conversation(with(one(Alerting), &["other"]))))
        => "END1 ENDED BUNDLE";
    one_of_two_ends:
        and(talk(), [call(Interaction::create("M2", Direction::Inbound).conversation(with(one(Alerting), &["other"])))]),
        call(no_calls()) => "END1 ENDED";
    one_ends_and_another_begins_while_the_availability_changes:
        talk(),
        on(Channel::new("ext1").status(not_ready("1")).interaction(no_calls()).interaction(
            Interaction::create("M2", Direction::Inbound).conversation(with(one(Alerting), &["other"]))))
        => "PAIR END1 ENDED BUNDLE";
    a_late_word_on_one_that_is_gone: and(talk(), [call(Interaction::gone("M1"))]), calls([one(Held)]) => "";
    the_platform_removes_a_channel: talk(), on(Channel::gone("ext1")) => "END1 ENDED COMPLETE PAIR channel.disposed";
    the_platform_removes_a_channel_with_an_offer:
        [start(), offered()], on(Channel::gone("ext1")) => "END1 ENDED interaction.disposed PAIR channel.disposed";

    // chats
    a_chat: [start()], chat_offered() => "PAIR CHAT";
    a_second_chat:
        [start(), chat_offered()], chats(Interaction::create("E2", Direction::Inbound)) => "CHAT";
    accept_a_chat: [start(), chat_offered()], chats(e1().state(InteractionState::Started)) => "POP I";
    reject_a_chat:
        [start(), chat_offered()], chats(Interaction::gone("E1").reason(Reason::Rejected)) => "ENDED interaction.disposed PAIR";
    the_customer_leaves_a_chat: chat_taken(), chats(e1().state(InteractionState::Ended)) => "ENDED PAIR";
    complete_a_chat: chat_taken(), chats(e1().state(InteractionState::Completed)) => "COMPLETE PAIR";
    complete_a_chat_that_ended:
        and(chat_taken(), [chats(e1().state(InteractionState::Ended))]), chats(Interaction::gone("E1")) => "COMPLETE";
    a_chat_is_transferred_at_once:
        chat_taken(), chats(Interaction::gone("E1").reason(Reason::Transferred)) => "ENDED COMPLETE PAIR";
    a_chat_was_taken_and_is_over: [start(), chat_offered()], chats(e1().state(InteractionState::Ended)) => "POP I ENDED PAIR";
    a_chat_begins_again_under_its_key:
        and(chat_taken(), [chats(e1().state(InteractionState::Ended))]), chat_offered() => "PAIR COMPLETE CHAT";

    // two calls
    consult: talk(), consulted() => "I P SECOND FOCUS";
    consult_where_the_original_is_held_already: and(talk(), [calls([one(Held)])]), consulted() => "I SECOND FOCUS";
    a_consult_is_answered: and(talk(), [consulted()]), connected() => "C";
    a_consult_is_answered_while_the_original_is_looked_after:
        and(talk(), [consulted(), calls([one(Talking), two(Dialing)])]), connected() => "P C";
    alternate_to_the_original: two_calls(), back() => "P C FOCUS";
    alternate_to_the_consult: and(two_calls(), [back()]), connected() => "P C FOCUS";
    alternate_where_both_are_held: and(two_calls(), [both_held()]), back() => "P FOCUS";
    hold_moves_no_focus: two_calls(), both_held() => "C";
    retrieve_the_one_with_the_focus: and(two_calls(), [both_held()]), connected() => "C";
    retrieve_the_original_while_the_consult_rings: and(talk(), [consulted()]), calls([one(Talking), two(Dialing)]) => "P FOCUS";
    consulttransfer: two_calls(), call(no_calls().reason(Reason::Transferred)) => "END1 FOCUS END2 ENDED PAIR";
    consulttransfer_after_alternate:
        and(two_calls(), [back()]), call(no_calls().reason(Reason::Transferred)) => "END1 FOCUS END2 ENDED PAIR";
    consulttransfer_where_the_consult_says_why:
        two_calls(), calls([Conversation::ended("C1", Reason::Transferred), Conversation::ended("C2", Reason::Released)])
        => "END1 FOCUS END2 ENDED PAIR";
    consulttransfer_without_after_call_work:
        two_calls(), call(Interaction::gone("M1").reason(Reason::Transferred)) => "END1 FOCUS END2 ENDED COMPLETE PAIR";
    both_calls_end_but_not_by_transfer: two_calls(), call(no_calls()) => "END1 END2 ENDED PAIR";
    consultconference: two_calls(), conference() => "P JOIN END2 FOCUS I";
    consultconference_after_alternate: and(two_calls(), [back()]), conference() => "JOIN END2 I";
    a_consult_ends: two_calls(), calls([one(Held)]) => "END2 FOCUS I";
    a_consult_ends_without_the_focus: and(two_calls(), [back()]), calls([one(Talking)]) => "END2 I";
    a_consult_ends_and_the_original_is_retrieved: two_calls(), calls([one(Talking)]) => "P END2 FOCUS I";
    a_consult_is_followed_by_another_at_once:
        two_calls(), calls([one(Held), with(Conversation::new("C3", Role::Consult, Dialing), &["expert"])])
        => "END2 FOCUS SECOND FOCUS";
    the_primary_ends_while_a_consult_lives: two_calls(), calls([two(Talking)]) => "END1 I";
    the_primary_ends_with_the_focus: and(two_calls(), [back()]), calls([two(Held)]) => "END1 FOCUS I";
    then_the_consult_ends: and(two_calls(), [calls([two(Talking)])]), call(no_calls()) => "END2 ENDED PAIR";
    then_the_consult_is_transferred:
        and(two_calls(), [calls([two(Talking)])]), call(no_calls().reason(Reason::Transferred)) => "END2 FOCUS ENDED PAIR";
    a_consult_beside_an_offer_starts_it:
        [start(), offered()], consulted() => "P POP I SECOND FOCUS";
    another_call_takes_the_place_of_the_only_one:
        talk(), calls([with(Conversation::new("C9", Role::Primary, Talking), &["cust"])]) => "END1 CALL FOCUS";

    a_transferred_call_makes_place_for_another:
        talk(),
        calls([Conversation::ended("C1", Reason::Transferred), with(Conversation::new("C9", Role::Primary, Talking), &["cust"])])
        => "END1 CALL FOCUS";
    an_offer_becomes_a_call_out:
        [start(), offered()], calls([with(Conversation::new("C9", Role::Primary, Dialing), &["cust"])])
        => "END1 CALL FOCUS I";
    an_address_with_the_end_of_a_call: talk(), call(url("http://crm.example/1").no_conversations()) => "END1 ENDED PAIR";
    an_address_with_the_end_of_a_chat: chat_taken(), chats(chat_with_url_that_is_gone()) => "COMPLETE PAIR";

    // what the agent does in a call
    hold: talk(), calls([one(Held)]) => "P";
    retrieve: and(talk(), [calls([one(Held)])]), answered() => "P";
    mute: talk(), calls([one(Talking).muted(true)]) => "P";
    mute_of_one_leg_with_two_calls: two_calls(), calls([one(Held).muted(true), two(Talking).muted(true)]) => "P C";
    mute_named_the_other_way_round: two_calls(), calls([two(Talking).muted(true), one(Held).muted(true)]) => "P C";
    unmute: and(talk(), [calls([one(Talking).muted(true)])]), calls([one(Talking).muted(false)]) => "P";
    senddtmf: talk(), call(m1()) => "";
    setdisposition: talk(), call(m1()) => "";
    setinteractiondata: talk(), call(m1().data("k", serde_json::json!({"a": [1, 2.50]}))) => "DATA";
    recording_start: talk(), call(m1().recording(Recording::On)) => "I";
    recording_start_that_tells_its_name: talk(), call(m1().recording(Recording::On).data("FILE", "c1.wav")) => "DATA I";
    recording_pause: and(talk(), [call(m1().recording(Recording::On))]), call(m1().recording(Recording::Paused)) => "I";
    recording_resume: and(talk(), [call(m1().recording(Recording::Paused))]), call(m1().recording(Recording::On)) => "I";
    recording_stop: and(talk(), [call(m1().recording(Recording::On))]), call(m1().recording(Recording::Off)) => "I";
    recording_stop_when_off: talk(), call(m1().recording(Recording::Off)) => "";
    recording_ends_with_the_call: and(talk(), [call(m1().recording(Recording::On))]), call(no_calls()) => "END1 ENDED PAIR";
    a_later_screen_pop: talk(), call(url("http://crm.example/1")) => "POP";
    an_address_before_the_answer: [start(), offered()], call(url("http://crm.example/1")) => "";
    an_address_after_the_end: ended_calls(), call(url("http://crm.example/1")) => "";
    blindtransfer_of_the_only_call: talk(), calls([Conversation::ended("C1", Reason::Transferred)]) => "END1 FOCUS ENDED PAIR";
    blindtransfer_that_fails: talk(), calls([failed("C1")]) => "END1 FOCUS ENDED PAIR";
    blindtransfer_of_the_original_while_the_consult_lives:
        and(two_calls(), [back()]), calls([Conversation::ended("C1", Reason::Transferred), two(Held)]) => "END1 FOCUS I";
    blindtransfer_of_the_original_without_the_focus:
        two_calls(), calls([Conversation::ended("C1", Reason::Transferred), two(Talking)]) => "END1 I";
    blindconference: talk(), calls([with(one(Talking), &["cust", "third"])]) => "JOIN I";
    blindconference_in_a_conference:
        and(talk(), [conference()]), calls([with(one(Talking), &["cust", "expert", "third"])]) => "JOIN";
    a_party_leaves_a_conference: and(talk(), [conference()]), calls([with(one(Talking), &["expert"])]) => "LEAVE I";
    a_party_is_replaced: and(talk(), [conference()]), calls([with(one(Talking), &["third", "expert"])]) => "LEAVE JOIN";
    a_member_is_muted_or_held: talk(), calls([one(Talking).member(party("cust").muted(true).held(true))]) => "CHANGE";
    a_member_is_muted_while_another_joins:
        talk(), calls([one(Talking).member(party("cust").muted(true)).member(party("expert"))]) => "CHANGE JOIN I";
    a_member_that_is_muted_has_another_name:
        talk(), calls([one(Talking).member(party("cust").name("Somebody else").muted(true))]) => "LEAVE JOIN";
    a_members_details_change: talk(), calls([one(Talking).member(party("cust").name("Somebody else"))]) => "LEAVE JOIN";
    a_call_is_transferred_to_this_agents_conversation:
        talk(),
        call(m1().data("contact", "C9").conversation(
            with(Conversation::new("C9", Role::Primary, Talking).was("C1"), &["expert"])))
        => "LEAVE JOIN DATA";

    // the session begins
    nothing_there: [], Report::snapshot() => "session.initialized";
    a_chat_alone: [], Report::snapshot().channel(chat()) => "CHANNEL session.initialized";
    a_call_and_its_consult_are_there:
        [],
        Report::snapshot()
            .channel(phone().status(ready()).interaction(
                Interaction::create("M1", Direction::Inbound)
                    .conversation(with(one(Held), &["cust"]))
                    .conversation(with(two(Talking), &["expert"]))))
            .channel(chat())
        => "channel.created PAIR channel.initialized CHANNEL
            interaction.created I CALL SECOND DATA FOCUS interaction.initialized session.initialized";
    an_offer_is_there:
        [], Report::snapshot().channel(phone().status(ready()).interaction(
            Interaction::create("M1", Direction::Inbound).conversation(with(one(Alerting), &["cust"]))))
        => "channel.created PAIR channel.initialized BUNDLE session.initialized";
    a_dialled_call_is_there:
        [], Report::snapshot().channel(phone().status(ready()).interaction(dialed()))
        => "channel.created PAIR channel.initialized
            interaction.created I CALL DATA interaction.initialized session.initialized";
    groups_stand_where_they_were_created:
        [],
        Report::snapshot().group(Group::new("g", "Sales")).group(Group::new("empty", "Nobody"))
            .channel(chat()).channel(phone().group("g"))
        => "channelgroup.created G CHANNEL channelgroup.initialized
            channelgroup.created G channelgroup.initialized CHANNEL session.initialized";
}

fn url(address: &str) -> Interaction {
    let mut interaction = m1();
    interaction.url = Some(address.into());
    interaction
}

fn chat_with_url_that_is_gone() -> Interaction {
    let mut interaction = Interaction::gone("E1");
    interaction.url = Some("http://crm.example/1".into());
    interaction
}

fn failed(key: &str) -> Conversation {
    let mut conversation = Conversation::ended(key, Reason::Failed);
    conversation.cause = Some(Cause::Busy);
    conversation
}
