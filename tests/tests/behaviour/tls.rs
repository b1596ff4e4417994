//! TLS on the desktops' listener: certificates, their replacement, desktops that must show their own.

use std::{fs, process::Command, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use jackfield_tests::{
    artifacts,
    host::{Host, Setup, TempFolder, Tenant},
    http::raw,
    patience, until,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::CloseFrame},
};

/// Who signs certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub(crate) struct Certificate {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than its certificates have, which OpenSSL would take for their own signers.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn signs(&self) -> Certificate {
        self.signs_until("+400 years")
    }

    /// `end`: as date(1) takes it, such as `+3 days`.
    pub(crate) fn signs_until(&self, end: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let date = Command::new("date").args(["--utc", "+%Y %m %d", "--date", end]).output().unwrap();
        let date = String::from_utf8(date.stdout).unwrap();
        let date: Vec<i32> = date.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [month, day] = [date[1], date[2]].map(|number| u8::try_from(number).unwrap());
        params.not_after = rcgen::date_time_ymd(date[0], month, day);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A host whose listener speaks TLS with this certificate. `more`: lines of `[listener.tls]`.
async fn host(own: &Certificate, more: &str, files: &[(&str, &str)]) -> Host {
    let lines = format!("[listener.tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n{more}");
    let mut setup = Setup::new().listener(&lines).tenant(Tenant::simulator("demo"));
    for (name, text) in [("server.pem", own.certificate.as_str()), ("server.key", &own.key)].iter().chain(files) {
        setup = setup.file(name, text);
    }
    setup.start().await
}

pub(crate) type Stream = TlsStream<TcpStream>;

/// Shakes hands, trusting an authority and perhaps showing a certificate.
pub(crate) async fn shake(address: &str, trusted: &Authority, own: Option<&Certificate>) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    patience("the TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

/// A WebSocket over TLS; `None`: it does not come to that.
async fn connect(host: &Host, trusted: &Authority, own: Option<&Certificate>) -> Option<WebSocketStream<Stream>> {
    let stream = shake(&host.address, trusted, own).await.ok()?;
    let url = format!("wss://{}/v1/tenants/demo/ws", host.address);
    Some(patience("the upgrade", tokio_tungstenite::client_async(url, stream)).await.ok()?.0)
}

/// Sends a message and returns the answer to it.
async fn ask(socket: &mut WebSocketStream<Stream>, message: Value) -> Value {
    socket.send(Message::text(message.to_string())).await.unwrap();
    loop {
        match patience("an answer", socket.next()).await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn login(agent: &str) -> Value {
    json!({"command": "prepareSession", "data": {"agent": {"id": agent, "password": "secret"}}})
}

#[tokio::test]
async fn desktops_talk_over_tls_and_over_nothing_else() {
    let authority = Authority::new();
    let host = host(&authority.signs(), "", &[]).await;
    let stream = shake(&host.address, &authority, None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut desktop = connect(&host, &authority, None).await.unwrap();
    assert_eq!(ask(&mut desktop, login("1001")).await["result"], "success");
    // More than a record or a buffer holds.
    let long = json!({"command": "x", "pad": "p".repeat(60_000)});
    let answer = ask(&mut desktop, long.clone()).await;
    assert_eq!(answer["original"], long);
    desktop.send(Message::Close(Some(CloseFrame { code: 1000.into(), reason: "".into() }))).await.unwrap();
    match patience("the answer to the close", desktop.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1000),
        other => panic!("{other:?}"),
    }
    let plain = format!("GET /v1/tenants/demo/ws HTTP/1.1\r\nhost: {}\r\n\r\n", host.address);
    assert!(!raw(&host.address, plain.as_bytes()).await.contains("HTTP"), "nothing is answered in the clear");
    assert!(connect(&host, &Authority::new(), None).await.is_none(), "the client checks, so this test does, too");
}

#[tokio::test]
async fn a_replaced_certificate_holds_for_new_connections_and_cuts_none() {
    let (old, new) = (Authority::new(), Authority::new());
    let host = host(&old.signs(), "", &[]).await;
    let mut before = connect(&host, &old, None).await.unwrap();
    assert_eq!(ask(&mut before, login("1001")).await["result"], "success");
    let replacement = new.signs();
    // One file after the other, as people do: meanwhile the two do not belong together.
    fs::write(host.folder().join("server.pem"), &replacement.certificate).unwrap();
    host.logs("listener.tls.key").await;
    assert!(connect(&host, &old, None).await.is_some(), "what was right before stays");
    fs::write(host.folder().join("server.key"), &replacement.key).unwrap();
    until("the new certificate is shown", || connect(&host, &new, None)).await;
    assert!(connect(&host, &old, None).await.is_none());
    assert_eq!(ask(&mut before, json!({"command": "x"})).await["failure"]["code"], "unknown_command");
}

#[tokio::test]
async fn a_desktop_without_the_certificate_that_it_must_show_is_not_let_in() {
    let (authority, desktops) = (Authority::new(), Authority::new());
    let host = host(&authority.signs(), "client_ca = \"desktops.pem\"", &[("desktops.pem", &desktops.pem)]).await;
    assert!(connect(&host, &authority, None).await.is_none());
    assert!(connect(&host, &authority, Some(&authority.signs())).await.is_none(), "one of another authority");
    let own = desktops.signs();
    let mut desktop = connect(&host, &authority, Some(&own)).await.unwrap();
    assert_eq!(ask(&mut desktop, login("1001")).await["result"], "success");
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_by_file_and_key() {
    let (one, other) = (Authority::new().signs(), Authority::new().signs());
    let folder = TempFolder::new();
    fs::create_dir(folder.0.join("tenants")).unwrap();
    for (name, text) in [("one.pem", &one.certificate), ("one.key", &one.key), ("other.key", &other.key)] {
        fs::write(folder.0.join(name), text).unwrap();
    }
    let config = folder.0.join("jackfield.toml");
    let check = |lines: &str| {
        fs::write(&config, format!("[listener.tls]\n{lines}")).unwrap();
        let done = Command::new(artifacts::jackfield()).arg("check-config").arg(&config).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    };
    assert!(check("certificate = \"one.pem\"\nkey = \"one.key\"").0);
    for (lines, key) in [
        ("certificate = \"one.pem\"", "listener.tls.key: "),
        ("key = \"one.key\"", "listener.tls.certificate: "),
        ("certificate = \"missing.pem\"\nkey = \"one.key\"", "listener.tls.certificate: "),
        ("certificate = \"one.key\"\nkey = \"one.key\"", "listener.tls.certificate: "),
        ("certificate = \"one.pem\"\nkey = \"one.pem\"", "listener.tls.key: "),
        ("certificate = \"one.pem\"\nkey = \"other.key\"", "listener.tls.key: "),
        ("certificate = \"one.pem\"\nkey = \"one.key\"\nclient_ca = \"one.key\"", "listener.tls.client_ca: "),
        ("certificate = \"one.pem\"\nkey = \"one.key\"\ncertificates = 1", "certificates"),
    ] {
        let (right, said) = check(lines);
        assert!(!right && said.contains(key) && said.contains("jackfield.toml"), "{lines}: {said}");
    }
}
