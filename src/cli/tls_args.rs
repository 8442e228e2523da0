//! What `sources add` and `sources update` say of the certificate of a source's server.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::Error;

/// How a server with a certificate of its own making is trusted.
#[derive(Args, Debug)]
pub(super) struct TlsArgs {
    /// File with the certificates (PEM) that the server's is checked by: its authority's, or its own; `-` for none again
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// `false` believes any certificate: whoever stands between reads the key
    #[arg(long, value_name = "BOOL")]
    tls_verify: Option<bool>,
}

impl TlsArgs {
    /// Adds what was said to a request's body. The file is read here: the service reads none that a request names.
    pub(super) fn add_to(&self, body: &mut Map<String, Value>) -> Result<(), Error> {
        if let Some(file) = &self.tls_ca {
            let pem = if file.as_os_str() == "-" { Ok(String::new()) } else { std::fs::read_to_string(file) };
            let unread = |error| Error::Usage(format!("--tls-ca {} can't be read: {error}", file.display()));
            body.insert("tls_ca".to_owned(), pem.map_err(unread)?.into());
        }
        if let Some(verify) = self.tls_verify {
            body.insert("tls_verify".to_owned(), verify.into());
        }
        Ok(())
    }
}
