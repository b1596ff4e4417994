//! Consultation, conference and transfers, with a colleague and with outside numbers.

use jackfield_plugin_api::{
    Code, Command, Outcome,
    report::{
        ConversationState::{Dialing, Held, Talking},
        Direction, Reason, Role,
    },
};
use jackfield_tests::{
    asterisk::sipp::{Ask, Sipp},
    until,
};
use serde_json::json;

use crate::desk::{AGENT, COLLEAGUE, CUSTOMER, Desk, Lab, OUTSIDE, hear_each_other};

/// Anna in a call with a customer, Bert at work.
async fn two_agents() -> Option<(Lab, Desk, Desk, Sipp)> {
    let lab = Lab::open(&["1001", "1002"], json!({})).await?;
    let anna = lab.agent("anna", "1001", AGENT).await;
    let customer = lab.call(&anna).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    Some((lab, anna, bert, customer))
}

impl Desk {
    async fn consults(&self, destination: &str) {
        self.does(Command::Consult { interaction: self.interaction(), destination: destination.into() }).await;
        self.is(Role::Consult, Dialing).await;
        self.is(Role::Primary, Held).await;
    }

    async fn answers(&self) {
        self.rings().await;
        self.does(Command::Answer { conversation: self.primary() }).await;
        self.phone.speak().await;
    }
}

#[tokio::test]
async fn a_colleague_is_consulted_and_gets_the_customer() {
    let Some((lab, anna, bert, mut customer)) = two_agents().await else { return };
    anna.does(Command::SetInteractionData {
        interaction: anna.interaction(),
        key: "ORDER".into(),
        value: json!({"id": 7}).into(),
    })
    .await;
    lab.asterisk.has_variable("555", "ORDER", r#"{"id":7}"#).await;
    anna.consults("1002").await;
    bert.rings().await;
    assert_eq!(
        (bert.newest().direction, bert.members(Role::Primary)),
        (Some(Direction::Internal), vec!["1001".into()])
    );
    bert.answers().await;
    anna.is(Role::Consult, Talking).await;
    anna.phone.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(AGENT).await;
    customer.media.hears_music(&[AGENT, COLLEAGUE]).await;

    // Back and forth.
    anna.does(alternate(&anna, Role::Consult)).await;
    anna.is(Role::Primary, Talking).await;
    anna.is(Role::Consult, Held).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    bert.phone.media.hears_music(&[AGENT, CUSTOMER]).await;
    anna.does(alternate(&anna, Role::Primary)).await;
    hear_each_other(&bert.phone, COLLEAGUE, &anna.phone, AGENT).await;
    customer.media.hears_music(&[AGENT, COLLEAGUE]).await;

    anna.does(Command::ConsultTransfer { interaction: anna.interaction() }).await;
    assert_eq!(anna.newest().reason, Some(Reason::Transferred));
    lab.asterisk.has_bridged(&["555", "1002"]).await;
    assert_eq!(bert.members(Role::Primary), ["555"]);
    assert_eq!(bert.newest().data["ORDER"], Some(json!({"id": 7}).into()));
    lab.asterisk.has_variable("555", "ORDER", r#"{"id":7}"#).await;
    customer.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(CUSTOMER).await;
    bert.does(Command::Release { conversation: bert.primary() }).await;
    assert!(customer.succeeds().await);
    lab.close().await;
}

async fn all_hear_each_other(anna: &Desk, bert: &Desk, customer: &Sipp) {
    for (party, others) in
        [(&anna.phone, [CUSTOMER, COLLEAGUE]), (&bert.phone, [CUSTOMER, AGENT]), (customer, [AGENT, COLLEAGUE])]
    {
        for other in others {
            party.media.hears(other).await;
        }
    }
}

fn alternate(desk: &Desk, hold: Role) -> Command {
    let retrieve = if hold == Role::Consult { desk.primary() } else { desk.consult() };
    Command::Alternate {
        interaction: desk.interaction(),
        hold: Some(desk.conversation(hold).conversation),
        retrieve: retrieve.conversation,
    }
}

#[tokio::test]
async fn a_conference_with_a_colleague_goes_on_without_who_began_it() {
    let Some((lab, anna, bert, mut customer)) = two_agents().await else { return };
    anna.consults("1002").await;
    bert.answers().await;
    anna.is(Role::Consult, Talking).await;
    anna.does(Command::ConsultConference { interaction: anna.interaction() }).await;
    lab.asterisk.has_bridged(&["555", "1001", "1002"]).await;
    assert_eq!(anna.members(Role::Primary), ["555", "1002"]);
    assert_eq!(bert.members(Role::Primary), ["555", "1001"]);
    all_hear_each_other(&anna, &bert, &customer).await;
    anna.does(Command::Release { conversation: anna.primary() }).await;
    lab.asterisk.has_bridged(&["555", "1002"]).await;
    assert_eq!(bert.members(Role::Primary), ["555"]);
    hear_each_other(&customer, CUSTOMER, &bert.phone, COLLEAGUE).await;
    customer.media.hears_no(AGENT).await;
    bert.does(Command::Release { conversation: bert.primary() }).await;
    assert!(customer.succeeds().await);
    lab.close().await;
}

/// Where Debian's Asterisk can leave somebody without sound. It does so seldom: the adapter's own tests say what prevents it.
#[tokio::test]
async fn all_hear_each_other_however_often_three_become_two_and_three_again() {
    let Some((lab, anna, bert, customer)) = two_agents().await else { return };
    for _ in 0..3 {
        anna.consults("1002").await;
        bert.answers().await;
        anna.is(Role::Consult, Talking).await;
        customer.media.hears_music(&[AGENT, COLLEAGUE]).await;
        anna.does(Command::ConsultConference { interaction: anna.interaction() }).await;
        all_hear_each_other(&anna, &bert, &customer).await;
        for _ in 0..2 {
            bert.does(Command::Hold { conversation: bert.primary() }).await;
            hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
            bert.does(Command::Retrieve { conversation: bert.primary() }).await;
            all_hear_each_other(&anna, &bert, &customer).await;
        }
        bert.does(Command::Release { conversation: bert.primary() }).await;
        bert.ends().await;
        bert.completes().await;
    }
    lab.close().await;
}

#[tokio::test]
async fn an_outside_number_is_consulted_and_gets_the_customer() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let mut customer = lab.call(&anna).await;
    anna.consults("800").await;
    anna.is(Role::Consult, Talking).await;
    outside.speak().await;
    hear_each_other(&outside, OUTSIDE, &anna.phone, AGENT).await;
    customer.media.hears_music(&[AGENT, OUTSIDE]).await;
    anna.does(Command::ConsultTransfer { interaction: anna.interaction() }).await;
    hear_each_other(&outside, OUTSIDE, &customer, CUSTOMER).await;
    // Nobody of ours is in that call any more; when one leaves, Asterisk must not keep the other.
    until("one bridge is left", || async { (lab.asterisk.bridges().await.len() == 1).then_some(()) }).await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    assert!(customer.succeeds().await);
    lab.asterisk.has_no_channel("trunk").await;
    lab.close().await;
}

#[tokio::test]
async fn a_consultation_that_comes_to_nothing_leaves_the_customer_on_hold() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let _outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.does(Command::Consult { interaction: anna.interaction(), destination: "486".into() }).await;
    anna.session
        .wait_until("only the primary is left, on hold", |view| {
            let conversations = view.interactions().last().and_then(|it| it.conversations.clone()).unwrap_or_default();
            conversations.len() == 1 && conversations[0].state == Some(Held)
        })
        .await;
    customer.media.hears_music(&[AGENT]).await;
    anna.does(Command::Retrieve { conversation: anna.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn the_customer_hangs_up_while_an_expert_is_consulted() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.consults("800").await;
    anna.is(Role::Consult, Talking).await;
    customer.ask(&lab.asterisk.has_channel("555").await, Ask::HangUp);
    anna.session
        .wait_until("only the consult is left", |view| {
            let conversations = view.interactions().last().and_then(|it| it.conversations.clone()).unwrap_or_default();
            conversations.len() == 1 && conversations[0].role == Some(Role::Consult)
        })
        .await;
    outside.speak().await;
    hear_each_other(&outside, OUTSIDE, &anna.phone, AGENT).await;
    anna.does(Command::Release { conversation: anna.consult() }).await;
    assert_eq!(anna.ends().await.reason, Some(Reason::Released));
    lab.asterisk.has_no_channel("trunk").await;
    lab.close().await;
}

#[tokio::test]
async fn a_blind_transfer_hands_the_customer_to_a_number() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    anna.does(Command::BlindTransfer { conversation: anna.primary(), destination: "800".into() }).await;
    assert_eq!(anna.newest().reason, Some(Reason::Transferred));
    lab.asterisk.has_bridged(&["555", "trunk"]).await;
    outside.speak().await;
    hear_each_other(&outside, OUTSIDE, &customer, CUSTOMER).await;
    outside.ask(&lab.asterisk.has_channel("trunk").await, Ask::HangUp);
    lab.asterisk.has_no_channel("555").await;
    lab.close().await;
}

#[tokio::test]
async fn a_blind_transfer_that_nobody_takes_gives_the_customer_back_to_the_queue() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let _outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    let first = anna.newest().key;
    anna.does(Command::BlindTransfer { conversation: anna.primary(), destination: "486".into() }).await;
    assert_eq!(anna.session.view().interaction(&first).unwrap().reason, Some(Reason::Transferred));
    anna.session
        .wait_until("the customer is offered again", |view| {
            view.interactions().last().is_some_and(|it| it.key != first)
        })
        .await;
    anna.does(Command::Answer { conversation: anna.primary() }).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    lab.close().await;
}

#[tokio::test]
async fn a_blind_transfer_to_a_colleague_rings_there() {
    let Some((lab, anna, bert, customer)) = two_agents().await else { return };
    anna.does(Command::BlindTransfer { conversation: anna.primary(), destination: "1002".into() }).await;
    assert_eq!(anna.newest().reason, Some(Reason::Transferred));
    bert.rings().await;
    assert_eq!(bert.members(Role::Primary), ["555"]);
    customer.media.hears_music(&[AGENT, COLLEAGUE]).await;
    bert.answers().await;
    hear_each_other(&customer, CUSTOMER, &bert.phone, COLLEAGUE).await;
    lab.close().await;
}

#[tokio::test]
async fn a_customer_is_handed_to_the_colleague_whose_phone_still_rings() {
    let Some((lab, anna, bert, customer)) = two_agents().await else { return };
    anna.consults("1002").await;
    bert.rings().await;
    // By the command for a call that is not connected yet; the other one is for those who have spoken to each other.
    anna.does(Command::BlindTransfer { conversation: anna.primary(), destination: "1002".into() }).await;
    assert_eq!(anna.ends().await.reason, Some(Reason::Transferred));
    assert_eq!(bert.members(Role::Primary), ["555"]);
    customer.media.hears_music(&[AGENT, COLLEAGUE]).await;
    bert.answers().await;
    customer.media.hears(COLLEAGUE).await;
    bert.phone.media.hears(CUSTOMER).await;
    lab.close().await;
}

#[tokio::test]
async fn a_number_is_called_into_the_call() {
    let Some(lab) = Lab::open(&["1001"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let outside = Sipp::outside(&lab.asterisk, OUTSIDE).await;
    let customer = lab.call(&anna).await;
    let invite = |number: &str| Command::BlindConference { conversation: anna.primary(), destination: number.into() };
    anna.fails(invite("486"), Code::Busy).await;
    assert_eq!(anna.members(Role::Primary), ["555"]);
    // Success means that the party has joined.
    assert_eq!(anna.session.command(invite("800")).await, Outcome::success());
    assert_eq!(anna.members(Role::Primary), ["555", "800"]);
    lab.asterisk.has_bridged(&["555", "trunk", "1001"]).await;
    outside.speak().await;
    hear_each_other(&outside, OUTSIDE, &customer, CUSTOMER).await;
    hear_each_other(&outside, OUTSIDE, &anna.phone, AGENT).await;
    hear_each_other(&customer, CUSTOMER, &anna.phone, AGENT).await;
    outside.ask(&lab.asterisk.has_channel("trunk").await, Ask::HangUp);
    anna.session
        .wait_until("it has left", |view| {
            let it = view.interactions().last().and_then(|it| it.conversations.clone()).unwrap_or_default();
            it.first().and_then(|it| it.members.as_ref()).is_some_and(|members| members.len() == 1)
        })
        .await;
    lab.close().await;
}

#[tokio::test]
async fn a_colleague_is_called_and_refuses() {
    let Some(lab) = Lab::open(&["1001", "1002"], json!({})).await else { return };
    let anna = lab.agent("anna", "1001", AGENT).await;
    let bert = lab.agent("bert", "1002", COLLEAGUE).await;
    anna.does(anna.dial("1002")).await;
    bert.rings().await;
    bert.does(Command::Reject { interaction: bert.interaction() }).await;
    bert.has_nothing().await;
    let ended = anna.ends().await;
    assert_eq!(ended.cause, Some(jackfield_plugin_api::report::Cause::Busy));
    anna.completes().await;
    anna.does(anna.dial("1002")).await;
    bert.answers().await;
    anna.talks().await;
    lab.asterisk.has_bridged(&["1001", "1002"]).await;
    anna.phone.speak().await;
    hear_each_other(&anna.phone, AGENT, &bert.phone, COLLEAGUE).await;
    bert.does(Command::Hold { conversation: bert.primary() }).await;
    anna.phone.media.hears_music(&[COLLEAGUE]).await;
    bert.does(Command::Retrieve { conversation: bert.primary() }).await;
    hear_each_other(&anna.phone, AGENT, &bert.phone, COLLEAGUE).await;
    lab.close().await;
}
