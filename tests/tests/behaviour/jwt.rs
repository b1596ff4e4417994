//! JSON Web Tokens: which let an agent in, and which do not, whoever made them and however.

use std::sync::LazyLock;

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    patience,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use rcgen::KeyPair;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::{Value, json};

/// One of an issuer's keys.
struct Key {
    id: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Key {
    fn ed25519(id: &'static str) -> Self {
        // What stands in front of the seed in every private key of Ed25519 (RFC 8410, section 7).
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        der.extend(seed);
        Self { id, algorithm: Algorithm::EdDSA, private: EncodingKey::from_ed_der(&der) }
    }

    fn p256(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { id, algorithm: Algorithm::ES256, private: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    fn rsa(id: &'static str) -> Self {
        static PRIVATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let key = rsa::PrivateKey::new(&mut rsa::rand_core::UnwrapErr(getrandom::SysRng), 2048).unwrap();
            key.to_pkcs1_der().unwrap().as_bytes().to_vec()
        });
        Self { id, algorithm: Algorithm::RS256, private: EncodingKey::from_rsa_der(&PRIVATE) }
    }

    fn public(&self) -> Value {
        let mut key = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        key.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(key).unwrap()
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) }
    }

    fn signs(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.private).unwrap()
    }
}

fn key_set(keys: &[&Key]) -> String {
    json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}).to_string()
}

/// What the issuer says of agent 1001 of the tenant `demo`.
fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "jackfield", "exp": get_current_timestamp() + 300,
           "tenant": "demo", "sub": "1001"})
}

/// The same with some claims changed; `null` takes one away.
fn but(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// Lines of `[auth]`.
const RULES: &str = "kind = \"jwt\"\n[auth.jwt]\nissuer = \"https://issuer.example\"\naudience = \"jackfield\"\nkeys_file = \"keys.json\"\n";

async fn host(keys: &str) -> Host {
    let tenant = |name: &str| Tenant::simulator(name).auth(RULES).file("keys.json", keys);
    Setup::new().tenant(tenant("demo")).tenant(tenant("other")).start().await
}

async fn connect(host: &Host, token: &str) -> Result<Agent, u16> {
    let how = Connect { token: Some(token.into()), subprotocols: None };
    Agent::connect_with(host, "demo", how).await
}

#[tokio::test]
async fn a_token_of_the_issuer_lets_its_agent_in_whatever_kind_of_key_signed_it() {
    let keys = [Key::ed25519("one"), Key::p256("two"), Key::rsa("three")];
    let host = host(&key_set(&keys.iter().collect::<Vec<_>>())).await;
    for (key, agent) in keys.iter().zip(["1001", "1002", "1003"]) {
        let token = key.signs(&but(json!({"sub": agent, "aud": ["else", "jackfield"]})));
        connect(&host, &token).await.unwrap().log_in(agent).await;
    }
}

#[tokio::test]
async fn an_agents_token_logs_no_other_agent_in() {
    let key = Key::ed25519("one");
    let host = host(&key_set(&[&key])).await;
    let mut agent = connect(&host, &key.signs(&claims())).await.unwrap();
    assert_eq!(agent.prepare("1002", false).await["failure"]["code"], "forbidden");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_gets_the_same_401() {
    let (key, stranger, rsa) = (Key::ed25519("one"), Key::ed25519("one"), Key::rsa("three"));
    let host = host(&key_set(&[&key, &rsa])).await;
    let now = get_current_timestamp();
    let public = rsa.public();
    let as_secret =
        |header: Header, secret: &[u8]| encode(&header, &claims(), &EncodingKey::from_secret(secret).unwrap()).unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
    let good = key.signs(&claims());
    let (payload, signature) = good.split_once('.').unwrap().1.split_once('.').unwrap();
    let brings_its_key = Header { jwk: Some(serde_json::from_value(stranger.public()).unwrap()), ..stranger.header() };
    let names_its_keys = Header { jku: Some("http://127.0.0.1:1/keys".into()), ..stranger.header() };
    let attacks = [
        ("expired", key.signs(&but(json!({"exp": now - 600})))),
        ("not valid yet", key.signs(&but(json!({"nbf": now + 600})))),
        ("without an end", key.signs(&but(json!({"exp": null})))),
        ("another issuer", key.signs(&but(json!({"iss": "https://evil.example"})))),
        ("no issuer", key.signs(&but(json!({"iss": null})))),
        ("another audience", key.signs(&but(json!({"aud": "payroll"})))),
        ("no audience", key.signs(&but(json!({"aud": null})))),
        ("another tenant's", key.signs(&but(json!({"tenant": "other"})))),
        ("no tenant's", key.signs(&but(json!({"tenant": null})))),
        ("nobody's", key.signs(&but(json!({"sub": null})))),
        ("an agent who is no text", key.signs(&but(json!({"sub": 1001})))),
        ("a stranger's key under the same id", stranger.signs(&claims())),
        ("a key that it brings itself", encode(&brings_its_key, &claims(), &stranger.private).unwrap()),
        ("keys at an address that it names", encode(&names_its_keys, &claims(), &stranger.private).unwrap()),
        ("an unknown key", Key::ed25519("nine").signs(&claims())),
        ("no signature", format!("{none}.{payload}.")),
        ("no algorithm but a signature", format!("{none}.{payload}.{signature}")),
        (
            "the public key as a secret",
            as_secret(
                Header { kid: Some("three".into()), ..Header::new(Algorithm::HS256) },
                public["n"].as_str().unwrap().as_bytes(),
            ),
        ),
        ("an empty secret", as_secret(Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) }, b"x")),
        (
            "the algorithm of another key",
            encode(&Header { kid: Some("one".into()), ..Header::new(Algorithm::RS256) }, &claims(), &rsa.private)
                .unwrap(),
        ),
        ("cut off", good[..good.len() - 8].to_owned()),
        ("no token at all", "jf_1".to_owned()),
        ("nothing", String::new()),
    ];
    for (what, token) in attacks {
        assert_eq!(connect(&host, &token).await.err(), Some(401), "{what}");
    }
    assert!(connect(&host, &good).await.is_ok(), "the issuer's own token still lets in");
}

#[tokio::test]
async fn a_connection_ends_with_its_token_and_the_session_waits_for_the_next() {
    let key = Key::ed25519("one");
    let lines = "[limits]\ntoken_grace = \"0s\"";
    let tenant = Tenant::simulator("demo").auth(RULES).file("keys.json", &key_set(&[&key]));
    let host = Setup::new().main(lines).tenant(tenant).start().await;
    let mut agent = connect(&host, &key.signs(&but(json!({"exp": get_current_timestamp() + 6})))).await.unwrap();
    agent.log_in("1001").await;
    assert_eq!(agent.is_closed().await.code, Some(1001));
    let mut next = connect(&host, &key.signs(&claims())).await.unwrap();
    assert_eq!(next.bind(&agent.session, None).await["result"], "success");
}

#[tokio::test]
async fn a_token_is_no_good_at_another_tenant() {
    let key = Key::ed25519("one");
    let host = host(&key_set(&[&key])).await;
    let how = Connect { token: Some(key.signs(&claims())), subprotocols: None };
    assert_eq!(Agent::connect_with(&host, "other", how).await.err(), Some(401));
}

#[tokio::test]
async fn keys_can_be_changed_while_the_host_runs() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let host = host(&key_set(&[&old])).await;
    assert!(connect(&host, &old.signs(&claims())).await.is_ok());
    assert_eq!(connect(&host, &new.signs(&claims())).await.err(), Some(401));
    std::fs::write(host.folder().join("tenants/keys.json"), key_set(&[&new])).unwrap();
    patience("the new key counts", async { while connect(&host, &new.signs(&claims())).await.is_err() {} }).await;
    assert_eq!(connect(&host, &old.signs(&claims())).await.err(), Some(401), "a key that was withdrawn");
}

#[tokio::test]
async fn a_key_set_that_has_become_unreadable_does_not_lock_anybody_out() {
    let key = Key::ed25519("one");
    let host = host(&key_set(&[&key])).await;
    assert!(connect(&host, &key.signs(&claims())).await.is_ok());
    std::fs::write(host.folder().join("tenants/keys.json"), "no key set").unwrap();
    assert!(connect(&host, &key.signs(&claims())).await.is_ok());
    host.logs("the keys of an issuer cannot be read").await;
}
