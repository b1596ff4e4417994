//! A TCP proxy that can be cut, between the adapter and Asterisk.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What it does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Silent,
}

/// The proxy.
pub struct Cut {
    /// Where the adapter connects to.
    pub port: u16,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

impl Cut {
    /// Opens a proxy to a port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("its address").port();
        let state = Arc::new(watch::channel(State::Open).0);
        let states = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = states.subscribe();
                if *state.borrow() == State::Closed {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        biased;
                        _ = state.wait_for(|now| *now != State::Open) => {}
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                    }
                    // Both ends stay connected, and nothing passes any more.
                    let _ = state.wait_for(|now| *now != State::Silent).await;
                });
            }
        });
        Self { port: own, state, task }
    }

    /// Cuts all connections; new ones are closed at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Lets nothing pass, without anybody being told: a cable is out.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.task.abort();
    }
}
