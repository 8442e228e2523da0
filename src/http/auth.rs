//! The API key.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{ResponseError, web};
use subtle::{Choice, ConstantTimeEq};

use super::error::Error;
use super::state::ApiState;
use crate::domain::source::Secret;

const HEADER: &str = "X-API-Key";

/// Middleware: lets requests with a key pass, and every request where no key is configured.
pub(super) async fn require_key(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, actix_web::Error> {
    let keys = request.app_data::<web::Data<ApiState>>().map(|state| state.options.api_keys.as_slice());
    match check(request.headers(), keys.unwrap_or_default()) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        // Answered here rather than raised, so that it passes through CORS like every other answer.
        Err(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

/// Whether the headers hold one of the keys.
pub(super) fn check(headers: &HeaderMap, keys: &[Secret]) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let given = headers.get(HEADER).map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    if given.is_empty() {
        return Err(Error::KeyMissing);
    }
    // Every key is compared to its end, so that the time tells nothing of any.
    let fits = keys.iter().fold(Choice::from(0), |fits, key| fits | key.expose().as_bytes().ct_eq(given));
    if bool::from(fits) { Ok(()) } else { Err(Error::KeyWrong) }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn verdict(given: Option<&'static str>, keys: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(HeaderName::from_static("x-api-key"), HeaderValue::from_static(given));
        }
        let keys: Vec<Secret> = keys.iter().copied().map(Secret::new).collect();
        match check(&headers, &keys) {
            Ok(()) => "open",
            Err(Error::KeyMissing) => "missing",
            Err(_) => "wrong",
        }
    }

    #[test]
    fn any_of_the_keys_opens() {
        let keys = ["one", "two"];
        assert_eq!(verdict(Some("one"), &keys), "open");
        assert_eq!(verdict(Some(" two "), &keys), "open");
        for wrong in ["on", "onee", "One", "three"] {
            assert_eq!(verdict(Some(wrong), &keys), "wrong");
        }
        for missing in [None, Some(""), Some(" ")] {
            assert_eq!(verdict(missing, &keys), "missing");
        }
        assert_eq!(verdict(None, &[]), "open");
    }
}
