//! `[listener.tls]` and `[operations.tls]`: the files with which a listener speaks TLS.
//!
//! Owns: reading them, and the sentence that names the key whose file is wrong. Must never: print a private key. The files
//! are read when the configuration is checked, and again by the listener when they have changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;

/// Where the certificates of a listener are. All files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// The table that names the files: `listener.tls` or `operations.tls`.
    pub(crate) table: &'static str,
    /// The listener's certificate, and those between it and the authority that clients trust.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates clients must show; `None`: clients show none.
    pub client_ca: Option<PathBuf>,
}

/// With what a listener shakes hands.
#[derive(Debug, Clone)]
pub(crate) struct TlsServer {
    pub(crate) config: Arc<ServerConfig>,
    /// When the first of the certificates that it shows runs out, in seconds since 1970.
    pub(crate) not_after: u64,
}

/// The content of the files, as it was read.
pub(crate) struct TlsFiles {
    table: &'static str,
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What is wrong with a file: the key that names it, and a sentence.
pub(crate) type TlsProblem = (String, String);

const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";
const CLIENT_CA: &str = "client_ca";

impl TlsConfig {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn read(&self) -> Result<TlsFiles, TlsProblem> {
        let read = |name, path: &Path| {
            fs::read(path).map_err(|error| (format!("{}.{name}", self.table), format!("{}: {error}", path.display())))
        };
        Ok(TlsFiles {
            table: self.table,
            certificate: read(CERTIFICATE, &self.certificate)?,
            key: read(KEY, &self.key)?,
            client_ca: self.client_ca.as_deref().map(|path| read(CLIENT_CA, path)).transpose()?,
        })
    }
}

impl TlsFiles {
    /// A hash of all of them.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()] {
            let part = part.map(Vec::as_slice).unwrap_or_default();
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// What the listener needs for a handshake.
    ///
    /// # Errors
    /// A file has no certificate or key, or they do not belong together.
    pub(crate) fn server(&self) -> Result<TlsServer, TlsProblem> {
        self.build().map_err(|(name, wrong)| (format!("{}.{name}", self.table), wrong))
    }

    fn build(&self) -> Result<TlsServer, (&'static str, String)> {
        let chain = certificates(CERTIFICATE, &self.certificate)?;
        let not_after = first_to_expire(&chain).map_err(|wrong| (CERTIFICATE, wrong))?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| (KEY, "there is no private key in it".to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| (CERTIFICATE, error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(CLIENT_CA, authorities)? {
                    roots.add(authority).map_err(|error| (CLIENT_CA, error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| (CLIENT_CA, error.to_string()))?)
            }
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => (KEY, "it is not the key of the certificate".to_owned()),
            error => (KEY, error.to_string()),
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsServer { config: Arc::new(server), not_after })
    }
}

/// When the first of these certificates runs out, in seconds since 1970.
fn first_to_expire(chain: &[CertificateDer<'_>]) -> Result<u64, String> {
    let mut first = u64::MAX;
    for certificate in chain {
        let certificate = x509_cert::Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        first = first.min(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs());
    }
    Ok(first)
}

fn certificates(name: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, (&'static str, String)> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err((name, "there is no certificate in it".to_owned())),
        Ok(all) => Ok(all),
        Err(error) => Err((name, error.to_string())),
    }
}
