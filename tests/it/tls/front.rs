//! A server that speaks TLS before a source that does not, and what it shows of itself.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Year, month, day.
type Day = (i32, u8, u8);

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) pem: String,
    der: CertificateDer<'static>,
    key: Arc<KeyPair>,
}

fn parameters(names: &[&str], (from, until): (Day, Day)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.not_before = date_time_ymd(from.0, from.1, from.2);
    parameters.not_after = date_time_ymd(until.0, until.1, until.2);
    parameters
}

/// What a server shows that asked nobody, until a day; marked as an authority's or not.
pub(crate) fn self_made(names: &[&str], is_marked: bool, until: Day) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let mut parameters = parameters(names, ((2015, 1, 1), until));
    if is_marked {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let certificate = parameters.self_signed(&key).unwrap();
    Certificate { pem: certificate.pem(), der: certificate.der().clone(), key: Arc::new(key) }
}

/// An authority of one's own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = parameters(&[], ((2015, 1, 1), (2999, 1, 1)));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let pem = issuer.pem();
        // As it is stored: with the ends of lines that files have.
        Self { issuer, pem: format!("{}\n", pem.trim().replace("\r\n", "\n")) }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn certify(&self, names: &[&str]) -> Certificate {
        self.certify_for(names, ((2015, 1, 1), (2999, 1, 1)))
    }

    pub(crate) fn certify_until(&self, names: &[&str], until: Day) -> Certificate {
        self.certify_for(names, ((2015, 1, 1), until))
    }

    pub(crate) fn certify_from(&self, names: &[&str], from: Day) -> Certificate {
        self.certify_for(names, (from, (2999, 12, 31)))
    }

    fn certify_for(&self, names: &[&str], span: (Day, Day)) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(names, span).signed_by(&key, &self.issuer).unwrap();
        Certificate { pem: certificate.pem(), der: certificate.der().clone(), key: Arc::new(key) }
    }
}

/// The server; it ends with this.
pub(crate) struct Front {
    port: u16,
    _serving: JoinSet<()>,
}

impl Front {
    /// Listens, and passes on what comes to the server behind it.
    pub(crate) async fn start(upstream: &str, certificate: Certificate) -> Self {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der.clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                connections.spawn(async move {
                    // One that is not believed is hung up on.
                    let Ok(mut secured) = acceptor.accept(stream).await else { return };
                    let Ok(mut behind) = TcpStream::connect(upstream).await else { return };
                    drop(copy_bidirectional(&mut secured, &mut behind).await);
                });
            }
        });
        Self { port, _serving: serving }
    }

    /// Its address by a name of this machine.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }
}
