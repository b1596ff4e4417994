//! The host as a client by HTTP or HTTPS: to issuers' keys, and to the collector of traces.
//!
//! Owns: which certificates are trusted there: the system's; and the words of what goes wrong. Must never: have a deadline of
//! its own; whoever asks has one.

use std::error::Error;

use hyper::body::{Body, Bytes};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// A client that sends such bodies.
pub(crate) type HttpsClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Makes a client.
///
/// # Errors
/// The system's root certificates cannot be read.
pub(crate) fn https_client<B>() -> Result<HttpsClient<B>, String>
where
    B: Body<Data = Bytes> + Send,
{
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|error| format!("the system's root certificates cannot be read: {error}"))?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// An error with its causes: the client itself says only at which step it happened.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
