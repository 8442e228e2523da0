//! Who may do what over the API: scopes, names of keys, and the keys themselves.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::source::Secret;

/// What a key may do; each scope includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything but keys and the audit trail.
    Read,
    /// Also run workflows, and cancel and retry tasks.
    Run,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope, the smallest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Run, Self::Admin];

    /// The scope's name in the database, the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("scope must be read, run or admin")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(ScopeError)
    }
}

/// The name of a key. It has no blanks, so that no key can be called like one of [`CONFIGURED`] and [`ANONYMOUS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KeyName(String);

/// What the audit trail calls whoever used a key of the configuration.
pub const CONFIGURED: &str = "configured key";
/// What the audit trail calls whoever came while no key was asked for.
pub const ANONYMOUS: &str = "anonymous (no key configured)";

/// Why a text is no name of a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a key's name has 1 to 64 characters of a-z, A-Z, 0-9, `_`, `-` and `.`")]
pub struct KeyNameError;

impl KeyName {
    /// The longest name.
    pub const MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(KeyNameError) }
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What every key of ours begins with, so that people and scanners for leaked secrets know one when they see it.
const MARK: &str = "spk_";
/// Random bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Characters of base64 that they make.
const KEY_CHARS: usize = 43;
/// Characters of a key that are stored and shown: the mark and 48 bits, of which 208 are left.
const PREFIX_CHARS: usize = 12;

/// The SHA-256 of a key.
///
/// A key has 256 random bits. Nobody finds one by trying, however fast the hash is, and no two people choose the same;
/// so it needs neither salt nor the slow hash that a password does, and checking it costs a request a microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of what was sent as a key; `None` where it can't be a key of ours, which needs no lookup.
    pub fn of(given: &[u8]) -> Option<Self> {
        let rest = given.strip_prefix(MARK.as_bytes())?;
        let fits =
            rest.len() == KEY_CHARS && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        fits.then(|| Self::of_any(given))
    }

    /// The hash of any key, also of one that the configuration names.
    pub fn of_any(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

/// A key that was just made. Its text is shown once, to whoever asked for it.
#[derive(Debug)]
pub struct FreshKey {
    /// The key.
    pub text: Secret,
    /// Its visible beginning.
    pub prefix: String,
    /// What is stored of it.
    pub hash: KeyHash,
}

impl FreshKey {
    /// The key that these random bytes make.
    pub fn of(bytes: [u8; KEY_BYTES]) -> Self {
        let text = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes));
        let hash = KeyHash(Sha256::digest(text.as_bytes()).into());
        Self { prefix: text.chars().take(PREFIX_CHARS).collect(), hash, text: Secret::new(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_include_the_smaller_ones_and_are_read_back() {
        assert!(Scope::Read < Scope::Run && Scope::Run < Scope::Admin);
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert_eq!("Admin".parse::<Scope>(), Err(ScopeError));
    }

    #[test]
    fn no_key_is_called_like_somebody_else() {
        for good in ["ci", "a.b-c_D9", &"x".repeat(64)] {
            assert!(good.parse::<KeyName>().is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "ü", "a\n", &"x".repeat(65), CONFIGURED, ANONYMOUS] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_only_by_it() {
        let (one, other) = (FreshKey::of([0; 32]), FreshKey::of([0xff; 32]));
        let text = one.text.expose();
        assert_eq!(text.len(), MARK.len() + KEY_CHARS);
        assert_eq!(KeyHash::of(text.as_bytes()), Some(one.hash));
        assert_ne!(one.hash, other.hash);
        assert!(text.starts_with(&one.prefix) && one.prefix.len() == PREFIX_CHARS);
        assert!(!format!("{one:?}").contains(text), "a key is not printed by accident");
    }

    #[test]
    fn what_can_be_no_key_of_ours_is_told_by_its_shape() {
        let text = FreshKey::of([7; 32]).text.expose().to_owned();
        for bad in ["", "spk_", &text[1..], &text[..46], &format!("{text}x"), &text.replace("spk_", "SPK_")] {
            assert_eq!(KeyHash::of(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(KeyHash::of(format!("{}ü", &text[..45]).as_bytes()), None);
    }
}
