//! TLS to Asterisk's HTTP server: whom to believe that he is the Asterisk.
//!
//! Owns: the roots, which are the system's and a tenant's own, and the kind of stream that both ways to Asterisk are. Must
//! never: skip a check of the certificate.

use std::sync::Arc;

use jackfield_plugin_api::{Code, Failure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A way to Asterisk, in the clear or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Who trusts the system's root certificates, and these in PEM beside them.
///
/// # Errors
/// `rejected`: these are no certificates; `internal`: there is no TLS to be had.
pub(crate) fn client(own: Option<&str>) -> Result<Arc<ClientConfig>, Failure> {
    let wrong = |why: String| Failure::new(Code::Rejected, format!("settings: tls.roots: {why}"));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut more = 0;
    for certificate in own.into_iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes())) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        more += 1;
    }
    if own.is_some() && more == 0 {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|error| Failure::new(Code::Internal, format!("TLS: {error}")))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Encrypts a connection to a host.
///
/// # Errors
/// Why not, in words: the certificate is not one of that host, or nobody who is trusted has signed it.
pub(crate) async fn encrypt(tls: Arc<ClientConfig>, host: &str, stream: TcpStream) -> Result<Box<dyn Stream>, String> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use jackfield_plugin_api::Code;

    use super::client;

    #[test]
    fn roots_that_are_none_are_an_error_of_the_settings() {
        assert_eq!(client(Some("no certificate")).err().map(|failure| failure.code), Some(Code::Rejected));
    }
}
