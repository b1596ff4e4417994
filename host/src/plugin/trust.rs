//! Whose plugins may run.
//!
//! Owns: the provider's public keys, and the check of a plugin's file against the signature beside it. Must never: load
//! anything, or take a file for signed because a signature exists: it must be a configured key's, over these bytes.
//! Signatures are minisign's (Ed25519 over BLAKE2b of the file), in a file of the plugin's name with `.minisig` added.

use std::{
    fs,
    path::{Path, PathBuf},
};

use minisign_verify::{PublicKey, Signature};

/// The keys that a plugin may be signed with. Without any, no signature is asked for.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<(String, PublicKey)>,
}

impl Trust {
    /// Takes public keys as minisign prints them: one line of base64 each.
    ///
    /// # Errors
    /// The key that is none.
    pub fn new(keys: &[String]) -> Result<Self, String> {
        let parse = |key: &String| match PublicKey::from_base64(key.trim()) {
            Ok(parsed) => Ok((key.trim().to_owned(), parsed)),
            Err(error) => Err(format!("{key:?} is not a minisign public key: {error}")),
        };
        Ok(Self { keys: keys.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Whether a signature is asked for.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks a file's content against the signature beside it. Returns the key that signed it; `None` where none is
    /// asked for.
    ///
    /// # Errors
    /// There is no signature, it is none, or it is nobody's whom this host trusts.
    pub(super) fn check(&self, path: &Path, content: &[u8]) -> Result<Option<&str>, String> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let beside = beside(path);
        let text = fs::read_to_string(&beside).map_err(|error| {
            format!("plugins must be signed, and its signature {} cannot be read: {error}", beside.display())
        })?;
        let signature =
            Signature::decode(&text).map_err(|error| format!("{} is not a signature: {error}", beside.display()))?;
        let signer = self.keys.iter().find(|(_, key)| key.verify(content, &signature, false).is_ok());
        signer
            .map(|(name, _)| Some(name.as_str()))
            .ok_or_else(|| "its signature is not that of any key that this host trusts".to_owned())
    }
}

/// The file of a library's signature.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Made for this test with a key that is kept nowhere.
    const KEY: &str = include_str!("trust_test/key.pub");
    const SIGNATURE: &str = include_str!("trust_test/signed.minisig");
    const CONTENT: &[u8] = b"a plugin's bytes\n";

    fn file(signature: Option<&str>) -> (PathBuf, PathBuf) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("jackfield-trust-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("libit.so");
        if let Some(signature) = signature {
            fs::write(beside(&path), signature).unwrap();
        }
        (path, folder)
    }

    fn check(keys: &[&str], signature: Option<&str>, content: &[u8]) -> Result<bool, String> {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let (path, folder) = file(signature);
        let result = Trust::new(&keys)?.check(&path, content).map(|signer| signer.is_some());
        fs::remove_dir_all(folder).unwrap();
        result
    }

    #[test]
    fn without_keys_no_signature_is_asked_for() {
        assert_eq!(check(&[], None, CONTENT), Ok(false));
    }

    #[test]
    fn a_signature_of_a_trusted_key_over_these_bytes_is_good() {
        assert_eq!(check(&[KEY], Some(SIGNATURE), CONTENT), Ok(true));
    }

    #[test]
    fn other_bytes_no_signature_and_garbage_are_refused() {
        for (signature, content) in
            [(Some(SIGNATURE), b"other bytes".as_slice()), (None, CONTENT), (Some("nonsense"), CONTENT)]
        {
            assert!(check(&[KEY], signature, content).is_err());
        }
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert!(check(&["nonsense"], None, CONTENT).unwrap_err().contains("nonsense"));
    }
}
