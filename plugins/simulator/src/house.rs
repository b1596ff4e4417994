//! A house for switches, in a process of its own: adapters come and go, and calls stay.
//!
//! Owns: one switch for each tenant that was ever named, and the connections of adapters to them. Must never: end a
//! call because a connection was lost: the sessions of that connection are left, as by [`Ending::Leave`]. It trusts
//! whoever connects: it listens on loopback, for tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_plugin_api::{Ending, Link};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{
    drive::{Deliver, Driven},
    frames::{Said, WAITING, frame, read, write_all},
    settings::Settings,
    switch::message::{Effect, Request, SessionNo, Ticket},
};

type Switches = Arc<Mutex<HashMap<String, Arc<Driven<Lines>>>>>;

/// Serves adapters, for ever. A switch keeps the settings with which it was opened.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let switches = Switches::default();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(attend(stream, Arc::clone(&switches)));
    }
}

/// Where the effects of one switch go.
#[derive(Debug)]
struct Lines {
    link: Link,
    connections: HashMap<u64, mpsc::Sender<Vec<u8>>>,
    /// By the switch's number: the connection, and the adapter's number.
    sessions: HashMap<SessionNo, (u64, SessionNo)>,
    tickets: HashMap<Ticket, (u64, Ticket)>,
    last_number: u64,
}

impl Lines {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// A side that does not read is cut off: the end of its queue ends its connection.
    fn send(&mut self, connection: u64, effect: &Effect) {
        if let Some(line) = self.connections.get(&connection)
            && line.try_send(frame(effect)).is_err()
        {
            self.connections.remove(&connection);
        }
    }
}

impl Deliver for Lines {
    fn deliver(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, outcome } => {
                if let Some((connection, ticket)) = self.tickets.remove(&ticket) {
                    self.send(connection, &Effect::Answer { ticket, outcome });
                }
            }
            Effect::Report { session, report } => {
                if let Some((connection, session)) = self.sessions.get(&session).copied() {
                    self.send(connection, &Effect::Report { session, report });
                }
            }
            for_all => {
                if let Effect::Link(link) = &for_all {
                    self.link = link.clone();
                }
                for connection in self.connections.keys().copied().collect::<Vec<_>>() {
                    self.send(connection, &for_all);
                }
            }
        }
    }
}

async fn attend(stream: TcpStream, switches: Switches) {
    // Without it answers wait for acknowledgements; the connection works all the same.
    let _ = stream.set_nodelay(true);
    let (from, to) = stream.into_split();
    let mut from = BufReader::new(from);
    let Ok(Said::Hello { tenant, settings }) = read(&mut from).await else { return };
    let switch = the_switch_of(&switches, tenant, *settings);
    let (line, waiting) = mpsc::channel(WAITING);
    let me = switch.with(|lines| {
        let me = lines.number();
        lines.connections.insert(me, line);
        let link = Effect::Link(lines.link.clone());
        lines.send(me, &link);
        me
    });
    let mut mine = HashMap::new();
    let hear = async {
        while let Ok(Said::Ask { session, ticket, request }) = read(&mut from).await {
            ask(&switch, me, &mut mine, session, ticket, *request);
        }
    };
    tokio::select! {
        () = hear => {}
        _ = write_all(waiting, to) => {}
    }
    for session in mine.into_values() {
        let nobody_asks = |lines: &mut Lines| Ticket(lines.number());
        let leave = Request::LogOut(Ending::Leave);
        switch.submit(session, leave, nobody_asks, |lines, _| lines.sessions.remove(&session));
    }
    switch.with(|lines| {
        lines.connections.remove(&me);
        lines.tickets.retain(|_, (connection, _)| *connection != me);
    });
}

fn the_switch_of(switches: &Switches, tenant: String, settings: Settings) -> Arc<Driven<Lines>> {
    let mut switches = switches.lock().unwrap_or_else(PoisonError::into_inner);
    let switch = switches.entry(tenant).or_insert_with(|| {
        let lines = Lines {
            link: Link::Down { reason: "not connected yet".to_owned() },
            connections: HashMap::new(),
            sessions: HashMap::new(),
            tickets: HashMap::new(),
            last_number: 0,
        };
        let switch = Driven::open(settings, lines);
        switch.tick();
        tokio::spawn(Arc::clone(&switch).run());
        switch
    });
    Arc::clone(switch)
}

fn ask(
    switch: &Driven<Lines>,
    me: u64,
    mine: &mut HashMap<SessionNo, SessionNo>,
    theirs: SessionNo,
    ticket: Ticket,
    request: Request,
) {
    let session = *mine.entry(theirs).or_insert_with(|| {
        switch.with(|lines| {
            let session = SessionNo(lines.number());
            lines.sessions.insert(session, (me, theirs));
            session
        })
    });
    let name = |lines: &mut Lines| {
        let name = Ticket(lines.number());
        lines.tickets.insert(name, (me, ticket));
        name
    };
    switch.submit(session, request, name, |_, _| ());
    // Logged out, or never let in.
    if !switch.knows(session) {
        mine.remove(&theirs);
        switch.with(|lines| lines.sessions.remove(&session));
    }
}
