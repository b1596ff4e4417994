//! A host that takes a message now and then, and an agent that tells a lot: nothing is overtaken, nothing is lost.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    report::{ChannelInfo, ChannelStatus, ChannelType, ExtensionEvent, Target},
    testkit::View,
    wire::MessageSink,
};

/// Takes as many messages as it has room for.
#[derive(Default)]
struct Host {
    room: Mutex<usize>,
    taken: Mutex<Vec<(Kind, String)>>,
    /// Takes no answer with a report.
    refuses: std::sync::atomic::AtomicBool,
    /// Takes nothing.
    refuses_all: std::sync::atomic::AtomicBool,
}

impl MessageSink for Host {
    fn send(&self, kind: Kind, _: u64, payload: &str) -> Status {
        let has_report = wire::read::<Answer<'_>>(payload).is_ok_and(|answer| answer.report.is_some());
        if has_report && self.refuses.load(std::sync::atomic::Ordering::Relaxed) {
            return Status::REFUSED;
        }
        if payload.len() > wire::MAX_PAYLOAD || self.refuses_all.load(std::sync::atomic::Ordering::Relaxed) {
            return Status::REFUSED;
        }
        let mut room = self.room.lock();
        if *room == 0 {
            return Status::FULL;
        }
        *room -= 1;
        self.taken.lock().push((kind, payload.to_owned()));
        Status::ACCEPTED
    }
}

impl Host {
    fn has_room(&self, room: usize) {
        *self.room.lock() = room;
    }

    /// What was taken; an answer with a report counts as the two messages that it stands for.
    fn kinds(&self) -> Vec<Kind> {
        let taken = self.taken.lock();
        let kinds = taken.iter().flat_map(|(kind, payload)| {
            let has_report = wire::read::<Answer<'_>>(payload).is_ok_and(|answer| answer.report.is_some());
            has_report.then_some(Kind::REPORT).into_iter().chain([*kind])
        });
        kinds.collect()
    }

    fn reports(&self) -> Vec<Report> {
        let taken = self.taken.lock();
        let report = |(kind, payload): &(Kind, String)| match *kind {
            Kind::REPORT => Some(wire::read(payload).unwrap()),
            Kind::ANSWER => wire::read::<Answer<'_>>(payload).unwrap().report.map(Cow::into_owned),
            _ => None,
        };
        taken.iter().filter_map(report).collect()
    }
}

/// A queue whose agent's model is one number.
struct Bench {
    host: Arc<Host>,
    queue: HostQueue,
}

impl Bench {
    fn new(room: usize) -> Self {
        let host = Arc::new(Host::default());
        host.has_room(room);
        Self { queue: HostQueue::new(1, HostSender::new(host.clone())), host }
    }

    /// Carries out a request that reports once in its last poll; the one message that the host takes.
    fn request(&self) -> Answer<'static> {
        self.queue.hold();
        let _ = self.queue.report(stating(1), true);
        let _ = self.queue.release_with_answer(7, Outcome::success());
        let taken = self.host.taken.lock().clone();
        let [(Kind::ANSWER, payload)] = &taken[..] else { panic!("{taken:?}") };
        wire::read(payload).unwrap()
    }

    /// What the runtime does: flush until nothing waits, and get a snapshot where one is wanted.
    fn settle(&self, number: usize) {
        loop {
            match self.queue.flush() {
                Flushed::Empty => return,
                Flushed::HostIsFull => panic!("there is room"),
                Flushed::SnapshotWanted => drop(self.queue.report(Report { snapshot: true, ..stating(number) }, true)),
            }
        }
    }
}

fn stating(number: usize) -> Report {
    let channel = Channel::create("c", ChannelType::Telephony, "1", "phone");
    Report::new().channel(channel.status(ChannelStatus::Active(ChannelInfo::ready().queue(number.to_string()))))
}

fn stated(report: &Report) -> Option<usize> {
    match report.channels.first()?.status.as_ref()? {
        ChannelStatus::Active(info) => info.queue.as_ref()?.parse().ok(),
        _ => None,
    }
}

fn event(number: usize) -> Report {
    Report::new().event(ExtensionEvent::new(Target::Session, "session.toy.event", number.to_string()))
}

#[test]
fn what_the_host_takes_goes_out_at_once() {
    let bench = Bench::new(usize::MAX);
    assert!(!bench.queue.report(stating(1), true));
    assert!(!bench.queue.answer(1, Outcome::success()));
    assert!(!bench.queue.resume(vec![1], 1));
    assert_eq!(bench.host.kinds(), [Kind::REPORT, Kind::ANSWER, Kind::RESUME]);
}

#[test]
fn what_is_reported_in_the_poll_that_ends_a_request_goes_out_with_its_answer() {
    let bench = Bench::new(usize::MAX);
    let answer = Answer { request: 7, report: Some(Cow::Owned(stating(1))), outcome: Cow::Owned(Outcome::success()) };
    assert_eq!(bench.request(), answer);
}

#[test]
fn what_is_reported_in_a_poll_goes_out_at_its_end_unmerged() {
    let bench = Bench::new(usize::MAX);
    bench.queue.hold();
    let _ = bench.queue.report(stating(1), true);
    let _ = bench.queue.report(stating(2), true);
    assert_eq!(bench.host.kinds(), []);
    assert_eq!(bench.queue.release(), (false, true));
    let reports: Vec<Report> =
        bench.host.taken.lock().iter().map(|(_, payload)| wire::read(payload).unwrap()).collect();
    assert_eq!(reports.iter().map(stated).collect::<Vec<_>>(), [Some(1), Some(2)]);
}

#[test]
fn a_poll_that_reports_without_end_is_not_waited_for() {
    let bench = Bench::new(usize::MAX);
    bench.queue.hold();
    for number in 0..=MAX_HELD {
        let _ = bench.queue.report(stating(number), true);
    }
    assert_eq!(bench.host.kinds().len(), MAX_HELD + 1);
}

#[test]
fn what_was_reported_in_a_poll_is_merged_once_the_host_is_full() {
    let bench = Bench::new(0);
    bench.queue.hold();
    for number in 0..100 {
        let _ = bench.queue.report(stating(number), true);
    }
    let _ = bench.queue.answer(1, Outcome::success());
    let _ = bench.queue.release();
    bench.host.has_room(usize::MAX);
    assert_eq!(bench.queue.flush(), Flushed::Empty);
    assert_eq!(bench.host.kinds(), [Kind::REPORT, Kind::ANSWER]);
    assert_eq!(stated(&bench.host.reports()[0]), Some(99));
}

#[test]
fn a_poll_that_does_not_end_holds_back_nothing_but_its_own() {
    let bench = Bench::new(usize::MAX);
    bench.queue.hold();
    let _ = bench.queue.report(stating(1), true);
    assert_eq!(bench.host.kinds(), []);
    let _ = bench.queue.report(stating(2), false);
    assert_eq!(bench.host.kinds(), [Kind::REPORT; 2], "a report of another thread, behind what was before it");
    let _ = bench.queue.link(Link::Up);
    assert_eq!(bench.host.kinds()[2..], [Kind::LINK]);
    // Another request of the same agent, on another thread.
    bench.queue.hold();
    let _ = bench.queue.answer(1, Outcome::success());
    let _ = bench.queue.release();
    assert_eq!(bench.host.kinds()[3..], [Kind::ANSWER]);
}

#[test]
fn an_answer_and_a_report_that_are_refused_together_go_one_by_one() {
    let bench = Bench::new(usize::MAX);
    bench.host.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    bench.queue.hold();
    let _ = bench.queue.report(stating(1), true);
    let _ = bench.queue.release_with_answer(7, Outcome::success());
    let taken = bench.host.taken.lock().clone();
    let [(Kind::REPORT, report), (Kind::ANSWER, answer)] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!(wire::read::<Report>(report).unwrap(), stating(1));
    let answer: Answer<'_> = wire::read(answer).unwrap();
    assert_eq!(answer, Answer { request: 7, report: None, outcome: Cow::Owned(Outcome::success()) });
}

#[test]
fn an_answer_is_given_where_the_report_before_it_is_refused() {
    let bench = Bench::new(usize::MAX);
    bench.queue.hold();
    let _ = bench.queue.report(Report::new().channel(Channel::new("x".repeat(wire::MAX_PAYLOAD))), true);
    let _ = bench.queue.release_with_answer(7, Outcome::success());
    let taken = bench.host.taken.lock().clone();
    let [(Kind::ANSWER, answer)] = &taken[..] else { panic!("{} messages", taken.len()) };
    let answer: Answer<'_> = wire::read(answer).unwrap();
    assert_eq!((answer.request, answer.outcome.into_owned()), (7, Outcome::success()));
}

#[test]
fn a_report_before_an_answer_that_is_too_long_is_told() {
    let bench = Bench::new(usize::MAX);
    bench.queue.hold();
    let _ = bench.queue.report(stating(1), true);
    let _ = bench.queue.release_with_answer(7, Outcome::data("x".repeat(wire::MAX_PAYLOAD)));
    assert_eq!(bench.host.kinds(), [Kind::REPORT, Kind::ANSWER]);
}

#[test]
fn an_answer_that_the_host_does_not_take_becomes_a_failure() {
    let bench = Bench::new(usize::MAX);
    let _ = bench.queue.answer(7, Outcome::data("x".repeat(wire::MAX_PAYLOAD)));
    let _ = bench.queue.answer(8, Outcome::success());
    let taken = bench.host.taken.lock().clone();
    let answers: Vec<Answer<'_>> = taken.iter().map(|(_, payload)| wire::read(payload).unwrap()).collect();
    assert_eq!((answers[0].request, answers[1].request, answers.len()), (7, 8, 2));
    assert!(matches!(&*answers[0].outcome, Outcome::Failure(failure) if failure.code == Code::AdapterFailed));
}

#[test]
fn a_host_that_takes_no_answer_at_all_is_not_asked_for_ever() {
    let bench = Bench::new(usize::MAX);
    bench.host.refuses_all.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(!bench.queue.answer(7, Outcome::success()));
    assert_eq!(bench.queue.flush(), Flushed::Empty);
}

#[test]
fn only_the_first_who_finds_the_host_full_must_flush() {
    let bench = Bench::new(0);
    assert!(bench.queue.report(stating(1), true));
    assert!(!bench.queue.report(stating(2), true));
    assert!(!bench.queue.answer(1, Outcome::success()));
    assert_eq!(bench.queue.flush(), Flushed::HostIsFull);
    bench.host.has_room(9);
    assert_eq!(bench.queue.flush(), Flushed::Empty);
    bench.host.has_room(0);
    assert!(bench.queue.report(stating(3), true));
}

#[test]
fn waiting_reports_are_merged_into_one() {
    let bench = Bench::new(0);
    for number in 0..1000 {
        let _ = bench.queue.report(stating(number), true);
    }
    bench.host.has_room(usize::MAX);
    assert_eq!(bench.queue.flush(), Flushed::Empty);
    assert_eq!(bench.host.reports().iter().map(stated).collect::<Vec<_>>(), [Some(999)]);
}

#[test]
fn a_link_change_is_not_passed_by_later_reports() {
    let bench = Bench::new(0);
    let _ = bench.queue.report(stating(1), true);
    let _ = bench.queue.link(Link::Down { reason: "gone".to_owned() });
    let _ = bench.queue.report(stating(2), true);
    bench.host.has_room(usize::MAX);
    let _ = bench.queue.flush();
    assert_eq!(bench.host.kinds(), [Kind::REPORT, Kind::LINK, Kind::REPORT]);
}

#[test]
fn a_waiting_report_does_not_grow_without_a_bound() {
    let floods: [fn(usize) -> Report; 2] = [event, |number| {
        let gone = Interaction::gone(number.to_string());
        Report::new().channel(Channel::new("c").interaction(gone))
    }];
    for flood in floods {
        let bench = Bench::new(0);
        for number in 0..=(MAX_WAITING + 1) * MAX_MERGED {
            let _ = bench.queue.report(flood(number), true);
            if number % MAX_MERGED != 0 {
                continue;
            }
            let state = bench.queue.lock();
            let size = |item: &QueueItem| if let QueueItem::Report(report) = item { statements(report) } else { 0 };
            assert!(state.waiting.iter().map(size).sum::<usize>() <= (MAX_WAITING + 1) * MAX_MERGED);
        }
        bench.host.has_room(usize::MAX);
        bench.settle(7);
        assert_eq!(bench.host.kinds(), [Kind::REPORT]);
        assert_eq!(stated(&bench.host.reports()[0]), Some(7));
    }
}

#[test]
fn a_report_that_says_much_is_still_merged_with_one_that_says_the_same() {
    let much = || {
        let channel = |number: usize| Channel::new(number.to_string());
        (0..2 * MAX_MERGED).fold(Report::new(), |report, number| report.channel(channel(number)))
    };
    let bench = Bench::new(0);
    for _ in 0..3 {
        let _ = bench.queue.report(much(), true);
    }
    assert_eq!(bench.queue.lock().waiting.len(), 1);
}

/// The link changes that the host has got.
fn links(bench: &Bench) -> Vec<Link> {
    let taken = bench.host.taken.lock();
    taken.iter().filter(|it| it.0 == Kind::LINK).map(|it| wire::read(&it.1).unwrap()).collect()
}

fn down(number: usize) -> Link {
    Link::Down { reason: number.to_string() }
}

#[test]
fn of_many_link_changes_the_last_loss_and_its_end_wait() {
    let bench = Bench::new(0);
    for number in 0..1000 {
        let _ = bench.queue.link(Link::Up);
        let _ = bench.queue.link(down(number));
        assert_eq!(bench.queue.lock().waiting.len(), 1);
    }
    let _ = bench.queue.link(Link::Up);
    bench.host.has_room(usize::MAX);
    assert_eq!(bench.queue.flush(), Flushed::Empty);
    assert_eq!(links(&bench), [down(999), Link::Up]);
}

#[test]
fn a_lost_link_does_not_wait_for_a_snapshot() {
    for lost_at in [0, MAX_WAITING / 2, 2 * MAX_WAITING] {
        let bench = Bench::new(0);
        let _ = bench.queue.report(event(0), true);
        let _ = bench.queue.answer(1, Outcome::success());
        for number in 0..=2 * MAX_WAITING {
            let _ = bench.queue.report(event(number), true);
            let _ = bench.queue.report(stating(number), true);
            if number == lost_at {
                let _ = bench.queue.link(down(1));
            }
        }
        bench.host.has_room(usize::MAX);
        assert_eq!(bench.queue.flush(), Flushed::SnapshotWanted);
        assert_eq!(bench.host.kinds(), [Kind::LINK], "lost at {lost_at}");
        let _ = bench.queue.link(Link::Up);
        bench.settle(1);
        assert_eq!(bench.host.kinds(), [Kind::LINK, Kind::REPORT, Kind::ANSWER, Kind::LINK]);
        assert_eq!(links(&bench), [down(1), Link::Up]);
    }
}

#[test]
fn too_many_reports_become_a_snapshot_in_their_place() {
    let bench = Bench::new(0);
    let _ = bench.queue.answer(1, Outcome::success());
    for number in 0..MAX_WAITING {
        let _ = bench.queue.report(event(number), true);
        let _ = bench.queue.report(stating(number), true);
    }
    let _ = bench.queue.answer(2, Outcome::success());
    let _ = bench.queue.report(stating(77), true);
    bench.host.has_room(usize::MAX);
    assert_eq!(bench.queue.flush(), Flushed::SnapshotWanted);
    assert_eq!(bench.host.kinds(), [Kind::ANSWER], "the second answer waits for the snapshot");
    assert!(bench.queue.take_dropped() > MAX_WAITING);
    bench.settle(77);
    assert_eq!(bench.host.kinds(), [Kind::ANSWER, Kind::REPORT, Kind::ANSWER]);
    let reports = bench.host.reports();
    assert!(reports[0].snapshot && stated(&reports[0]) == Some(77));
}

#[test]
fn the_newest_resume_state_is_told_once() {
    let bench = Bench::new(0);
    for (asked, state) in [1, 2, 2, 3].into_iter().enumerate() {
        let _ = bench.queue.resume(vec![state], asked as u64);
    }
    // Asked before the newest, and later to come.
    let _ = bench.queue.resume(vec![2], 1);
    bench.host.has_room(usize::MAX);
    let _ = bench.queue.flush();
    let _ = bench.queue.resume(vec![3], 4);
    let taken = bench.host.taken.lock().clone();
    assert_eq!(taken, [(Kind::RESUME, r#"{"state":"03"}"#.to_owned())]);
}

#[test]
fn nothing_is_told_after_the_end() {
    let bench = Bench::new(0);
    let _ = bench.queue.report(stating(1), true);
    bench.queue.close();
    bench.host.has_room(usize::MAX);
    let _ = bench.queue.answer(1, Outcome::success());
    assert_eq!(bench.queue.flush(), Flushed::Empty);
    assert_eq!(bench.host.kinds(), []);
}

#[derive(Debug, Clone)]
enum Act {
    Report,
    Event,
    Answer,
    Resume,
    Link(bool),
    Room(usize),
    Hold,
    LetGo,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whenever an answer arrives, everything that was reported before it has arrived; in the end the host knows how
    /// things are; and what waits stays within its bound.
    #[test]
    fn an_answer_never_overtakes_a_report(acts in proptest::collection::vec(prop_oneof![
        6 => Just(Act::Report), 3 => Just(Act::Event), 3 => Just(Act::Answer), 1 => Just(Act::Resume),
        1 => any::<bool>().prop_map(Act::Link), 2 => (0..4usize).prop_map(Act::Room), 3 => Just(Act::Hold), 3 => Just(Act::LetGo),
    ], 0..300)) {
        let bench = Bench::new(0);
        let (mut number, mut holders) = (0, 0);
        let (mut link, mut lost) = (None, false);
        for act in acts {
            match act {
                Act::Report => {
                    number += 1;
                    let _ = bench.queue.report(stating(number), true);
                }
                Act::Event => drop(bench.queue.report(event(number), true)),
                // The answer's own number is how things were when it was given.
                Act::Answer => drop(bench.queue.answer(number as u64, Outcome::success())),
                Act::Resume => drop(bench.queue.resume(number.to_be_bytes().to_vec(), number as u64)),
                Act::Link(up) => {
                    link = Some(if up { Link::Up } else { down(number) });
                    lost |= !up;
                    let _ = bench.queue.link(link.clone().unwrap());
                }
                Act::Hold => {
                    holders += 1;
                    bench.queue.hold();
                }
                Act::LetGo if holders > 0 => {
                    holders -= 1;
                    let _ = bench.queue.release();
                }
                Act::LetGo => {}
                Act::Room(room) => {
                    bench.host.has_room(room);
                    if bench.queue.flush() == Flushed::SnapshotWanted {
                        let _ = bench.queue.report(Report { snapshot: true, ..stating(number) }, true);
                    }
                }
            }
            let state = bench.queue.lock();
            let reports = state.waiting.iter().filter(|it| matches!(it, QueueItem::Report(_) | QueueItem::Missing)).count();
            prop_assert!(reports <= MAX_WAITING + 1);
            prop_assert!(state.waiting.iter().filter(|it| matches!(it, QueueItem::Link(_))).count() <= 2);
        }
        bench.host.has_room(usize::MAX);
        for _ in 0..holders {
            let _ = bench.queue.release();
        }
        bench.settle(number);
        let mut view = View::default();
        let (mut known, mut answered) = (0, 0);
        for (kind, payload) in bench.host.taken.lock().iter() {
            match *kind {
                Kind::REPORT => {
                    let report: Report = wire::read(payload).unwrap();
                    view.apply(&report);
                    known = stated(&report).unwrap_or(known);
                }
                Kind::ANSWER => {
                    let answer: Answer<'_> = wire::read(payload).unwrap();
                    if let Some(report) = answer.report {
                        view.apply(&report);
                        known = stated(&report).unwrap_or(known);
                    }
                    prop_assert!(answer.request >= answered && answer.request <= known as u64);
                    answered = answer.request;
                }
                _ => {}
            }
        }
        prop_assert_eq!(known, number);
        let links = links(&bench);
        prop_assert_eq!(links.last(), link.as_ref());
        prop_assert_eq!(links.iter().any(|it| *it != Link::Up), lost);
    }
}
