//! The public keys with which a tenant's issuer signs its tokens.
//!
//! Owns: a JSON Web Key Set (RFC 7517) from a file or an address, how long it counts, and when it is read again. Must
//! never: take a key from a token, read more than [`LARGEST`] bytes, ask the issuer more often than every [`AT_MOST_EVERY`]
//! however many wrong tokens come, or forget good keys because the issuer cannot be reached.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Uri, body::Bytes};
use jsonwebtoken::{
    Algorithm,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::{
    config::KeySource,
    https::{https_client, with_causes},
};

/// The largest key set, in bytes.
const LARGEST: usize = 256 * 1024;
/// The most keys of a set that are looked at.
const MOST_KEYS: usize = 100;
/// How long the issuer may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a set from an address counts before it is read again: so long a key that the issuer has withdrawn is accepted
/// at most. A file is looked at each time.
const FRESH: Duration = Duration::from_secs(300);
/// The shortest time between two readings, for tokens with a key that is not in the set.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// The keys that verify tokens.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Jwk>);

impl KeySet {
    /// Reads a key set. Keys of a kind that is not used here are left out.
    ///
    /// # Errors
    /// It is no key set, or none of its keys can be used.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Raw {
            keys: Vec<serde_json::Value>,
        }
        let raw: Raw = serde_json::from_slice(text).map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
        let keys = raw.keys.into_iter().take(MOST_KEYS).filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<Jwk> = keys.filter(|key| algorithm(key).is_some()).collect();
        if keys.is_empty() { Err("it has no key for RS256, ES256 or EdDSA".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The key for a token with this key id. A token without one is only accepted where it leaves no choice.
    pub(super) fn find(&self, id: Option<&str>, wanted: Algorithm) -> Option<&Jwk> {
        let mut fitting = self.0.iter().filter(|key| algorithm(key) == Some(wanted));
        match id {
            Some(id) => fitting.find(|key| key.common.key_id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

/// The one algorithm that a key is used with.
fn algorithm(key: &Jwk) -> Option<Algorithm> {
    if key.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, own) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    key.common.key_algorithm.is_none_or(|stated| stated == own).then_some(algorithm)
}

/// A tenant's key set, kept and read again.
pub(super) struct KeyStore {
    tenant: Box<str>,
    source: KeySource,
    keys: RwLock<Arc<KeySet>>,
    /// The last reading, with success or without. Held while it is read, so that it is read once for all who wait.
    read: tokio::sync::Mutex<Option<Reading>>,
}

/// When a key set was read, what its file was like then, and whether it could be used.
struct Reading {
    at: Instant,
    file: Option<(SystemTime, u64)>,
    failed: bool,
}

impl KeyStore {
    pub(super) fn new(tenant: &str, source: KeySource) -> Self {
        Self { tenant: tenant.into(), source, keys: RwLock::default(), read: tokio::sync::Mutex::default() }
    }

    /// The keys, read again first where they are older than [`FRESH`]. While somebody else reads them, those that are
    /// there are good enough: an issuer that is slow must not hold up whoever has a good token.
    pub(super) async fn current(&self) -> Arc<KeySet> {
        let keys = Arc::clone(&self.keys.read());
        match self.read.try_lock() {
            Ok(read) => self.read_again(read, FRESH).await,
            Err(_) if !keys.0.is_empty() => return keys,
            Err(_) => drop(self.read.lock().await),
        }
        Arc::clone(&self.keys.read())
    }

    /// The keys for a token whose key was not in the set: read again, but not more often than every [`AT_MOST_EVERY`].
    pub(super) async fn newest(&self) -> Arc<KeySet> {
        self.read_again(self.read.lock().await, AT_MOST_EVERY).await;
        Arc::clone(&self.keys.read())
    }

    async fn read_again(&self, mut read: tokio::sync::MutexGuard<'_, Option<Reading>>, age: Duration) {
        let file = match &self.source {
            KeySource::File(path) => stamp(path).await,
            KeySource::Url(_) => None,
        };
        let is_fresh = |last: &Reading| match &self.source {
            // What is in the way may go without a trace at the file: its owner, a folder, a want of descriptors.
            KeySource::File(_) => last.file == file && (!last.failed || last.at.elapsed() < AT_MOST_EVERY),
            KeySource::Url(_) => last.at.elapsed() < age,
        };
        if read.as_ref().is_some_and(is_fresh) {
            return;
        }
        let at = Instant::now();
        let loaded = load(&self.source).await.and_then(|text| KeySet::parse(&text));
        *read = Some(Reading { at, file, failed: loaded.is_err() });
        match loaded {
            Ok(keys) => *self.keys.write() = Arc::new(keys),
            Err(error) => {
                let (tenant, source) = (&*self.tenant, &self.source);
                tracing::warn!(tenant, %source, "the keys of an issuer cannot be read: {error}");
            }
        }
    }
}

/// When a file was changed last, and its length.
async fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn load(source: &KeySource) -> Result<Vec<u8>, String> {
    match source {
        KeySource::File(path) => {
            let length = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
            if length > LARGEST as u64 {
                return Err(format!("it is longer than {LARGEST} bytes"));
            }
            tokio::fs::read(path).await.map_err(|error| error.to_string())
        }
        KeySource::Url(address) => match timeout(DEADLINE, fetch(address.clone())).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        },
    }
}

async fn fetch(address: Uri) -> Result<Vec<u8>, String> {
    let client = https_client::<Empty<Bytes>>()?;
    let answer = client.get(address).await.map_err(|error| with_causes(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| with_causes(&*error))?;
    Ok(body.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{
        fs::{self, File},
        net::{Ipv4Addr, SocketAddrV4},
    };

    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

    use super::*;

    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// A file that looks as it did before, whatever is in it.
    fn write(path: &Path, text: &str) {
        fs::write(path, format!("{text:200}")).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_could_not_be_read_is_read_again_though_it_looks_as_before() {
        let path = std::env::temp_dir().join(format!("jackfield-keys-{}.json", std::process::id()));
        write(&path, "no key set");
        let store = KeyStore::new("acme", KeySource::File(path.clone()));
        assert!(store.newest().await.0.is_empty());
        write(&path, KEYS);
        assert!(store.newest().await.0.is_empty(), "not for each token that comes");
        tokio::time::sleep(AT_MOST_EVERY).await;
        assert_eq!(store.current().await.0.len(), 1);
        fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn an_issuer_that_cannot_be_reached_is_told_with_the_cause() {
        // The port is taken, and nobody listens there.
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = SocketAddrV4::try_from(getsockname(&socket).unwrap()).unwrap();
        let error = fetch(format!("http://{address}/keys").parse().unwrap()).await.unwrap_err();
        assert!(error.contains("onnection refused"), "{error}");
    }
}
