//! An agent's day with a CXone that tells the same facts in other ways: values of other types, names in another case, members
//! and events left out, added or told twice, answers wrapped and paged otherwise; and with one that does by itself, or wants
//! done before, what the documents leave open. What becomes of each command is the same in all.
#![allow(clippy::unwrap_used)]

mod common;

use jackfield_cxone_emulator::{
    behaviour::{Behaviour, Place},
    writing::Writing,
};

/// Each way to write alone, all at once, and some together.
fn writings() -> impl Iterator<Item = Behaviour> {
    let some = (1_u64..=16).map(|number| Writing::some(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40));
    let written = Writing::each().into_iter().map(|(_, writing)| writing).chain([Writing::all()]).chain(some);
    written.map(|writing| Behaviour { writing, page: 2, ..Behaviour::default() })
}

/// What is no matter of writing, each alone and all at once.
fn behaviours() -> Vec<Behaviour> {
    let usual = Behaviour::default();
    let all = Behaviour {
        takes_accept: false,
        ends_held: false,
        tells_final: false,
        replay_gap: 150,
        names_skill: true,
        strict_ids: true,
        session_start: Place::Nowhere,
        keeps_agent_leg: false,
        writing: Writing::all(),
        page: 2,
        ..usual
    };
    vec![
        Behaviour { takes_accept: false, ..usual },
        Behaviour { takes_accept: false, rings_agent: false, ..usual },
        Behaviour { ends_held: false, ..usual },
        Behaviour { tells_final: false, ..usual },
        Behaviour { replay_gap: 150, ..usual },
        Behaviour { replay_gap: 150, session_start: Place::Last, ..usual },
        Behaviour { session_start: Place::Nowhere, ..usual },
        Behaviour { names_skill: true, ..usual },
        Behaviour { strict_ids: true, ..usual },
        Behaviour { apart: 80, ..usual },
        Behaviour { apart: 300, ..usual },
        Behaviour { apart: 80, session_start: Place::Last, writing: Writing::all(), ..usual },
        Behaviour { keeps_agent_leg: false, ..usual },
        all,
        Behaviour { rings_agent: false, ..all },
    ]
}

common::day::day_under! { writings().chain(behaviours()) }
