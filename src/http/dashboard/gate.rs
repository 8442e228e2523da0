//! What every page passes through: who asks, what a browser may do with the answer, and errors as pages.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use maud::html;

use super::super::auth;
use super::super::error::Error;
use super::super::state::ApiState;
use super::HOME;
use super::view::{Section, View};

/// Nothing but what this address serves, nothing inline, no frames, no forms to anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Middleware: lets those pass who have a session, or who need none; sends the others to the login.
pub(super) async fn require_session(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, actix_web::Error> {
    let Some(state) = request.app_data::<web::Data<ApiState>>().cloned() else {
        return Err(Error::NotFound("Page").into());
    };
    match auth::authenticate(&request, &state).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(Error::KeyMissing | Error::KeyWrong) => {
            let to =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &wanted(&request)).finish();
            let login = HttpResponse::SeeOther().insert_header(("Location", format!("{HOME}/login?{to}"))).finish();
            Ok(request.into_response(login).map_into_right_body())
        }
        Err(error) => {
            let page = refusal(request.request(), &error);
            Ok(request.into_response(page).map_into_right_body())
        }
    }
}

fn wanted(request: &ServiceRequest) -> String {
    request.uri().path_and_query().map_or(HOME, |path| path.as_str()).to_owned()
}

/// Middleware: shows errors as pages, and marks every answer.
pub(super) async fn dress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let response = next.call(request).await?;
    let (request, response) = response.into_parts();
    let page = response.error().and_then(|error| error.as_error::<Error>()).map(|error| refusal(&request, error));
    let mut response = page.unwrap_or_else(|| response.map_into_boxed_body());
    mark(response.headers_mut());
    Ok(ServiceResponse::new(request, response))
}

/// What pages say beyond what `harden.rs` says of every answer. Their own address is told to it, and nobody else's:
/// without any, browsers hide the origin of a form over plain HTTP, and the login could not tell its own page.
fn mark(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// An error as a page.
fn refusal(request: &HttpRequest, error: &Error) -> HttpResponse {
    use actix_web::ResponseError;
    let answer = error.error_response();
    let status = answer.status();
    let body = html! {
        section.card.narrow {
            h2 { (title(status)) }
            @match error {
                Error::Invalid(problems) => ul { @for problem in problems { li { (problem.msg) } } }
                error => p { (error.shown()) }
            }
            p { a href=(HOME) { "To the overview" } }
        }
    };
    let mut page = View::of(request).respond(status, Section::None, title(status), body);
    if let Some(retry) = answer.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, retry.clone());
    }
    page
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::SERVICE_UNAVAILABLE => "Not available right now",
        StatusCode::UNPROCESSABLE_ENTITY => "That can't be used",
        _ => "That did not work",
    }
}

/// A path below the dashboard's that is no page.
pub(super) async fn no_such_page() -> Result<HttpResponse, Error> {
    Err(Error::NotFound("Page"))
}
