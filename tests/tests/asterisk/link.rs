//! Asterisk goes, comes back, or belongs to somebody else.

use std::time::Duration;

use jackfield_plugin_api::{
    Code, Command, Link, StartOptions,
    command::MemberAction,
    report::{Availability, ChannelStatus, InteractionState, Role, SupervisionMode},
};
use jackfield_tests::{
    asterisk::{
        Asterisk,
        cut::Cut,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::{Value, json};

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, OUTSIDE, connect, hear_each_other};

impl Lab {
    async fn link_is(&self, up: bool) {
        until(&format!("the link is up: {up}"), || async {
            (matches!(self.tenant.link(), Some(Link::Up)) == up).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_link_is_cut_for_ten_seconds_while_one_customer_hangs_up_and_another_stays() {
    let Some(asterisk) = Asterisk::start(&["1001", "1002"]).await else { return };
    let cut = Cut::to(asterisk.http).await;
    let tenant = connect(&asterisk, cut.port, json!({})).await;
    let lab = Lab { asterisk, tenant };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let mut leaves = lab.call(&anna).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    let mut stays = Sipp::customer(&lab.asterisk, "556", "700", CUSTOMER).await;
    bert.rings().await;
    bert.does(Command::Answer { conversation: bert.primary() }).await;
    stays.speak().await;
    bert.phone.speak().await;
    stays.media.hears(COLLEAGUE).await;

    cut.cut();
    lab.link_is(false).await;
    anna.fails(Command::Hold { conversation: anna.primary() }, Code::LinkDown).await;
    leaves.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    assert!(leaves.succeeds().await);
    // A call that comes in meanwhile waits.
    let waits = Sipp::customer(&lab.asterisk, "557", "701", CUSTOMER).await;
    tokio::time::sleep(Duration::from_secs(10)).await; // so long is the cut: the case itself
    stays.media.hears(COLLEAGUE).await;
    // The model stood still: nothing was told of what nobody can know.
    assert_eq!(anna.newest().state, None);

    cut.mend();
    lab.link_is(true).await;
    for desk in [&anna, &bert] {
        desk.session.snapshot().await.unwrap();
    }
    anna.session
        .wait_until("the call that ended is over", |view| {
            view.interactions().any(|it| it.state == Some(InteractionState::Ended))
        })
        .await;
    bert.talks().await;
    stays.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(CUSTOMER).await;
    // Everything works again, on the call that went on and on a new one.
    bert.does(Command::Hold { conversation: bert.primary() }).await;
    stays.media.hears_music(&[COLLEAGUE]).await;
    bert.does(Command::Retrieve { conversation: bert.primary() }).await;
    hear_each_other(&stays, CUSTOMER, &bert.phone, COLLEAGUE).await;
    bert.does(Command::Release { conversation: bert.primary() }).await;
    assert!(stays.succeeds().await);
    drop(waits);
    lab.close().await;
}

#[tokio::test]
async fn asterisk_restarts_in_the_middle_of_calls() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    customer.media.hears(AGENT).await;
    lab.asterisk.kill();
    lab.link_is(false).await;
    desk.fails(desk.dial("800"), Code::LinkDown).await;
    drop(customer);
    lab.asterisk.restart().await;
    lab.link_is(true).await;
    desk.session.snapshot().await.unwrap();
    // The call is over; the phone is called again and the agent goes on.
    assert_eq!(desk.ends().await.conversations, Some(Vec::new()));
    desk.session
        .wait_until("the phone is back", |view| {
            view.channel("1001").is_some_and(|it| matches!(it.status, Some(ChannelStatus::Active(_))))
        })
        .await;
    desk.completes().await;
    let customer = lab.call(&desk).await;
    hear_each_other(&customer, CUSTOMER, &desk.phone, AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn whoever_is_replaced_stops_acting() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let desk = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&desk).await;
    let leg = lab.asterisk.has_channel("1001").await;
    // A second host with the same tenant. It finds the call and takes it over.
    let other = connect(&lab.asterisk, lab.asterisk.http, json!({})).await;
    until("the first is told why", || async {
        matches!(lab.tenant.link(), Some(Link::Down { reason }) if reason.contains("taken over")).then_some(())
    })
    .await;
    desk.fails(Command::Release { conversation: desk.primary() }, Code::LinkDown).await;
    let session = other.log_in("anna", "secret").await.unwrap();
    session.start_with(StartOptions::new(Some("1001".into()))).await.unwrap();
    let desk = Desk { session, ..desk };
    let second = Lab { asterisk: lab.asterisk, tenant: other };
    desk.talks().await;
    assert_eq!(desk.members(Role::Primary), ["555"]);
    assert_eq!(second.asterisk.has_channel("1001").await["id"], leg["id"]);
    customer.media.hears(AGENT).await;
    desk.phone.media.hears(CUSTOMER).await;
    desk.does(Command::Hold { conversation: desk.primary() }).await;
    // The first stays fenced; it does not fight for the application.
    assert!(matches!(second.tenant.link(), Some(Link::Up)));
    second.close().await;
}

#[tokio::test]
async fn an_offer_does_not_run_out_while_the_link_is_silent() {
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let cut = Cut::to(asterisk.http).await;
    // Less than it takes until nothing more is expected of a link that nothing comes from.
    let tenant = connect(&asterisk, cut.port, json!({"offer_timeout_seconds": 10})).await;
    let lab = Lab { asterisk, tenant };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = Sipp::customer(&lab.asterisk, "555", "700", CUSTOMER).await;
    anna.rings().await;
    let offered = anna.newest().key;
    cut.silence();
    lab.link_is(false).await;
    cut.mend();
    lab.link_is(true).await;
    // The offer is the same, and can be taken; nobody was made not ready.
    assert_eq!(anna.newest().key, offered);
    let status = anna.session.view().channel("1001").unwrap().status.clone().unwrap();
    let ChannelStatus::Active(info) = status else { panic!("{status:?}") };
    assert_eq!((info.availability, info.reason_code), (Some(Availability::Ready), None));
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    customer.speak().await;
    anna.phone.speak().await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    lab.close().await;
}

/// Another process takes the calls over, as after the death of the first one.
async fn taken_over(lab: Lab, more: Value, desks: Vec<(&str, Desk)>) -> (Lab, Vec<Desk>) {
    let tenant = connect(&lab.asterisk, lab.asterisk.http, more).await;
    let mut again = Vec::new();
    for (name, desk) in desks {
        let session = tenant.log_in(name, "secret").await.unwrap();
        session.start_with(StartOptions::new(Some(desk.extension.clone()))).await.unwrap();
        again.push(Desk { session, ..desk });
    }
    (Lab { tenant, ..lab }, again)
}

#[tokio::test]
async fn who_is_muted_or_waits_is_and_does_so_for_the_next_process_too() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.does(Command::BlindConference { conversation: anna.primary(), destination: "800".into() }).await;
    outside.speak().await;
    hear_each_other(&customer, CUSTOMER, &outside, OUTSIDE).await;
    let member = |desk: &Desk, address: &str, action| Command::Member {
        conversation: desk.primary(),
        member: desk.member(address).key,
        action,
    };
    anna.does(member(&anna, "555", MemberAction::Hold)).await;
    anna.does(Command::Mute { conversation: anna.primary() }).await;

    let (lab, mut desks) = taken_over(lab, json!({}), vec![("anna", anna)]).await;
    let anna = desks.remove(0);
    assert!(anna.member("555").held);
    assert_eq!(anna.newest().conversations.unwrap()[0].muted, Some(true));
    customer.media.hears_music(&[AGENT, OUTSIDE]).await;
    outside.media.hears_no(AGENT).await;
    anna.phone.media.hears(OUTSIDE).await;
    anna.does(Command::Unmute { conversation: anna.primary() }).await;
    hear_each_other(&outside, OUTSIDE, &anna.phone, AGENT).await;
    anna.does(member(&anna, "555", MemberAction::Mute)).await;
    anna.does(member(&anna, "555", MemberAction::Retrieve)).await;

    // Now one who is there and muted.
    let (lab, mut desks) = taken_over(lab, json!({}), vec![("anna", anna)]).await;
    let anna = desks.remove(0);
    assert!(anna.member("555").muted && !anna.member("555").held);
    for tone in [AGENT, OUTSIDE] {
        customer.media.hears(tone).await;
    }
    anna.phone.media.hears_no(CUSTOMER).await;
    anna.does(member(&anna, "555", MemberAction::Unmute)).await;
    for (party, tone) in [(&anna.phone, AGENT), (&outside, OUTSIDE)] {
        hear_each_other(&customer, CUSTOMER, party, tone).await;
    }
    lab.close().await;
}

#[tokio::test]
async fn a_supervision_goes_on_in_the_next_process_and_ends_with_its_call_there() {
    let agents = json!({"agents": {"anna": {}, "sue": {"supervisor": true}}});
    let Some(lab) = Lab::open(&["1001", "1002"], agents.clone()).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    let sue = lab.agent("sue", "1002", COLLEAGUE).await;
    sue.phone.speak().await;
    let hears = |mode| Command::Supervise { agent: "anna".to_owned(), mode };
    sue.does(hears(SupervisionMode::Whisper)).await;
    anna.phone.media.hears(COLLEAGUE).await;

    let (lab, mut desks) = taken_over(lab, agents, vec![("anna", anna), ("sue", sue)]).await;
    let (sue, anna) = (desks.remove(1), desks.remove(0));
    assert_eq!(sue.newest().supervises.map(|it| it.mode), Some(SupervisionMode::Whisper));
    for tone in [AGENT, CUSTOMER] {
        sue.phone.media.hears(tone).await;
    }
    anna.phone.media.hears(COLLEAGUE).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    customer.media.hears_no(COLLEAGUE).await;
    sue.does(hears(SupervisionMode::Barge)).await;
    customer.media.hears(COLLEAGUE).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    sue.ends().await;
    lab.close().await;
}

#[tokio::test]
async fn wrong_credentials_are_an_error_of_the_settings_and_a_missing_asterisk_is_not() {
    let Some(asterisk) = Asterisk::start(&[]).await else { return };
    let mut settings = asterisk.settings(asterisk.http);
    settings["password"] = "wrong".into();
    let refused = jackfield_plugin_api::testkit::Tenant::connect::<jackfield_asterisk::Asterisk>(
        crate::desk::MANIFEST,
        settings.clone(),
    )
    .await;
    let failure = refused.err().expect("refused");
    assert_eq!(failure.code, Code::Rejected);
    assert!(failure.message.contains("password"), "{failure}");
    let cut = Cut::to(asterisk.http).await;
    cut.cut();
    let settings = asterisk.settings(cut.port);
    let tenant =
        jackfield_plugin_api::testkit::Tenant::connect::<jackfield_asterisk::Asterisk>(crate::desk::MANIFEST, settings)
            .await
            .unwrap();
    assert!(matches!(tenant.link(), Some(Link::Down { .. })));
    cut.mend();
    until("the link comes up", || async { (tenant.link() == Some(Link::Up)).then_some(()) }).await;
}

#[tokio::test]
async fn a_call_is_answered_over_an_encrypted_link_and_who_is_not_trusted_is_not_spoken_to() {
    type Tenant = jackfield_plugin_api::testkit::Tenant<jackfield_asterisk::AsteriskPlatform>;
    let Some(asterisk) = Asterisk::start(&["1001"]).await else { return };
    let connect = async |settings| {
        Tenant::connect::<jackfield_asterisk::Asterisk>(crate::desk::MANIFEST, settings).await.unwrap()
    };
    let wary = connect(asterisk.encrypted_settings(false)).await;
    assert!(matches!(wary.link(), Some(Link::Down { reason }) if reason.contains("certificate")));
    wary.disconnect().await;
    let tenant = connect(asterisk.encrypted_settings(true)).await;
    until("the link comes up", || async { (tenant.link() == Some(Link::Up)).then_some(()) }).await;
    let lab = Lab { asterisk, tenant };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let mut customer = lab.call(&anna).await;
    anna.does(Command::Hold { conversation: anna.primary() }).await;
    anna.does(Command::Retrieve { conversation: anna.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    assert!(customer.succeeds().await);
    lab.close().await;
}
