//! The frame of every page, and what a page knows of who looks at it.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::super::auth::Caller;
use super::super::error::Error;
use super::super::{policy, session};
use super::asset::{ICON, SCRIPT, STYLE};
use crate::domain::clock;

const THEME_COOKIE: &str = "spark_theme";

/// The part of the dashboard that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    None,
    Overview,
    Tasks,
    Schedules,
    Workflows,
    Sources,
    Audit,
}

/// What stands in the navigation: the section, its address, its name, its mark, and the key that follows `g`.
const SECTIONS: &[(Section, &str, &str, &str, &str)] = &[
    (Section::Overview, "/dashboard", "Overview", "M4 13h6V4H4zm0 7h6v-5H4zm10 0h6v-9h-6zm0-16v5h6V4z", "o"),
    (
        Section::Tasks,
        "/dashboard/tasks",
        "Tasks",
        "M4 6h2v2H4zm5 0h11v2H9zM4 11h2v2H4zm5 0h11v2H9zM4 16h2v2H4zm5 0h11v2H9z",
        "t",
    ),
    (
        Section::Schedules,
        "/dashboard/schedules",
        "Schedules",
        "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2a7 7 0 1 1 0 14 7 7 0 0 1 0-14zm-1 2v6l4.5 2.7 1-1.7-3.5-2V7z",
        "s",
    ),
    (
        Section::Workflows,
        "/dashboard/workflows",
        "Workflows",
        "M4 4h6v6H4zm10 10h6v6h-6zM7 11v4a2 2 0 0 0 2 2h4v-2H9v-4zm10 2V9a2 2 0 0 0-2-2h-4v2h4v4z",
        "w",
    ),
    (Section::Sources, "/dashboard/sources", "Sources", "M4 4h16v7H4zm0 9h16v7H4zm3-6v2h2V7zm0 9v2h2v-2z", "c"),
    (Section::Audit, "/dashboard/audit", "Audit", "M6 3h9l4 4v14H6zm2 2v14h9V8h-3V5zm1 5h7v2H9zm0 4h7v2H9z", "a"),
];

/// Who looks, when, and how they like it.
pub(super) struct View {
    /// Who; nobody on an open page.
    pub(super) caller: Option<Caller>,
    /// The time of the page.
    pub(super) now: DateTime<Utc>,
    theme: Option<&'static str>,
}

impl View {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let theme = match session::cookie_of(request.headers(), THEME_COOKIE) {
            Some("dark") => Some("dark"),
            Some("light") => Some("light"),
            _ => None,
        };
        Self { caller: request.extensions().get::<Caller>().cloned(), now: clock::now(), theme }
    }

    /// Whether whoever looks may carry out an operation of the API; what they may not is not offered.
    pub(super) fn may(&self, method: &str, path: &str) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.may(method, path))
    }

    /// Refuses whoever may not carry out an operation of the API; what it would show is not shown here either.
    pub(super) fn require(&self, method: &str, path: &str) -> Result<(), Error> {
        let caller = self.caller.as_ref().ok_or(Error::KeyMissing)?;
        caller.require(policy::find(method, path).ok_or(Error::NotFound("Page"))?)
    }

    /// Whether a section is offered: all but one are open to everybody who may look.
    fn offers(&self, section: Section) -> bool {
        section != Section::Audit || self.may("GET", "/api/v1/audit")
    }

    /// A page that was found.
    pub(super) fn page(&self, section: Section, title: &str, body: Markup) -> HttpResponse {
        self.respond(StatusCode::OK, section, title, body)
    }

    /// A page in its frame.
    pub(super) fn respond(&self, status: StatusCode, section: Section, title: &str, body: Markup) -> HttpResponse {
        let page = html! {
            (DOCTYPE)
            html lang="en" data-theme=[self.theme] {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · Spark" }
                    link rel="icon" href=(ICON.href()) type="image/svg+xml";
                    link rel="stylesheet" href=(STYLE.href());
                    script src=(SCRIPT.href()) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    @if self.caller.is_some() { (self.navigation(section)) }
                    div.stage {
                        header.top {
                            h1 { (title) }
                            div.tools {
                                span #live.live hidden title="Changes show by themselves" { span.dot {} span.word { "live" } }
                                button.icon type="button" data-theme-switch aria-label="Switch between dark and light" {
                                    (mark("M12 3a9 9 0 1 0 9 9c0-.5 0-1-.1-1.4A5.5 5.5 0 0 1 13.4 3.1 9 9 0 0 0 12 3z"))
                                }
                                button.icon type="button" data-help aria-label="Keyboard shortcuts" {
                                    (mark("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm1 14h-2v-2h2zm1.6-6.3-.9.9c-.5.5-.7 1-.7 2.4h-2c0-1.9.4-2.6 1.2-3.4l1.2-1.2a1.5 1.5 0 1 0-2.4-1.2H9a3 3 0 1 1 5.6 1.5z"))
                                }
                            }
                        }
                        noscript { p.note.warn { "Changes, live updates and previews need JavaScript in this browser." } }
                        main #main tabindex="-1" { (body) }
                    }
                    div #toasts aria-live="polite" {}
                    (help(self))
                }
            }
        };
        HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.into_string())
    }

    fn navigation(&self, here: Section) -> Markup {
        html! {
            nav.side aria-label="Sections" {
                a.brand href="/dashboard" { (mark("M13 2 5 14h6l-1 8 9-13h-6z")) span { "Spark" } }
                ul {
                    @for (section, href, name, path, key) in SECTIONS.iter().filter(|(section, ..)| self.offers(*section)) {
                        li {
                            a href=(href) data-go=(key) aria-current=[(*section == here).then_some("page")] {
                                (mark(path)) span { (name) }
                            }
                        }
                    }
                }
                (self.who())
            }
        }
    }

    /// Who looks, and the way out. It stands beside the pages, and on a phone in the help.
    fn who(&self) -> Markup {
        html! {
            div.who {
                a href="/api/v1/docs" { "API" }
                @if let Some(caller) = &self.caller {
                    span.muted title={ "scope: " (caller.scope) } { (caller.actor) }
                    @if !caller.is_anonymous() {
                        form method="post" action="/dashboard/logout" { button.link type="submit" { "Log out" } }
                    }
                }
            }
        }
    }
}

impl FromRequest for View {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// A small picture that says nothing a word beside it does not.
fn mark(path: &str) -> Markup {
    html! { svg.mark viewBox="0 0 24 24" aria-hidden="true" focusable="false" { path d=(path) {} } }
}

fn help(view: &View) -> Markup {
    let keys = [("/", "search"), ("n", "new"), ("?", "this help"), ("Esc", "close")];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keyboard" }
            dl.keys {
                @for (_, _, name, _, key) in SECTIONS.iter().filter(|(section, ..)| view.offers(*section)) {
                    div { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } }
                }
                @for (key, what) in keys { div { dt { kbd { (key) } } dd { (what) } } }
            }
            @if view.caller.is_some() { (view.who()) }
            form method="dialog" { button type="submit" { "Close" } }
        }
        dialog #ask aria-labelledby="ask-text" {
            p #ask-text {}
            form method="dialog" {
                button type="submit" value="no" autofocus { "No" }
                button.danger type="submit" value="yes" { "Yes" }
            }
        }
    }
}
