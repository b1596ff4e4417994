//! The way of `jackfield agent` to its host: address, token, TLS, and the WebSocket's opening handshake.
//!
//! Owns: what may be written for the address, and what an operator is told when nobody answers there. Must never: print
//! a token, or go on without checking the certificate of a host that is asked for by `wss`.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self,
        client::IntoClientRequest as _,
        http::{HeaderValue, Uri},
    },
};

use super::AgentArguments;

/// How long the host may take to answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The WebSocket to the host.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Opens the WebSocket that the arguments name.
///
/// # Errors
/// One line that names the address and says what is wrong there.
pub(super) async fn connect(arguments: &AgentArguments) -> Result<Socket, String> {
    let url = websocket_url(&arguments.url, &arguments.tenant)?;
    let opened = tokio::time::timeout(DEADLINE, open(&url, arguments)).await;
    opened.unwrap_or_else(|_| Err(format!("no answer within {DEADLINE:?}"))).map_err(|error| format!("{url}: {error}"))
}

async fn open(url: &str, arguments: &AgentArguments) -> Result<Socket, String> {
    let mut request = url.into_client_request().map_err(|error| error.to_string())?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("jackfield.v1"));
    if let Some(token) = token(arguments.token_file.as_deref())? {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| "the token has characters that no token has".to_owned())?;
        bearer.set_sensitive(true);
        request.headers_mut().insert("Authorization", bearer);
    }
    let stream = stream(request.uri(), arguments.ca.as_deref()).await?;
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(match response.status().as_u16() {
            401 => "there is no such tenant, or the token is wrong (--token-file, JACKFIELD_TOKEN)".to_owned(),
            404 => "there is no Jackfield at this address".to_owned(),
            _ => format!("the host answers {}", response.status()),
        }),
        Err(error) => Err(error.to_string()),
    }
}

/// The URL of the WebSocket, whichever way it was written.
fn websocket_url(written: &str, tenant: &str) -> Result<String, String> {
    let wrong = |what: &str| {
        let form = "an address is http://HOST:PORT (with --tenant), or ws://HOST:PORT/v1/tenants/TENANT/ws";
        Err(format!("{written}: {what}; {form}"))
    };
    let (scheme, rest) = match written.split_once("://") {
        None => ("ws", written),
        Some(("ws" | "http", rest)) => ("ws", rest),
        Some(("wss" | "https", rest)) => ("wss", rest),
        Some((other, _)) => return wrong(&format!("{other} is none of ws, wss, http and https")),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return wrong("it names no host");
    }
    let path = path.trim_matches('/');
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        parts = vec!["v1", "tenants", tenant];
    }
    if parts.last() == Some(&"ws") {
        parts.pop();
    }
    // A proxy may have put something in front.
    if !matches!(parts[..], [.., "v1", "tenants", _]) {
        return wrong(&format!("/{path} is the path of no tenant"));
    }
    Ok(format!("{scheme}://{host}/{}/ws", parts.join("/")))
}

fn token(file: Option<&Path>) -> Result<Option<String>, String> {
    let Some(file) = file else { return Ok(std::env::var("JACKFIELD_TOKEN").ok()) };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}

async fn stream(uri: &Uri, ca: Option<&Path>) -> Result<Box<dyn Stream>, String> {
    let secure = uri.scheme_str() == Some("wss");
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let socket = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
    if !secure {
        return Ok(Box::new(socket));
    }
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(tls(ca)?));
    let secured = connector.connect(name, socket).await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(secured))
}

/// Trusts the system's certificate authorities, and those of a file.
fn tls(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca {
        let unusable = |error: &dyn std::fmt::Display| format!("--ca {}: {error}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_written_in_several_ways() {
        for (written, url) in [
            ("ws://127.0.0.1:8080/v1/tenants/blue/ws", "ws://127.0.0.1:8080/v1/tenants/blue/ws"),
            ("http://127.0.0.1:8080/v1/tenants/blue", "ws://127.0.0.1:8080/v1/tenants/blue/ws"),
            ("ws://127.0.0.1:8080/v1/tenants/blue/", "ws://127.0.0.1:8080/v1/tenants/blue/ws"),
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/tenants/demo/ws"),
            ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/v1/tenants/demo/ws"),
            ("[::1]:8080", "ws://[::1]:8080/v1/tenants/demo/ws"),
            ("https://cti.example/desk/v1/tenants/blue/ws", "wss://cti.example/desk/v1/tenants/blue/ws"),
            ("wss://cti.example", "wss://cti.example/v1/tenants/demo/ws"),
        ] {
            assert_eq!(websocket_url(written, "demo").as_deref(), Ok(url), "{written}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_told_with_the_form_of_one() {
        for written in ["ftp://127.0.0.1", "http://", "http://127.0.0.1:8080/tenants/demo", "http://h/v1/tenants"] {
            let said = websocket_url(written, "demo").expect_err(written);
            assert!(said.contains(written) && said.contains("/v1/tenants/TENANT/ws"), "{said}");
        }
    }
}
