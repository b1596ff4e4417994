//! The console: a desktop for the browser, built into the host.
//!
//! Owns: the files under `/console/`, the headers that confine them, and which pages count as the console's own. Must
//! never: know what the files do, or serve anything that was not compiled in. The files come from `host/client/`.

use std::{net::IpAddr, sync::LazyLock};

use hyper::{
    HeaderMap, Method, Response,
    header::{self, HeaderName, HeaderValue},
};

use super::{built_in, response::Body};

/// Where the console is.
const HOME: &str = "/console/";

/// What a page of the console may do: run its own files, talk to this host, and nothing else. No text becomes markup or
/// code, whoever wrote it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Sent with every file.
const CONFINED: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

struct File {
    name: &'static str,
    content: &'static [u8],
    /// The hash of its content: a browser that has it already is not sent it again.
    tag: LazyLock<HeaderValue>,
}

macro_rules! files {
    ($($name:literal from $path:literal),+ $(,)?) => {
        [$(File {
            name: $name,
            content: include_bytes!(concat!("../../client/", $path)),
            tag: LazyLock::new(|| built_in::tag_of(include_bytes!(concat!("../../client/", $path)))),
        }),+]
    };
}

static FILES: [File; 22] = files![
    "index.html" from "console/index.html",
    "actions.js" from "console/actions.js",
    "channels.js" from "console/channels.js",
    "clock.js" from "console/clock.js",
    "contacts.js" from "console/contacts.js",
    "desk.js" from "console/desk.js",
    "dialogs.js" from "console/dialogs.js",
    "dom.js" from "console/dom.js",
    "icon-ringing.svg" from "console/icon-ringing.svg",
    "icon.svg" from "console/icon.svg",
    "icons.js" from "console/icons.js",
    "choices.js" from "console/choices.js",
    "login.js" from "console/login.js",
    "main.js" from "console/main.js",
    "messages.js" from "console/messages.js",
    "questions.js" from "console/questions.js",
    "ring.js" from "console/ring.js",
    "style.css" from "console/style.css",
    "jackfield-client.js" from "jackfield-client.js",
    "lists.js" from "lists.js",
    "objects.js" from "objects.js",
    "transport.js" from "transport.js",
];

/// Answers a request for the console; `None` where the path is not the console's.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    if matches!(path, "/" | "/console") {
        return Some(built_in::redirect(HOME));
    }
    let name = path.strip_prefix(HOME)?;
    let name = if name.is_empty() { "index.html" } else { name };
    let file = FILES.iter().find(|file| file.name == name)?;
    let mut response = built_in::answer(method, headers, file.content, &file.tag, content_type(file.name));
    for (name, value) in CONFINED {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

/// Whether a request comes from a page of this very listener, that is from the console.
///
/// Only where the page was reached by an address or as `localhost`: any other name could be somebody's who lets it point
/// here, and whose page would then be let in. A console behind a proxy is listed in `listener.origins` like any page.
pub(super) fn is_own_page(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let (Some(origin), Some(host)) = (value(header::ORIGIN), value(header::HOST)) else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    origin.strip_prefix("http://") == Some(host) && (is_address || name == "localhost")
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    fn from(origin: &'static str, host: &'static str) -> HeaderMap {
        let (origin, host) = (HeaderValue::from_static(origin), HeaderValue::from_static(host));
        HeaderMap::from_iter([(header::ORIGIN, origin), (header::HOST, host)])
    }

    #[test]
    fn a_page_of_this_listener_is_its_own() {
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "192.0.2.1", "[::1]"] {
            let origin: &'static str = format!("http://{host}").leak();
            assert!(is_own_page(&from(origin, host)), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_place_is_not() {
        assert!(!is_own_page(&from("http://127.0.0.1:8081", "127.0.0.1:8080")), "another port");
        assert!(!is_own_page(&from("https://127.0.0.1:8080", "127.0.0.1:8080")), "another scheme");
        assert!(!is_own_page(&from("http://evil.example:8080", "127.0.0.1:8080")), "another host");
        assert!(!is_own_page(&from("null", "127.0.0.1:8080")), "a page without an origin");
        assert!(!is_own_page(&from("http://evil.example:8080", "evil.example:8080")), "a name that may point anywhere");
        assert!(
            !is_own_page(&from("http://localhost.evil.example", "localhost.evil.example")),
            "a name like localhost"
        );
    }

    #[test]
    fn a_file_is_confined_and_is_not_sent_twice() {
        let first = answer(&Method::GET, "/console/jackfield-client.js", &HeaderMap::new()).expect("it is there");
        assert_eq!(first.status(), StatusCode::OK);
        let policy = first.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
        let second = answer(&Method::GET, "/console/jackfield-client.js", &known).expect("it is there");
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn only_the_files_that_were_compiled_in_are_served() {
        for path in ["/console/../Cargo.toml", "/console/nothing.js", "/consol", "/console/console/"] {
            assert!(answer(&Method::GET, path, &HeaderMap::new()).is_none(), "{path}");
        }
    }
}
