//! TLS in front of the emulator, where a test wants it.

use std::{io, sync::Arc};

use rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// What the emulator shows of itself.
#[derive(Debug, Clone)]
pub struct TlsKey {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificate's private key, PKCS #8 in DER.
    pub private_key: Vec<u8>,
}

impl TlsKey {
    /// What takes connections with it.
    pub(crate) fn acceptor(self) -> io::Result<TlsAcceptor> {
        let wrong = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(wrong)?.with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(self.private_key);
        let config = config.with_single_cert(vec![self.certificate.into()], key.into()).map_err(wrong)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
