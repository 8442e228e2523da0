//! How a webhook is signed.
//!
//! The form is that of the Standard Webhooks specification (<https://www.standardwebhooks.com>): the headers `webhook-id`,
//! `webhook-timestamp` (seconds since 1970) and `webhook-signature`, which is `v1,` and the base64 of the HMAC-SHA256 of
//! `id.timestamp.body`. A secret is shown as `whsec_` and the base64 of its bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::source::Secret;

/// What a shown secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret may have; the specification says 24 to 64.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How many bytes a new secret has.
pub const FRESH_BYTES: usize = 32;

/// The bytes with which messages are signed; 24 to 64 of them.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Reads a secret as it is shown; none if it is not one.
    pub fn read(secret: &Secret) -> Option<Self> {
        let bytes = STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
        BYTES.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The secret that is made of random bytes, as it is shown.
    pub fn fresh(random: [u8; FRESH_BYTES]) -> Secret {
        Secret::new(format!("{PREFIX}{}", STANDARD.encode(random)))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_message_is_signed_as_the_specification_shows() {
        let key = SigningKey::read(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).expect("a secret");
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for bad in ["", "whsec_", "whsec_short", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "not base64!"] {
            assert!(SigningKey::read(&Secret::new(bad)).is_none(), "{bad}");
        }
        assert!(SigningKey::read(&SigningKey::fresh([7; FRESH_BYTES])).is_some());
    }
}
