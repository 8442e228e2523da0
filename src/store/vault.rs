//! Encryption at rest of the sources' API keys: Fernet, with the key and the form of Python automagik-spark, so that
//! its rows are read as they are.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use fernet::Fernet;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};

use super::Error;
use crate::domain::source::Secret;

/// The key that the Python service falls back to when none is set. Everybody has it; it opens, and never seals.
const WELL_KNOWN: &str = "5aQaTalKCAOAgOPFV_xZrQVzWgE80mseLFW-x_sa06o=";

/// Encrypts and decrypts; cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    own: Fernet,
    well_known: Fernet,
    passes: Fernet,
    marks: Hmac<Sha256>,
}

/// What a pass says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Its text.
    pub text: String,
    /// When it was issued, to the second.
    pub issued_at: DateTime<Utc>,
}

/// What a stored form was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// The vault's key.
    Own,
    /// The key that the Python service uses when none is set.
    WellKnown,
    /// A key that the vault does not have.
    Foreign,
}

impl Vault {
    /// A vault for a Fernet key (base64 of 32 bytes); `None` if it is not one.
    pub fn new(key: &Secret) -> Option<Self> {
        let (own, well_known) = (Fernet::new(key.expose())?, Fernet::new(WELL_KNOWN)?);
        // A key of its own: a secret that is stored here can't be shown as a pass, nor the other way round.
        let derived = |what: &str| Sha256::new().chain_update(what).chain_update(key.expose()).finalize();
        let passes = Fernet::new(&URL_SAFE.encode(derived("spark: passes\0")))?;
        let marks = Hmac::new_from_slice(&derived("spark: marks\0")).ok()?;
        Some(Self(Arc::new(Keys { own, well_known, passes, marks })))
    }

    /// What a stored form was sealed with.
    pub fn seal_of(&self, stored: &str) -> Seal {
        if self.0.own.decrypt(stored).is_ok() {
            Seal::Own
        } else if self.0.well_known.decrypt(stored).is_ok() {
            Seal::WellKnown
        } else {
            Seal::Foreign
        }
    }

    /// The stored form.
    pub fn encrypt(&self, secret: &Secret) -> String {
        self.0.own.encrypt(secret.expose().as_bytes())
    }

    /// A pass: a text that its bearer can neither read nor change, and that opens for a limited time.
    pub fn issue_pass(&self, text: &str) -> String {
        self.0.passes.encrypt(text.as_bytes())
    }

    /// What a pass says that is not older than this; `None` of anything else.
    pub fn open_pass(&self, pass: &str, max_age: Duration) -> Option<Pass> {
        let text = self.0.passes.decrypt_with_ttl(pass, max_age.as_secs()).ok()?;
        // A Fernet token begins with its version and the seconds since 1970, and both are sealed with it.
        let head = URL_SAFE_NO_PAD.decode(pass.get(..12)?).ok()?;
        let seconds = i64::from_be_bytes(head.get(1..9)?.try_into().ok()?);
        Some(Pass { text: String::from_utf8(text).ok()?, issued_at: DateTime::from_timestamp(seconds, 0)? })
    }

    /// A mark by which the same thing is known again, and that tells nothing of it to who does not have the vault's key.
    pub fn mark_of(&self, thing: &[u8]) -> [u8; 32] {
        self.0.marks.clone().chain_update(thing).finalize().into_bytes().into()
    }

    /// The secret of a stored form.
    ///
    /// # Errors
    /// It was encrypted with another key.
    pub fn decrypt(&self, stored: &str) -> Result<Secret, Error> {
        let opened = self.0.own.decrypt(stored).or_else(|_| self.0.well_known.decrypt(stored));
        let bytes = opened.map_err(|_| Error::WrongKey)?;
        String::from_utf8(bytes).map(Secret::new).map_err(|_| Error::WrongKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    #[test]
    fn a_mark_is_the_same_for_the_same_thing_and_key_only() {
        let vault = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let other = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        assert_eq!(vault.mark_of(b"a"), vault.clone().mark_of(b"a"));
        assert_ne!(vault.mark_of(b"a"), vault.mark_of(b"b"));
        assert_ne!(vault.mark_of(b"a"), other.mark_of(b"a"));
    }

    #[test]
    fn a_token_of_the_python_service_is_read() {
        // Made by Python's cryptography: Fernet(key).encrypt(b"sk-secret").
        let key = Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let token =
            "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD05DdKNwGVm-SZWoTsLRP7cWGSb0sh2f7ZZizLBzSu-YatDp_0pm6TuSR6AjN5h9Ug==";
        let vault = Vault::new(&key).expect("a Fernet key");
        assert_eq!(vault.decrypt(token).expect("decrypts").expose(), "sk-secret");
    }

    #[test]
    fn what_the_python_service_sealed_without_a_key_is_read_and_told_from_what_is_safe() {
        let python = Vault::new(&Secret::new(WELL_KNOWN)).expect("a Fernet key").encrypt(&Secret::new("sk-python"));
        let vault = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        assert_eq!(vault.decrypt(&python).expect("decrypts").expose(), "sk-python");
        let own = vault.encrypt(&Secret::new("sk"));
        assert_eq!(
            [own.as_str(), &python, "x"].map(|stored| vault.seal_of(stored)),
            [Seal::Own, Seal::WellKnown, Seal::Foreign]
        );
    }

    #[test]
    fn a_pass_opens_for_its_time_and_is_no_stored_secret() {
        let vault = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let other = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let (hour, pass) = (Duration::from_secs(3600), vault.issue_pass("who"));
        let opened = vault.open_pass(&pass, hour).expect("a pass");
        assert_eq!(opened.text, "who");
        let age = clock::now() - opened.issued_at;
        assert!(age >= chrono::TimeDelta::zero() && age < chrono::TimeDelta::minutes(1), "{age}");
        assert_eq!(other.open_pass(&pass, hour), None);
        assert!(vault.decrypt(&pass).is_err());
        assert_eq!(vault.open_pass(&vault.encrypt(&Secret::new("who")), hour), None);
        // Issued in September 2001.
        let vault = Vault::new(&Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")).expect("a Fernet key");
        let old = "gAAAAAA7msoAAAECAwQFBgcICQoLDA0ODwQNOsfqwUYE_uP4Xb62btl63dl0\
                   7kUpYQ0tjA3mymPgLu7SuFbGHqfhadFafa5ZgQ==";
        assert_eq!(vault.open_pass(old, hour), None);
        let issued_at = DateTime::from_timestamp(1_000_000_000, 0).expect("an instant");
        let text = "who".to_owned();
        assert_eq!(vault.open_pass(old, hour * 1_000_000), Some(Pass { text, issued_at }));
    }

    #[test]
    fn another_key_is_an_error_and_not_a_wrong_secret() {
        let one = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let other = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let stored = one.encrypt(&Secret::new("sk-secret"));
        assert!(!stored.contains("sk-secret"));
        assert_eq!(one.decrypt(&stored).expect("decrypts").expose(), "sk-secret");
        assert!(matches!(other.decrypt(&stored), Err(Error::WrongKey)));
    }
}
