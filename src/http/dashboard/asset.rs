//! The files that pages need besides themselves, part of the program. The address of one names its content, so that a
//! browser keeps it for good and still never mixes two versions.

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::super::error::Error;

/// Characters of the hash that an address has.
const HASH_CHARS: usize = 12;

/// The one style sheet.
pub(super) static STYLE: Asset = Asset::new("css", "text/css; charset=utf-8", include_str!("assets/app.css"));
/// The one script.
pub(super) static SCRIPT: Asset = Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/app.js"));
/// The picture in the browser's tab.
pub(super) static ICON: Asset = Asset::new("svg", "image/svg+xml", include_str!("assets/icon.svg"));

/// A file.
pub(super) struct Asset {
    kind: &'static str,
    content_type: &'static str,
    text: &'static str,
    name: OnceLock<String>,
}

impl Asset {
    const fn new(kind: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self { kind, content_type, text, name: OnceLock::new() }
    }

    fn name(&self) -> &str {
        self.name.get_or_init(|| {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(self.text));
            format!("spark-{}.{}", &hash[..HASH_CHARS], self.kind)
        })
    }

    /// Where it is.
    pub(super) fn href(&self) -> String {
        format!("/dashboard/assets/{}", self.name())
    }
}

/// `/dashboard/assets/{file}`.
pub(super) async fn serve(file: Path<String>) -> Result<HttpResponse, Error> {
    let found = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name() == file.as_str());
    let asset = found.ok_or(Error::NotFound("File"))?;
    Ok(HttpResponse::Ok()
        .content_type(asset.content_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(asset.text))
}
