//! The sound of a SIPp call: each party sounds a tone of its own, and hears which tones come in.
//!
//! Owns: one UDP port, which SIPp names in its session descriptions. G.711 µ-law, 20 ms a packet.

use std::{
    collections::VecDeque,
    f64::consts::TAU,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{net::UdpSocket, task::JoinSet};

use crate::until;

const RATE: f64 = 8000.0;
const PACKET: usize = 160;
/// How much of what was heard is listened to: half a second.
const WINDOW: usize = 4000;

/// One party's sound.
pub struct Media {
    port: u16,
    to: Arc<AtomicU16>,
    heard: Arc<Mutex<VecDeque<f64>>>,
    _tasks: JoinSet<()>,
}

impl Media {
    /// Opens a port that sounds `tone` Hz once it knows where to.
    pub(super) async fn open(tone: u32) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
        let port = socket.local_addr().expect("its address").port();
        let to = Arc::new(AtomicU16::new(0));
        let heard = Arc::new(Mutex::new(VecDeque::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(send(Arc::clone(&socket), Arc::clone(&to), tone));
        tasks.spawn(receive(socket, Arc::clone(&heard)));
        Self { port, to, heard, _tasks: tasks }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn speak_to(&self, port: u16) {
        self.to.store(port, Ordering::Relaxed);
    }

    /// Sounds no more, as a phone whose cable is out.
    pub fn fall_silent(&self) {
        self.to.store(0, Ordering::Relaxed);
    }

    /// How loud a tone was in the last half second; 0 to 1.
    pub fn loudness(&self, tone: u32) -> f64 {
        let heard = self.heard.lock().expect("not poisoned");
        let count = heard.len().max(1) as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (index, sample) in heard.iter().enumerate() {
            let angle = TAU * f64::from(tone) * index as f64 / RATE;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        2.0 * (re * re + im * im).sqrt() / count
    }

    /// Waits until it hears a tone.
    pub async fn hears(&self, tone: u32) {
        self.forget();
        until(&format!("it hears {tone} Hz"), || async {
            (self.is_fresh() && self.loudness(tone) > 0.1).then_some(())
        })
        .await;
    }

    /// Waits until half a second has been heard, or must have been, without a tone.
    pub async fn hears_no(&self, tone: u32) {
        until(&format!("it does not hear {tone} Hz any more"), || async {
            self.forget();
            // What is heard is a window of time: silence is there when that window has passed without the tone.
            tokio::time::sleep(Duration::from_millis(600)).await;
            (self.loudness(tone) < 0.02).then_some(())
        })
        .await;
    }

    /// Waits until it hears something else than silence and these tones.
    pub async fn hears_music(&self, but: &[u32]) {
        self.forget();
        until("it hears music", || async {
            let energy = {
                let heard = self.heard.lock().expect("not poisoned");
                heard.iter().map(|sample| sample * sample).sum::<f64>() / heard.len().max(1) as f64
            };
            (self.is_fresh() && energy > 1e-5 && but.iter().all(|tone| self.loudness(*tone) < 0.05)).then_some(())
        })
        .await;
    }

    fn is_fresh(&self) -> bool {
        self.heard.lock().expect("not poisoned").len() >= WINDOW / 2
    }

    fn forget(&self) {
        self.heard.lock().expect("not poisoned").clear();
    }
}

async fn send(socket: Arc<UdpSocket>, to: Arc<AtomicU16>, tone: u32) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let (mut sequence, mut time) = (0_u16, 0_u32);
    loop {
        ticks.tick().await;
        let port = to.load(Ordering::Relaxed);
        if port == 0 {
            continue;
        }
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend(tone.to_be_bytes());
        for index in 0..PACKET {
            let at = f64::from(time) + index as f64;
            packet.push(encode((TAU * f64::from(tone) * at / RATE).sin() * 0.4));
        }
        let _ = socket.send_to(&packet, SocketAddr::from(([127, 0, 0, 1], port))).await;
        sequence = sequence.wrapping_add(1);
        time = time.wrapping_add(PACKET as u32);
    }
}

async fn receive(socket: Arc<UdpSocket>, heard: Arc<Mutex<VecDeque<f64>>>) {
    let mut packet = [0; 2048];
    while let Ok((length, _)) = socket.recv_from(&mut packet).await {
        // Version 2, payload type 0; neither RTCP nor comfort noise.
        if length <= 12 || packet[0] >> 6 != 2 || packet[1] & 0x7f != 0 {
            continue;
        }
        let mut heard = heard.lock().expect("not poisoned");
        heard.extend(packet[12..length].iter().map(|byte| decode(*byte)));
        let too_many = heard.len().saturating_sub(WINDOW);
        heard.drain(..too_many);
    }
}

/// µ-law of a sample between -1 and 1.
fn encode(sample: f64) -> u8 {
    let sign = if sample < 0.0 { 0x80 } else { 0 };
    let value = ((sample.abs() * 32767.0) as i32).min(32635) + 132;
    let exponent = (31 - value.leading_zeros() as i32 - 7).max(0);
    let mantissa = (value >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) | mantissa) as u8
}

fn decode(byte: u8) -> f64 {
    let byte = !byte;
    let (exponent, mantissa) = (i32::from(byte >> 4 & 7), i32::from(byte & 0x0f));
    let value = (((mantissa << 3) + 132) << exponent) - 132;
    f64::from(if byte & 0x80 == 0 { value } else { -value }) / 32768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_survives_coding() {
        for sample in [-0.9, -0.4, -0.01, 0.0, 0.01, 0.4, 0.9] {
            assert!((decode(encode(sample)) - sample).abs() < 0.03, "{sample} became {}", decode(encode(sample)));
        }
    }
}
