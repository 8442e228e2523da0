//! A service whose every secret can be recognised, and a source that tells whatever it was sent.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use url::Url;

use crate::harness::stage::{API_KEY, Stage};
use crate::langflow::scripted::{Scripted, http};

/// The key of the source, with characters that have other forms in urls and in JSON.
pub(super) const SOURCE_KEY: &str = "sk-source/7f\"2d+recognisable";
/// 32 characters, as the Python service takes them.
pub(super) const ENCRYPTION_KEY: &str = "an-encryption-key-one-recognises";
/// What a notification signs with.
pub(super) const WEBHOOK_SECRET: &str = "whsec_cmVjb2duaXNhYmxlLXdlYmhvb2stc2VjcmV0LTAx";
/// A key that somebody tries.
pub(super) const WRONG_KEY: &str = "a-wrong-key-one-recognises";

/// What must be found nowhere: each secret by its name.
pub(super) struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    pub(super) fn of(stage: &Stage) -> Self {
        let password = |url: &str| Url::parse(url).unwrap().password().unwrap().to_owned();
        let percent: String = url::form_urlencoded::byte_serialize(SOURCE_KEY.as_bytes()).collect();
        let secrets = [
            ("the API key", API_KEY.to_owned()),
            ("a wrong API key", WRONG_KEY.to_owned()),
            ("the database's password", password(&stage.servers.service_url)),
            ("Redis' password", password(&stage.servers.redis_url)),
            ("the encryption key", ENCRYPTION_KEY.to_owned()),
            ("the encryption key in base64", URL_SAFE.encode(ENCRYPTION_KEY)),
            ("the source's key", SOURCE_KEY.to_owned()),
            ("the source's key in a url", percent),
            ("the source's key in JSON", SOURCE_KEY.replace('"', "\\\"")),
            ("the webhook's secret", WEBHOOK_SECRET.to_owned()),
            ("the webhook's secret, raw", "recognisable-webhook-secret".to_owned()),
        ];
        assert!(secrets.iter().all(|(_, secret)| secret.len() > 15), "{secrets:?}");
        Self(secrets.into())
    }

    /// Fails if a text holds one of them.
    #[track_caller]
    pub(super) fn assert_not_in(&self, place: &str, text: &[u8]) {
        for (name, secret) in &self.0 {
            let at = text.windows(secret.len()).position(|window| window == secret.as_bytes());
            let near = at.map(|at| String::from_utf8_lossy(&text[at.saturating_sub(200)..at]).into_owned());
            assert_eq!(near, None, "{name} is in {place}, after this");
        }
    }
}

/// The secrets of a service, in `.env` of the stage's directory, where only its owner can read them.
pub(super) fn write_dotenv(stage: &Stage) {
    let path = stage.directory().join(".env");
    let text = format!(
        "AUTOMAGIK_SPARK_API_KEY={API_KEY}\nAUTOMAGIK_SPARK_DATABASE_URL={}\nAUTOMAGIK_SPARK_CELERY_BROKER_URL={}\n\
         AUTOMAGIK_SPARK_ENCRYPTION_KEY={ENCRYPTION_KEY}\n",
        stage.servers.service_url, stage.servers.redis_url
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

/// A service that logs all it can, with its secrets in `.env` and nowhere else; and the file that has its stdout.
pub(super) fn serve(stage: &Stage, settings: &[(&str, &str)]) -> (Command, PathBuf) {
    write_dotenv(stage);
    let stdout = stage.directory().join("stdout");
    let mut command = stage.serve(&[&[("log.level", "trace")], settings].concat());
    for name in ["AUTOMAGIK_SPARK_API_KEY", "AUTOMAGIK_SPARK_DATABASE_URL", "AUTOMAGIK_SPARK_CELERY_BROKER_URL"] {
        command.env_remove(name);
    }
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").stdout(File::create(&stdout).unwrap());
    (command, stdout)
}

/// A source that fails, or not, as its input says, each time telling all that it was sent, the key with it.
pub(super) fn telltale() -> Scripted {
    Scripted::answering(|_, request| {
        let key = request.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default().to_owned();
        let percent: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        let json = "content-type: application/json\r\n";
        if request.starts_with("OPTIONS") {
            http("200 OK", "", "")
        } else if request.contains("as a redirect") {
            http("307 Temporary Redirect", &format!("location: /moved/{percent}?key={percent}\r\n"), "")
        } else if request.contains("as a result") {
            http("200 OK", json, &serde_json::json!({ "result": request }).to_string())
        } else if request.contains("as a failure of its own") {
            http("503 Service Unavailable", "", &format!("<html>{request}</html>"))
        } else {
            http("401 Unauthorized", json, &serde_json::json!({ "detail": format!("{key}: {request}") }).to_string())
        }
    })
}
