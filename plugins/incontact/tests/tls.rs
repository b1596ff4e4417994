//! CXone behind TLS: whom the adapter believes that he is CXone.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_cxone_emulator::{Emulator, TlsKey};
use jackfield_incontact::InContact;
use jackfield_plugin_api::{Code, Command, Link, testkit::Tenant};
use serde_json::json;

/// An emulator with a certificate that no system knows, and the certificate in PEM.
async fn behind_tls() -> (Emulator, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = TlsKey { certificate: own.cert.der().to_vec(), private_key: own.signing_key.serialize_der() };
    let emulator = Emulator::start_with_tls("127.0.0.1:0".parse().unwrap(), data(), key).await.unwrap();
    assert!(emulator.url().starts_with("https://"));
    (emulator, own.cert.pem())
}

#[tokio::test]
async fn a_certificate_that_is_among_the_tenants_roots_is_trusted() {
    let (emulator, pem) = behind_tls().await;
    let mut settings = settings(&emulator.url());
    settings["tls"] = json!({"roots": pem});
    let tenant = Tenant::connect::<InContact>(MANIFEST, settings).await.unwrap();
    eventually("the link is up", || tenant.link() == Some(Link::Up)).await;
    let bench = Bench { emulator, tenant };
    let anna = bench.ready("anna", "7001").await;
    let key = anna.talking(&bench, ANNA).await;
    anna.done(Command::Hold { conversation: call(&key) }).await;
    bench.emulator.cut_connections();
    bench.remote(ANNA, &key, "hangup");
    anna.ended(&key).await;
    bench.no_complaints();
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_a_link_down_that_says_so() {
    let (emulator, _) = behind_tls().await;
    let tenant = Tenant::connect::<InContact>(MANIFEST, settings(&emulator.url())).await.unwrap();
    eventually("the link is down", || matches!(tenant.link(), Some(Link::Down { .. }))).await;
    let Some(Link::Down { reason }) = tenant.link() else { panic!("it is down") };
    assert!(reason.contains("certificate"), "{reason}");
    let failure = tenant.log_in("anna", "anna-secret").await.err().unwrap();
    assert_eq!(failure.code, Code::LinkDown, "{failure}");
    assert!(failure.context.unwrap().contains("certificate"));
    assert_eq!(emulator.count("token"), 0, "no credentials were sent");
}

#[tokio::test]
async fn roots_without_a_certificate_are_refused() {
    for wrong in ["nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut settings = settings("https://127.0.0.1:1");
        settings["tls"] = json!({"roots": wrong});
        let failure = Tenant::connect::<InContact>(MANIFEST, settings).await.err().unwrap();
        assert_eq!(failure.code, Code::Rejected, "{failure}");
        assert!(failure.message.contains("tls.roots"), "{failure}");
    }
}
