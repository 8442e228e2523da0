//! What every answer says to browsers and caches, whoever made it.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;

/// Answers that are no page load nothing, whatever a browser takes them for.
const OF_DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Pages load what comes from here only. Swagger UI writes styles into its page and has pictures in its styles.
const OF_PAGES: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

/// Middleware: adds what an answer does not say itself.
pub(super) async fn harden(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    mark(response.headers_mut());
    Ok(response)
}

fn mark(headers: &mut HeaderMap) {
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if is_page { OF_PAGES } else { OF_DATA };
    let said: [(HeaderName, HeaderValue); 5] = [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // For browsers that don't know frame-ancestors.
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (CONTENT_SECURITY_POLICY, policy),
        // Answers hold what a key opens: no cache may keep one for whoever comes next.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    for (name, value) in said {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says_itself_stands() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        mark(&mut headers);
        assert_eq!(headers.get(CACHE_CONTROL), Some(&HeaderValue::from_static("max-age=60")));
        assert_eq!(headers.get(CONTENT_SECURITY_POLICY), Some(&OF_PAGES));
        let mut headers = HeaderMap::new();
        mark(&mut headers);
        assert_eq!(headers.get(CONTENT_SECURITY_POLICY), Some(&OF_DATA));
        assert_eq!(headers.len(), 5);
    }
}
