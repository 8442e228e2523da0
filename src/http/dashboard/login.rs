//! The way in and out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use maud::html;
use serde::Deserialize;
use tokio::time::Instant;

use super::super::auth::{self, asks_for_keys};
use super::super::error::Error;
use super::super::query::Query;
use super::super::session::{self, Session};
use super::super::state::ApiState;
use super::HOME;
use super::view::{Section, View};
use crate::domain::access::KeyHash;
use crate::store::session::ENDED_MAX;

/// Wrong keys that an address may send within [`PERIOD`].
const WRONG_MAX: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);
/// Addresses that are remembered; past it the oldest periods are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// Wrong keys by address. Keys can't be guessed; this keeps a flood of guesses from the database and the log.
#[derive(Clone, Default)]
pub(in super::super) struct Attempts(Arc<Mutex<HashMap<IpAddr, (Instant, u32)>>>);

impl Attempts {
    fn are_too_many(&self, from: IpAddr, now: Instant) -> bool {
        let from = network_of(from);
        let wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get(&from).is_some_and(|(since, count)| now - *since < PERIOD && *count >= WRONG_MAX)
    }

    fn note(&self, from: IpAddr, now: Instant) {
        let from = network_of(from);
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= ADDRESSES_MAX {
            wrong.retain(|_, (since, _)| now - *since < PERIOD);
        }
        if wrong.len() >= ADDRESSES_MAX {
            wrong.clear();
        }
        let entry = wrong.entry(from).or_insert((now, 0));
        if now - entry.0 >= PERIOD {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

/// Who counts as one: a line of IPv6 has 2^64 addresses to guess from.
fn network_of(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Login {
    key: String,
    #[serde(default)]
    next: String,
}

/// `GET /dashboard/login`.
pub(super) async fn page(state: Data<ApiState>, request: HttpRequest, view: View) -> Result<HttpResponse, Error> {
    let next = target(&Query::of(&request).text("next").unwrap_or_default()).to_owned();
    if !asks_for_keys(&state).await? {
        return Ok(see_other(&next));
    }
    Ok(form(&view, StatusCode::OK, &next, None))
}

/// `POST /dashboard/login`.
pub(super) async fn login(
    state: Data<ApiState>,
    attempts: Data<Attempts>,
    request: HttpRequest,
    view: View,
    login: Result<Form<Login>, actix_web::Error>,
) -> HttpResponse {
    let Ok(Form(login)) = login else {
        return form(
            &view,
            StatusCode::UNPROCESSABLE_ENTITY,
            HOME,
            Some("the form could not be read; enter the key again"),
        );
    };
    let next = target(&login.next);
    match admit(&state, &attempts, &request, login.key.trim().as_bytes()).await {
        Ok(cookie) => {
            HttpResponse::SeeOther().insert_header(("Set-Cookie", cookie)).insert_header(("Location", next)).finish()
        }
        Err(error) => {
            let mut response = form(&view, error.status_code(), next, Some(&error.shown()));
            if let Some(seconds) = error.retry_after_s() {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

async fn admit(state: &ApiState, attempts: &Attempts, request: &HttpRequest, key: &[u8]) -> Result<String, Error> {
    if !session::is_of_own_page(request.method(), request.headers()) {
        return Err(Error::PageRefused);
    }
    let (from, now) = (request.peer_addr().map(|address| address.ip().to_canonical()), Instant::now());
    if from.is_some_and(|from| attempts.are_too_many(from, now)) {
        return Err(Error::TooManyAttempts);
    }
    match auth::holder_of(key, state).await {
        Ok(_) => Ok(session::begin(KeyHash::of_any(key), state.store.vault(), is_tls(request))),
        Err(error) => {
            if let (Error::KeyWrong, Some(from)) = (&error, from) {
                attempts.note(from, now);
            }
            Err(error)
        }
    }
}

/// `POST /dashboard/logout`. The session is over on every node, and so is every copy of its cookie.
pub(super) async fn logout(state: Data<ApiState>, request: HttpRequest) -> Result<HttpResponse, Error> {
    if !session::is_of_own_page(request.method(), request.headers()) {
        return Err(Error::PageRefused);
    }
    if let Some(session) = session::of(request.headers(), state.store.vault()) {
        end(&session, &state).await?;
    }
    let mut response = see_other(&format!("{HOME}/login"));
    if let Ok(cookie) = session::end(is_tls(&request)).parse() {
        response.headers_mut().insert(actix_web::http::header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends a session, unless it was ended before: that costs nothing, however often it is asked for.
async fn end(session: &Session, state: &ApiState) -> Result<(), Error> {
    if state.keyring.has_ended(session.id).await == Some(true) {
        return Ok(());
    }
    if !state.store.end_session(session.id, session.ends_at).await? {
        let holder = auth::holder_of_hash(session.key, state).await;
        let who = holder.map_or_else(|_| "a key that is gone".into(), |caller| caller.actor);
        log::warn!(
            "a session of {who} was not ended by its logout: {ENDED_MAX} of this key were within 12 hours, as many as \
             are remembered; look who logs in so often, or revoke the key"
        );
        return Err(Error::SessionGoesOn(ENDED_MAX));
    }
    state.keyring.session_was_ended(session.id, session.ends_at);
    Ok(())
}

/// Whether the browser came by TLS, as far as a proxy says so. Who says it wrongly harms their own session only.
fn is_tls(request: &HttpRequest) -> bool {
    request.connection_info().scheme() == "https"
}

fn see_other(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header(("Location", to)).finish()
}

/// Where to go after the login: a page of the dashboard and nowhere else.
fn target(next: &str) -> &str {
    let rest = next.strip_prefix(HOME).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if rest.is_some() && is_plain && !next.starts_with("/dashboard/log") { next } else { HOME }
}

fn form(view: &View, status: StatusCode, next: &str, error: Option<&str>) -> HttpResponse {
    let body = html! {
        form.card.narrow.login method="post" action="/dashboard/login" {
            p { "Log in with an API key: one that the service is configured with, or one made by "
                code { "automagik-spark keys create" } "." }
            input type="hidden" name="next" value=(next);
            label.field {
                span { "API key" }
                input type="password" name="key" required autofocus autocomplete="current-password"
                    aria-invalid=[error.map(|_| "true")] aria-describedby="key-error";
                span #key-error.error role="alert" { @if let Some(error) = error { (error) } }
            }
            button.primary type="submit" { "Log in" }
        }
    };
    view.respond(status, Section::None, "Log in", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_the_dashboard_only() {
        for good in ["/dashboard", "/dashboard/tasks/1?x=%20y", "/dashboard?hours=24"] {
            assert_eq!(target(good), good);
        }
        for bad in
            ["", "/", "//evil.example", "/dashboardx", "https://e/dashboard", "/dashboard/\\e", "/dashboard/\r\nX: y"]
        {
            assert_eq!(target(bad), HOME, "{bad:?}");
        }
        assert_eq!(target("/dashboard/logout"), HOME);
    }

    #[test]
    fn wrong_keys_are_counted_for_a_minute() {
        let (attempts, from, now) = (Attempts::default(), IpAddr::from([192, 0, 2, 1]), Instant::now());
        for _ in 0..WRONG_MAX {
            assert!(!attempts.are_too_many(from, now));
            attempts.note(from, now);
        }
        assert!(attempts.are_too_many(from, now) && !attempts.are_too_many(IpAddr::from([192, 0, 2, 2]), now));
        assert!(!attempts.are_too_many(from, now + PERIOD));
        attempts.note(from, now + PERIOD);
        assert!(!attempts.are_too_many(from, now + PERIOD));
        let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
        for host in 0..WRONG_MAX {
            attempts.note(v6(&format!("2001:db8:1:2::{host:x}")), now);
        }
        assert!(attempts.are_too_many(v6("2001:db8:1:2:ffff::1"), now));
        assert!(!attempts.are_too_many(v6("2001:db8:1:3::1"), now));
    }
}
