//! The sources' keys as a whole: which of them can be opened, and sealing them anew under another encryption key.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Seal, Store, Vault};

/// How the sources' keys are sealed. Sources without a key are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedKeys {
    /// How many are sealed with the configured key.
    pub own: usize,
    /// The sources whose key is sealed with the one that the Python service uses when none is set.
    pub well_known: Vec<String>,
    /// The sources whose key can't be opened.
    pub foreign: Vec<String>,
    /// How many of `own` were sealed anew just now.
    pub resealed: usize,
}

const ALL: &str = "SELECT id, coalesce(nullif(name, '') || ' (' || url || ')', url), encrypted_api_key \
     FROM workflow_sources WHERE encrypted_api_key <> '' ORDER BY created_at, id";
/// Only if nobody gave the source another key meanwhile.
const RESEAL: &str = "UPDATE workflow_sources SET encrypted_api_key = $2 WHERE id = $1 AND encrypted_api_key = $3";

struct SealedKey {
    source: Uuid,
    name: String,
    stored: String,
}

impl SealedKeys {
    /// What an operator should know, a line each: names of sources, never keys.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.well_known.is_empty() {
            lines.push(format!(
                "the API keys of {} source(s) are encrypted with the key that the Python service uses when none is set, \
                 which everybody knows: {}; run `automagik-spark db rekey`",
                self.well_known.len(),
                self.well_known.join(", ")
            ));
        }
        if !self.foreign.is_empty() {
            lines.push(format!(
                "the API keys of {} source(s) can't be decrypted with the configured encryption key: {}; set \
                 AUTOMAGIK_SPARK_ENCRYPTION_KEY to the former key, or run `automagik-spark db rekey --old-key -`, or \
                 give each its key again with `automagik-spark sources update NAME --api-key -`",
                self.foreign.len(),
                self.foreign.join(", ")
            ));
        }
        lines
    }
}

impl Store {
    /// How the sources' keys are sealed.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn sealed_keys(&self) -> Result<SealedKeys, Error> {
        let mut found = SealedKeys::default();
        for key in self.all_sealed_keys().await? {
            match self.vault.seal_of(&key.stored) {
                Seal::Own => found.own += 1,
                Seal::WellKnown => found.well_known.push(key.name),
                Seal::Foreign => found.foreign.push(key.name),
            }
        }
        Ok(found)
    }

    /// Seals with the configured key what is sealed with another one that is known: one of `former`, or the Python
    /// service's. May be repeated.
    ///
    /// # Errors
    /// The database can't be reached; what was sealed until then is.
    pub async fn reseal_keys(&self, former: &[Vault]) -> Result<SealedKeys, Error> {
        let mut resealed = 0;
        for key in self.all_sealed_keys().await? {
            if self.vault.seal_of(&key.stored) == Seal::Own {
                continue;
            }
            let opened = std::iter::once(&self.vault).chain(former).find_map(|vault| vault.decrypt(&key.stored).ok());
            let Some(secret) = opened else { continue };
            let sealed = self.vault.encrypt(&secret);
            let changed = self.run(move |connection| async move {
                let parameters =
                    [(&key.source as _, Type::UUID), (&sealed as _, Type::TEXT), (&key.stored as _, Type::TEXT)];
                Ok(connection.execute_typed(RESEAL, &parameters).await?)
            });
            resealed += usize::from(changed.await? == 1);
        }
        Ok(SealedKeys { resealed, ..self.sealed_keys().await? })
    }

    async fn all_sealed_keys(&self) -> Result<Vec<SealedKey>, Error> {
        self.run(|connection| async move {
            let rows = connection.query_typed(ALL, &[]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(SealedKey { source: row.try_get(0)?, name: row.try_get(1)?, stored: row.try_get(2)? })
            };
            rows.iter().map(read).collect()
        })
        .await
    }
}
