//! Sessions of the dashboard: a cookie that stands for an API key.
//!
//! It holds the hash of the key, sealed, and nothing of it is kept here: a session outlives a restart, counts on every
//! node that has the same encryption key, and ends with its time, or as soon as its key no longer opens the API. Only one
//! that is ended before, by a logout, leaves something: its id, so that a copy of its cookie is worth nothing (`keyring.rs`).

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use super::cors;
use crate::domain::access::KeyHash;
use crate::domain::session::{OWNER_BYTES, SessionId};
use crate::store::Vault;

const NAME: &str = "spark_session";
/// How long a session lasts.
const LIFE: Duration = Duration::from_secs(12 * 3600);

/// A session that has not come to its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// No two have the same.
    pub(super) id: SessionId,
    /// The hash of the key that it stands for.
    pub(super) key: KeyHash,
    /// When it is over, whatever happens.
    pub(super) ends_at: DateTime<Utc>,
}

/// The cookie of a new session, as `Set-Cookie` has it.
pub(super) fn begin(key: KeyHash, vault: &Vault, is_tls: bool) -> String {
    let mark = vault.mark_of(&key.0);
    let id = SessionId::generate(std::array::from_fn::<_, OWNER_BYTES, _>(|place| mark[place]));
    let pass = vault.issue_pass(&format!("{} {}", id.0, URL_SAFE_NO_PAD.encode(key.0)));
    cookie(&pass, LIFE, is_tls)
}

/// What takes a session's cookie away.
pub(super) fn end(is_tls: bool) -> String {
    cookie("", Duration::ZERO, is_tls)
}

fn cookie(value: &str, life: Duration, is_tls: bool) -> String {
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{NAME}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", life.as_secs())
}

/// The session of a request, if it has one whose time has not come. It may have been ended before.
pub(super) fn of(headers: &HeaderMap, vault: &Vault) -> Option<Session> {
    let pass = vault.open_pass(cookie_of(headers, NAME)?, LIFE)?;
    let (id, hash) = pass.text.split_once(' ')?;
    let hash = URL_SAFE_NO_PAD.decode(hash).ok()?;
    let (id, key) = (SessionId(id.parse().ok()?), KeyHash(hash.try_into().ok()?));
    Some(Session { id, key, ends_at: pass.issued_at + LIFE })
}

/// The value of a cookie.
pub(super) fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Whether a request with a session comes from a page of this address, or opens one.
///
/// `SameSite=Strict` keeps the cookie from other sites. This keeps it from other ports of this host, too, which are the
/// same site; browsers say where a request comes from, and what says nothing may only read.
pub(super) fn is_of_own_page(method: &Method, headers: &HeaderMap) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    match said("sec-fetch-site") {
        Some(b"same-origin") => true,
        Some(b"none") => reads,
        Some(_) => reads && said("sec-fetch-mode") == Some(b"navigate"),
        // Over plain HTTP, but to localhost, browsers tell the origin only, and only where it matters.
        None => headers.get(header::ORIGIN).map_or(reads, |origin| cors::is_same_site(headers, origin)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;
    use chrono::TimeDelta;
    use fernet::Fernet;

    use super::*;
    use crate::domain::clock;
    use crate::domain::source::Secret;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_session_stands_for_its_key_and_can_not_be_made_up() {
        let vault = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let key = KeyHash::of_any(b"a key");
        let cookie = begin(key, &vault, true);
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
        let pair = cookie.split(';').next().expect("a pair");
        let session = of(&headers(&[("cookie", &format!("theme=dark; {pair}"))]), &vault).expect("a session");
        assert_eq!(session.key, key);
        let left = session.ends_at - clock::now();
        assert!(left <= TimeDelta::hours(12) && left > TimeDelta::hours(12) - TimeDelta::minutes(1), "{left}");
        let of_login = |key: KeyHash| {
            let cookie = begin(key, &vault, true);
            of(&headers(&[("cookie", cookie.split(';').next().expect("a pair"))]), &vault).expect("a session").id
        };
        let (another, of_another_key) = (of_login(key), of_login(KeyHash::of_any(b"another key")));
        assert_ne!(another, session.id, "each login is a session of its own");
        assert_eq!(another.of_the_same_owner(), session.id.of_the_same_owner());
        assert_ne!(of_another_key.of_the_same_owner(), session.id.of_the_same_owner());
        let text = format!("{} {}", session.id.0, URL_SAFE_NO_PAD.encode(key.0));
        assert!(of(&headers(&[("cookie", &format!("{NAME}={}", vault.issue_pass(&text)))]), &vault).is_some());
        let sealed_otherwise = vault.encrypt(&Secret::new(text));
        for bad in ["", "x", &sealed_otherwise, &vault.issue_pass("short")] {
            assert_eq!(of(&headers(&[("cookie", &format!("{NAME}={bad}"))]), &vault), None, "{bad}");
        }
        assert!(end(false).contains("=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"));
    }

    #[test]
    fn other_pages_can_not_use_a_session() {
        let own = |method: &Method, pairs: &[(&'static str, &str)]| is_of_own_page(method, &headers(pairs));
        let host = ("host", "spark.example:8883");
        assert!(own(&Method::POST, &[host, ("sec-fetch-site", "same-origin")]));
        assert!(own(&Method::POST, &[host, ("origin", "http://spark.example:8883")]));
        assert!(own(&Method::GET, &[host]) && own(&Method::GET, &[host, ("sec-fetch-site", "none")]));
        assert!(own(&Method::GET, &[host, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")]));
        for bad in [
            vec![host],
            vec![host, ("sec-fetch-site", "none")],
            vec![host, ("sec-fetch-site", "same-site")],
            vec![host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
            vec![host, ("origin", "http://spark.example:3000")],
            vec![host, ("origin", "null")],
        ] {
            assert!(!own(&Method::POST, &bad), "{bad:?}");
        }
        assert!(!own(&Method::GET, &[host, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")]));
        assert!(!own(&Method::GET, &[host, ("origin", "http://spark.example:3000")]));
    }
}
