//! What the vault has sealed, as a whole: the keys of sources and the secrets of notifications. Which of them can be
//! opened, and sealing them anew under another encryption key.

use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use super::{Error, Seal, Store, Vault, pool};

/// How the keys of sources and the secrets of notifications are sealed. Who has none is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedKeys {
    /// How many are sealed with the configured key.
    pub own: usize,
    /// The sources whose key is sealed with the one that the Python service uses when none is set.
    pub well_known: Vec<String>,
    /// The sources whose key can't be opened.
    pub foreign: Vec<String>,
    /// The notifications whose secret can't be opened.
    pub foreign_notifications: Vec<String>,
    /// How many of `own` were sealed anew just now.
    pub resealed: usize,
}

/// Who has a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Source,
    Notification,
}

impl Holder {
    const ALL: [Self; 2] = [Self::Source, Self::Notification];

    /// Id, name and sealed form of each.
    fn all(self) -> &'static str {
        match self {
            Self::Source => {
                "SELECT id, coalesce(nullif(name, '') || ' (' || url || ')', url), encrypted_api_key
                   FROM workflow_sources WHERE encrypted_api_key <> '' ORDER BY created_at, id"
            }
            Self::Notification => {
                "SELECT id, name, encrypted_secret
                   FROM notifications WHERE encrypted_secret <> '' ORDER BY created_at, id"
            }
        }
    }

    /// Gives some of them another sealed form.
    fn write(self) -> &'static str {
        match self {
            Self::Source => {
                "UPDATE workflow_sources s SET encrypted_api_key = new.sealed
                   FROM unnest($1::uuid[], $2::text[]) AS new (id, sealed) WHERE s.id = new.id"
            }
            Self::Notification => {
                "UPDATE notifications n SET encrypted_secret = new.sealed
                   FROM unnest($1::uuid[], $2::text[]) AS new (id, sealed) WHERE n.id = new.id"
            }
        }
    }
}

struct SealedKey {
    holder: Holder,
    id: Uuid,
    name: String,
    stored: String,
}

impl SealedKeys {
    fn note(&mut self, seal: Seal, key: SealedKey) {
        match (seal, key.holder) {
            (Seal::Own, _) => self.own += 1,
            (Seal::WellKnown, Holder::Source) => self.well_known.push(key.name),
            (Seal::Foreign, Holder::Source) => self.foreign.push(key.name),
            // No Python service has sealed one, so that is none of its key's either.
            (Seal::WellKnown | Seal::Foreign, Holder::Notification) => self.foreign_notifications.push(key.name),
        }
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.own + self.well_known.len() + self.foreign.len() + self.foreign_notifications.len()
    }

    /// What an operator should know, a line each: names of sources and notifications, never secrets.
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
        let mut unreadable = |what: &str, names: &[String], again: &str| {
            if !names.is_empty() {
                lines.push(format!(
                    "the {what} of {} can't be decrypted with the configured encryption key: {}; set \
                     AUTOMAGIK_SPARK_ENCRYPTION_KEY to the former key, or run `automagik-spark db rekey --old-key -`, or \
                     give each its own again with `automagik-spark {again} -`",
                    names.len(),
                    names.join(", ")
                ));
            }
        };
        unreadable("API keys of sources", &self.foreign, "sources update NAME --api-key");
        unreadable("secrets of notifications", &self.foreign_notifications, "notifications update NAME --secret");
        lines
    }
}

impl Store {
    /// How the keys of sources and the secrets of notifications are sealed.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn sealed_keys(&self) -> Result<SealedKeys, Error> {
        let vault = self.vault.clone();
        self.run(move |connection| async move {
            let mut found = SealedKeys::default();
            for key in all(&**connection, "").await? {
                found.note(vault.seal_of(&key.stored), key);
            }
            Ok(found)
        })
        .await
    }

    /// Seals with the configured key what is sealed with another one that is known: one of `former`, or the Python
    /// service's. All of it or, where that fails, nothing; it may be repeated.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn reseal_keys(&self, former: Vec<Vault>) -> Result<SealedKeys, Error> {
        let vault = self.vault.clone();
        self.run(move |mut connection| async move {
            let transaction = pool::begin(&mut connection).await?;
            let mut found = SealedKeys::default();
            let mut anew = Vec::new();
            // Nobody gives one of them another secret meanwhile.
            for key in all(&transaction, " FOR UPDATE").await? {
                let seal = vault.seal_of(&key.stored);
                let opened = std::iter::once(&vault).chain(&former).find_map(|vault| vault.decrypt(&key.stored).ok());
                match opened.filter(|_| seal != Seal::Own) {
                    Some(secret) => anew.push((key.holder, key.id, vault.encrypt(&secret))),
                    None => found.note(seal, key),
                }
            }
            found.resealed = anew.len();
            found.own += anew.len();
            for holder in Holder::ALL {
                let of_it = anew.iter().filter(|(of, ..)| *of == holder);
                let (ids, sealed): (Vec<Uuid>, Vec<&str>) = of_it.map(|(_, id, sealed)| (*id, sealed.as_str())).unzip();
                let parameters = [(&ids as _, Type::UUID_ARRAY), (&sealed as _, Type::TEXT_ARRAY)];
                transaction.execute_typed(holder.write(), &parameters).await?;
            }
            transaction.commit().await?;
            Ok(found)
        })
        .await
    }
}

async fn all(client: &impl GenericClient, lock: &str) -> Result<Vec<SealedKey>, Error> {
    let mut keys = Vec::new();
    for holder in Holder::ALL {
        let read = |row: &Row| {
            Ok::<_, Error>(SealedKey { holder, id: row.try_get(0)?, name: row.try_get(1)?, stored: row.try_get(2)? })
        };
        let rows = client.query_typed(&format!("{}{lock}", holder.all()), &[]).await?;
        keys.extend(rows.iter().map(read).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(keys)
}
