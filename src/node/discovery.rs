//! Looks for sources on this machine, once, at the start of a node (`discovery = true`).
//!
//! Only servers that need no key can be added: Spark has no key of theirs, and does not guess one.

use std::time::Duration;

use crate::domain::adapter::Adapters;
use crate::domain::limit::Limits;
use crate::domain::source::{Endpoint, Secret, SourceKind, Trust};
use crate::domain::workflow::UnknownPolicy;
use crate::sources::{self, Error, HttpClient};
use crate::store::Store;
use crate::store::source::{SourceDraft, Stored};

/// Where the servers listen that were installed as their projects say.
pub const WELL_KNOWN: [(SourceKind, u16); 3] =
    [(SourceKind::Langflow, 7860), (SourceKind::AutomagikHive, 8886), (SourceKind::AutomagikAgents, 8881)];
/// How long a server may take to say who it is.
const LIMIT: Duration = Duration::from_secs(5);

/// Adds the servers that are found at these ports of this machine and not known yet. What goes wrong is logged: nobody
/// waits for it.
pub async fn discover(store: Store, http: HttpClient, ports: Vec<(SourceKind, u16)>) {
    for (kind, port) in ports {
        let url = format!("http://localhost:{port}");
        match look(&store, &http, kind, &url).await {
            Ok(true) => log::info!("discovered {kind} at {url} and added it as a source"),
            Ok(false) => log::debug!("discovery: {url} is a source already"),
            Err(Trouble::Source(Error::Unauthorized(_))) => log::info!(
                "discovered {kind} at {url}, which needs a key: \
                 automagik-spark sources add --type {kind} --url {url} --api-key KEY"
            ),
            Err(Trouble::Source(error)) => log::debug!("discovery: no {kind} at {url}: {error}"),
            Err(Trouble::Store(error)) => log::warn!("discovery: {url} could not be looked up or added: {error}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Source(#[from] Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

/// Whether the server was added.
async fn look(store: &Store, http: &HttpClient, kind: SourceKind, url: &str) -> Result<bool, Trouble> {
    for known in [url.to_owned(), url.replace("localhost", "127.0.0.1")] {
        if store.source_by_url(known).await?.is_some() {
            return Ok(false);
        }
    }
    let endpoint =
        Endpoint { kind, url: url.to_owned(), api_key: Secret::default(), adapter: None, trust: Trust::default() };
    let source = sources::connect(endpoint, http.clone(), &Adapters::default())?;
    let silence = |_| Error::Unreachable(format!("no answer within {} s", LIMIT.as_secs()));
    let version = tokio::time::timeout(LIMIT, source.validate()).await.map_err(silence)??;
    let draft = SourceDraft {
        limits: Limits::default(),
        name: format!("local {kind}"),
        kind,
        url: url.to_owned(),
        adapter: None,
        api_key: None,
        active: true,
        version_info: Some(version.to_string()),
        tls_verify: true,
        tls_ca: None,
        unknown_policy: UnknownPolicy::default(),
    };
    Ok(matches!(store.add_source(draft).await?, Stored::Done(_)))
}
