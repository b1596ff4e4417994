//! The frames on the socket between the host and a worker.
//!
//! Owns: how a message of the plugin API (`kind`, `id`, payload) is laid out in bytes, and the two messages that are
//! the worker's own: [`SETUP`] and [`READY`]. Must never: read a payload. Both ends use it; both are one binary, but an
//! upgrade may leave an old worker beside a new host, so the first frame names the [`VERSION`].
//!
//! ```text
//! u32 length of what follows | u32 kind | u64 id | payload: JSON text      (little endian)
//! ```

use std::io;

use bytes::{Buf, BytesMut};
use jackfield_plugin_api::wire::{Kind, MAX_PAYLOAD};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use super::sandbox::Confinement;
use crate::plugin::load::LoadFailure;

/// The version of this layout.
pub const VERSION: u32 = 1;
/// To the worker, once, first: [`Setup`].
pub const SETUP: Kind = Kind(1001);
/// From the worker, once, first: [`Ready`].
pub const READY: Kind = Kind(1002);

/// The bytes of kind and id.
const HEADER: usize = 12;

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
    pub failure: Option<LoadFailure>,
    /// What could not be confined on this machine.
    #[serde(default)]
    pub unconfined: Vec<String>,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The platform or agent that it is about.
    pub id: u64,
    /// Its content: JSON text.
    pub payload: String,
}

/// Appends one frame.
///
/// # Panics
/// The payload is longer than [`MAX_PAYLOAD`]; callers check that before.
pub fn put(buffer: &mut Vec<u8>, kind: Kind, id: u64, payload: &str) {
    assert!(payload.len() <= MAX_PAYLOAD, "a payload of {} bytes", payload.len());
    #[allow(clippy::cast_possible_truncation)] // bounded by MAX_PAYLOAD
    let length = (HEADER + payload.len()) as u32;
    buffer.reserve(4 + HEADER + payload.len());
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&kind.0.to_le_bytes());
    buffer.extend_from_slice(&id.to_le_bytes());
    buffer.extend_from_slice(payload.as_bytes());
}

/// Takes bytes apart into frames. After an error of the kind `InvalidData` nothing more can be understood.
#[derive(Debug)]
pub struct FrameDecoder(LengthDelimitedCodec);

impl Default for FrameDecoder {
    fn default() -> Self {
        let mut codec = LengthDelimitedCodec::builder();
        codec.little_endian().length_field_type::<u32>().max_frame_length(HEADER + MAX_PAYLOAD);
        Self(codec.new_codec())
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let Some(mut bytes) = self.0.decode(buffer)? else { return Ok(None) };
        if bytes.len() < HEADER {
            return Err(invalid("a frame that is too short"));
        }
        let (kind, id) = (Kind(bytes.get_u32_le()), bytes.get_u64_le());
        let payload = String::from_utf8(bytes.into()).map_err(|_| invalid("a payload that is not UTF-8"))?;
        Ok(Some(Frame { kind, id, payload }))
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
            let (mut decoder, mut buffer) = (FrameDecoder::default(), BytesMut::new());
            let (mut got, mut rest) = (Vec::new(), stream.as_slice());
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                buffer.extend_from_slice(now);
                while let Some(Frame { kind, id, payload }) = decoder.decode(&mut buffer).unwrap() {
                    got.push((kind.0, id, payload));
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
            let (mut decoder, mut buffer) = (FrameDecoder::default(), BytesMut::from(&bytes[..]));
            while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_anything_is_allocated() {
        for length in [0_u32, 11, u32::MAX] {
            let mut buffer = BytesMut::from(&[&length.to_le_bytes()[..], &[0; HEADER]].concat()[..]);
            let error = FrameDecoder::default().decode(&mut buffer).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
            assert!(buffer.capacity() < 1024);
        }
    }
}
