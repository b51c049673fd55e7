//! Whether a server's certificates are to be trusted: by the public authorities, or, failing that, by a
//! thumbprint that the provider has. The handshake itself goes on in any case, so that all there is to know of
//! a chain can be told.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html>

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_types::Timestamp;
use landfall_wire::certificate::{Certificate, check_order};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::Fault;

/// The most certificates of a chain that are looked at.
const CHAIN_MAX: usize = 16;

/// Whom certificates are trusted from.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Authorities {
    /// The public authorities that browsers trust, and these.
    ///
    /// # Errors
    /// A certificate that is none.
    pub fn public_and(more: &[Vec<u8>]) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (index, der) in more.iter().enumerate() {
            roots
                .add(CertificateDer::from_slice(der))
                .map_err(|error| format!("certificate {} of the bundle: {error}", index + 1))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(Self { roots: Arc::new(roots), provider })
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }
}

/// The certificates of a PEM file, in DER.
///
/// # Errors
/// What is wrong with the file.
pub fn certificates_of_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    CertificateDer::pem_slice_iter(text)
        .map(|one| one.map(|der| der.to_vec()).map_err(|error| error.to_string()))
        .collect()
}

/// Why a chain is trusted, if it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// An authority that everyone trusts, or one that the server was told of, vouches for it.
    Authority,
    /// It is whole in itself, and no authority vouches for it: a provider's thumbprint has to.
    Thumbprint {
        /// The last certificate's.
        thumbprint: String,
        /// Why no authority vouches for it.
        why: String,
    },
}

/// What a handshake showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) chain: Vec<Certificate>,
    pub(super) trust: Option<Result<Trust, Fault>>,
}

/// Looks at a server's chain, and lets the handshake go on.
#[derive(Debug)]
pub(super) struct Onlooker {
    authorities: Authorities,
    host: String,
    now: Timestamp,
    seen: Arc<Mutex<Seen>>,
}

impl Onlooker {
    pub(super) fn new(authorities: Authorities, host: &str, now: Timestamp) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        (Self { authorities, host: host.to_owned(), now, seen: Arc::clone(&seen) }, seen)
    }

    fn judge(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        chain: &[Certificate],
    ) -> Result<Trust, Fault> {
        let tls = |error: &Error| Fault::Tls { host: self.host.clone(), why: error.to_string() };
        let parsed = ParsedCertificate::try_from(server).map_err(|error| tls(&error))?;
        if verify_server_name(&parsed, name).is_err() {
            let subject = chain.first().map_or_else(String::new, |own| own.subject.clone());
            return Err(Fault::OtherName { host: self.host.clone(), subject });
        }
        if let Some(expired) = chain.iter().find(|certificate| !certificate.holds_at(self.now)) {
            return Err(Fault::Expired {
                host: self.host.clone(),
                subject: expired.subject.clone(),
                validity: format!(
                    "from {} to {}, and it is {}",
                    expired.not_before, expired.not_after, self.now
                ),
            });
        }
        check_order(chain).map_err(|fault| Fault::Chain { host: self.host.clone(), fault })?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.now.seconds().unsigned_abs()));
        let verify = |roots: &RootCertStore, others: &[CertificateDer<'_>]| {
            let algorithms = self.authorities.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, algorithms)
        };
        let why = match verify(&self.authorities.roots, others) {
            Ok(()) => return Ok(Trust::Authority),
            Err(error) => error,
        };
        // The last certificate as the only root: a single one has to vouch for itself.
        let (last, between) =
            others.split_last().map_or((server, &[][..]), |(last, between)| (last, between));
        let mut root = RootCertStore::empty();
        root.add(last.clone().into_owned()).map_err(|error| tls(&error))?;
        match verify(&root, between) {
            Ok(()) => {}
            // One that signs certificates, its own among them: there is nothing more to verify.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if chain.len() == 1 => {}
            Err(error) => return Err(tls(&error)),
        }
        let thumbprint = chain.last().map(|last| last.thumbprint.clone()).ok_or(Fault::NoCertificate)?;
        let why = match why {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                let issuer = chain.last().map_or("", |last| last.issuer.as_str());
                format!("its chain ends with `{issuer}`, which is no public authority")
            }
            other => other.to_string(),
        };
        Ok(Trust::Thumbprint { thumbprint, why })
    }
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(server).chain(others).take(CHAIN_MAX);
        let chain: Option<Vec<Certificate>> = all.map(|der| Certificate::parse(der)).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match chain {
            Some(chain) if others.len() < CHAIN_MAX => {
                let trust = self.judge(server, others, name, &chain);
                *seen = Seen { chain, trust: Some(trust) };
            }
            Some(_) | None => {
                let why = "a certificate can't be read, or there are more than 16".to_owned();
                seen.trust = Some(Err(Fault::Tls { host: self.host.clone(), why }));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.authorities.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.authorities.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.provider.signature_verification_algorithms.supported_schemes()
    }
}
