//! The protocol's JSON Schemas and its AsyncAPI description, for whoever makes a client of them.
//!
//! Owns: the addresses under `/v1/schema/`. They tell nothing of this host or its tenants, so nobody has to say who he is.

use std::{collections::HashMap, sync::LazyLock};

use hyper::{HeaderMap, Method, Response, header::HeaderValue};
use jackfield_protocol::schema_files::FILES;

use super::{built_in, response::Body};

const HOME: &str = "/v1/schema/";
/// It refers to all others.
const FIRST: &str = "/v1/schema/asyncapi.json";

/// Answers a request for a schema; `None` where the path is of something else.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    static FOUND: LazyLock<HashMap<&str, (&[u8], HeaderValue)>> = LazyLock::new(|| {
        let found =
            |&(path, text): &(&'static str, &'static str)| (path, (text.as_bytes(), built_in::tag_of(text.as_bytes())));
        FILES.iter().map(found).collect()
    });
    if matches!(path, "/v1/schema" | HOME) {
        return Some(built_in::redirect(FIRST));
    }
    let (content, tag) = FOUND.get(path.strip_prefix(HOME)?)?;
    let kind = match path {
        FIRST => "application/vnd.aai.asyncapi+json; version=3.0.0",
        _ => "application/schema+json",
    };
    Some(built_in::answer(method, headers, content, tag, kind))
}

#[cfg(test)]
mod tests {
    use hyper::{StatusCode, header};

    use super::*;

    #[test]
    fn a_schema_is_served_as_one_and_is_not_sent_twice() {
        let path = "/v1/schema/commands/channel.request.dial.json";
        let first = answer(&Method::GET, path, &HeaderMap::new()).expect("it is there");
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "application/schema+json");
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
        let second = answer(&Method::GET, path, &known).expect("it is there");
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&Method::POST, path, &HeaderMap::new()).expect("it is there").status(), 405);
    }

    #[test]
    fn the_address_alone_leads_to_the_description_of_all() {
        let first = answer(&Method::GET, "/v1/schema", &HeaderMap::new()).expect("it is there");
        assert_eq!(first.headers()[header::LOCATION], FIRST);
        assert!(answer(&Method::GET, FIRST, &HeaderMap::new()).is_some());
    }

    #[test]
    fn nothing_else_is_served() {
        for path in ["/v1/schema/../lib.rs", "/v1/schema/nothing.json", "/v1/schemas", "/v1/tenants/schema/ws"] {
            assert!(answer(&Method::GET, path, &HeaderMap::new()).is_none(), "{path}");
        }
    }
}
