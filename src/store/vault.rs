//! Encryption at rest of the sources' API keys: Fernet, with the key and the form of Python automagik-spark, so that
//! its rows are read as they are.

use std::sync::Arc;

use fernet::Fernet;

use super::Error;
use crate::domain::source::Secret;

/// Encrypts and decrypts; cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Fernet>);

impl Vault {
    /// A vault for a Fernet key (base64 of 32 bytes); `None` if it is not one.
    pub fn new(key: &Secret) -> Option<Self> {
        Fernet::new(key.expose()).map(|fernet| Self(Arc::new(fernet)))
    }

    /// The stored form.
    pub fn encrypt(&self, secret: &Secret) -> String {
        self.0.encrypt(secret.expose().as_bytes())
    }

    /// The secret of a stored form.
    ///
    /// # Errors
    /// It was encrypted with another key.
    pub fn decrypt(&self, stored: &str) -> Result<Secret, Error> {
        let bytes = self.0.decrypt(stored).map_err(|_| Error::WrongKey)?;
        String::from_utf8(bytes).map(Secret::new).map_err(|_| Error::WrongKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn another_key_is_an_error_and_not_a_wrong_secret() {
        let one = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let other = Vault::new(&Secret::new(Fernet::generate_key())).expect("a Fernet key");
        let stored = one.encrypt(&Secret::new("sk-secret"));
        assert!(!stored.contains("sk-secret"));
        assert_eq!(one.decrypt(&stored).expect("decrypts").expose(), "sk-secret");
        assert!(matches!(other.decrypt(&stored), Err(Error::WrongKey)));
    }
}
