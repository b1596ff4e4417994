//! The frames on the socket between the host and a worker.
//!
//! Owns: how a message of the plugin API (`kind`, `id`, payload) is laid out in bytes, and the two messages that are
//! the worker's own: [`SETUP`] and [`READY`]. Must never: read a payload. Both ends use it; both are one binary, but an
//! upgrade may leave an old worker beside a new host, so the first frame names the [`VERSION`].
//!
//! ```text
//! u32 length of the payload | u32 kind | u64 id | payload: JSON text      (little endian)
//! ```

use jackfield_plugin_api::wire::{Kind, MAX_PAYLOAD};
use serde::{Deserialize, Serialize};

use super::sandbox::Confinement;

/// The version of this layout.
pub const VERSION: u32 = 1;
/// To the worker, once, first: [`Setup`].
pub const SETUP: Kind = Kind(1001);
/// From the worker, once, first: [`Ready`].
pub const READY: Kind = Kind(1002);

const HEADER: usize = 16;

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The version of the frames that the host speaks.
    pub frames: u32,
    /// The library, in the plugin store.
    pub library: std::path::PathBuf,
    /// The version of the plugin API that the library's manifest section says.
    pub api: String,
    /// What the plugin is told when it is made: JSON.
    pub hello: String,
    /// What the worker may use.
    pub confinement: Confinement,
}

/// What has become of the set-up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// The version of the frames that the worker speaks.
    pub frames: u32,
    /// Why the worker cannot work; it ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What could not be confined on this machine.
    #[serde(default)]
    pub unconfined: Vec<String>,
}

/// Appends one frame.
pub fn put(buffer: &mut Vec<u8>, kind: Kind, id: u64, payload: &str) {
    let length = u32::try_from(payload.len()).expect("a payload is checked against MAX_PAYLOAD before");
    buffer.reserve(HEADER + payload.len());
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&kind.0.to_le_bytes());
    buffer.extend_from_slice(&id.to_le_bytes());
    buffer.extend_from_slice(payload.as_bytes());
}

/// Takes bytes apart into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

/// The other end does not speak this language.
#[derive(Debug, PartialEq, Eq)]
pub struct BadFrame(pub &'static str);

impl Decoder {
    /// Room for what is read next, at least `wanted` bytes; say with [`Decoder::filled`] how much was read.
    pub fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.start == self.buffer.len() {
            self.buffer.clear();
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
        }
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + wanted, 0);
        &mut self.buffer[old..]
    }

    /// Of the room last given, `read` of `wanted` bytes were filled.
    pub fn filled(&mut self, wanted: usize, read: usize) {
        let length = self.buffer.len() - (wanted - read);
        self.buffer.truncate(length);
        if self.buffer.is_empty() && self.buffer.capacity() > 256 << 10 {
            self.buffer = Vec::new();
        }
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// The bytes are no frame: nothing after them can be understood either.
    pub fn frame(&mut self) -> Result<Option<(Kind, u64, &str)>, BadFrame> {
        let bytes = &self.buffer[self.start..];
        let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
        let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let kind = u32::from_le_bytes(header[4..8].try_into().expect("four bytes"));
        let id = u64::from_le_bytes(header[8..].try_into().expect("eight bytes"));
        if length > MAX_PAYLOAD {
            return Err(BadFrame("a frame that is too long"));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let payload = std::str::from_utf8(payload).map_err(|_| BadFrame("a payload that is not UTF-8"))?;
        self.start += HEADER + length;
        Ok(Some((Kind(kind), id, payload)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_survive_however_the_stream_is_cut(
            frames in prop::collection::vec((any::<u32>(), any::<u64>(), ".{0,300}"), 0..20),
            cuts in prop::collection::vec(1usize..200, 1..50),
        ) {
            let mut stream = Vec::new();
            for (kind, id, payload) in &frames {
                put(&mut stream, Kind(*kind), *id, payload);
            }
            let (mut decoder, mut got, mut rest) = (Decoder::default(), Vec::new(), stream.as_slice());
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                decoder.room(200)[..now.len()].copy_from_slice(now);
                decoder.filled(200, now.len());
                while let Some((kind, id, payload)) = decoder.frame().unwrap() {
                    got.push((kind.0, id, payload.to_owned()));
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            decoder.room(bytes.len())[..].copy_from_slice(&bytes);
            decoder.filled(bytes.len(), bytes.len());
            while let Ok(Some(_)) = decoder.frame() {}
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_is_allocated() {
        let mut decoder = Decoder::default();
        let header = [0xff; HEADER];
        decoder.room(HEADER).copy_from_slice(&header);
        decoder.filled(HEADER, HEADER);
        assert!(decoder.frame().is_err());
    }
}
