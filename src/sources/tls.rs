//! Whose certificates are believed, and what is said of one that is not.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::domain::source::Trust;

/// What a client needs to speak TLS with servers that are trusted so.
pub(super) fn config(trust: &Trust) -> Result<ClientConfig, String> {
    // The provider is named here, so that nothing depends on which one some other part of the process made the default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match trust {
        Trust::Machine => builder.with_root_certificates(machine_roots()).with_no_client_auth(),
        Trust::Only(pem) => {
            let verifier = Arc::new(Only::new(pem, provider)?);
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Trust::Unchecked => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What a client needs that speaks no TLS.
pub(super) fn none() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Whether a text can be what a source's certificates are checked by.
///
/// # Errors
/// What is wrong with it.
pub fn check_certificates(pem: &str) -> Result<(), String> {
    if pem.contains("PRIVATE KEY-----") {
        return Err("holds a private key, which stays on the server: give the certificate alone".to_owned());
    }
    roots_of(&certificates(pem)?).map(drop)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("holds no certificate; it must be PEM: -----BEGIN CERTIFICATE----- and what follows".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn roots_of(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates) {
        let unusable = |error| format!("can't be used: certificate {number}: {error}");
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    Ok(roots)
}

/// The roots that this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` too). Without any, each handshake says so.
fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("a root certificate can't be read: {error}");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Believes certificates that one of these signed, or that is one of these itself. The latter is what an in-house server
/// has that made its own certificate: most tools mark such a one as an authority's, and a server's must not be one.
#[derive(Debug)]
struct Only {
    certificates: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Only {
    fn new(pem: &str, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let certificates = certificates(pem)?;
        let roots = Arc::new(roots_of(&certificates)?);
        let chains = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        Ok(Self { certificates, chains: chains.map_err(|error| error.to_string())? })
    }
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // What was said before this, of its time above all, stands.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if self.certificates.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Believes every certificate, as long as the server has its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong with a server's certificate and what to do, if that is why a call failed.
pub(super) fn complaint(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Error::InvalidCertificate(why)) = error.downcast_ref::<Error>() {
            return Some(explain(why));
        }
        // An IO error's source is not what it holds, but the source of that.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = held.map_or_else(|| error.source(), |held| Some(held));
    }
    None
}

fn explain(why: &CertificateError) -> String {
    match why {
        // A bad signature is what an authority leaves that has a trusted one's name and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it is signed by nobody whom Spark trusts here (an in-house authority, or the server itself?). Give the source \
             the certificate of whoever signed it (tls_ca), or, where it has none, add that to the machine's own and \
             restart Spark"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            "it is for another name than the url's; use the name that it is for, or give the server another".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
            let host = expected.to_str();
            format!(
                "it is for {names}, and the url says {host}; use a url with a name that it is for, or give the server a \
                 certificate for {host}"
            )
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired on {}; the server needs a new one", day(*not_after))
        }
        CertificateError::Expired => "it has expired; the server needs a new one".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}; check the clocks of both machines", day(*not_before))
        }
        CertificateError::Other(why) => format!(
            "it is no server's ({why}). If the server made it itself, give the source that certificate (tls_ca)"
        ),
        other => format!("{other}; give the server another certificate"),
    }
}

fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let day = seconds.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    day.map_or_else(|| "a day that no calendar has".to_owned(), |day| day.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "holds no certificate"),
            ("/etc/ssl/ca.pem", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
            ("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", "is not PEM"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        ] {
            let refusal = check_certificates(text).expect_err("refused");
            assert!(refusal.contains(why), "{text}: {refusal}");
        }
    }

    #[test]
    fn only_errors_of_certificates_are_explained() {
        let of = |error: Error| complaint(&io::Error::other(error));
        assert!(of(CertificateError::UnknownIssuer.into()).is_some_and(|text| text.contains("tls_ca")));
        let expired = CertificateError::ExpiredContext {
            time: UnixTime::since_unix_epoch(std::time::Duration::from_secs(86_400)),
            not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(0)),
        };
        assert!(of(expired.into()).is_some_and(|text| text.contains("1970-01-01")));
        assert_eq!(of(Error::HandshakeNotComplete), None);
        assert_eq!(complaint(&io::Error::other("refused")), None);
    }
}
