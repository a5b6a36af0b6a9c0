//! TLS of a call: which authorities are trusted, what we show of ourselves, and whose certificate was not trusted, which the
//! HTTP client's errors do not say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::issuer;
use crate::source::login::Login;

/// A certificate that was not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Untrusted {
    /// The server that showed it, which may be a proxy.
    pub server: String,
    /// The authority above it, where that can be read.
    pub authority: Option<String>,
}

/// Our certificate, with those above it, and its key.
pub(super) struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Trusts the system's authorities (of `SSL_CERT_FILE` and `SSL_CERT_DIR` instead, where one of them is set) and those of the
/// login. They are read at the first handshake: servers without TLS need none.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    own: Vec<CertificateDer<'static>>,
    all: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    untrusted: Mutex<Option<Untrusted>>,
    wants_client: Arc<AtomicBool>,
}

/// Our certificate, if there is one, and whether a server has asked for it.
#[derive(Debug)]
struct Shown {
    certificate: Option<Arc<CertifiedKey>>,
    wanted: Arc<AtomicBool>,
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.wanted.store(true, Ordering::Relaxed);
        self.certificate.clone()
    }

    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}

impl Verifier {
    /// # Errors
    /// The authority of the login cannot be read: why.
    pub fn new(login: Option<&Login>) -> Result<Self, String> {
        let own = match login.and_then(|login| login.authority.as_deref()) {
            Some(pem) => certificates(pem, "ca.crt")?,
            None => Vec::new(),
        };
        let mut roots = RootCertStore::empty();
        for certificate in &own {
            let added = roots.add(certificate.clone());
            added.map_err(|error| format!("ca.crt holds something that is no certificate of an authority: {error}"))?;
        }
        let provider = Arc::new(ring::default_provider());
        Ok(Self { provider, own, all: OnceLock::new(), untrusted: Mutex::new(None), wants_client: Arc::default() })
    }

    /// The certificate that was not trusted, if there was one.
    pub fn untrusted(&self) -> Option<Untrusted> {
        self.untrusted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a server has asked for a certificate of ours.
    pub fn wants_client(&self) -> bool {
        self.wants_client.load(Ordering::Relaxed)
    }

    /// The settings of a connection.
    ///
    /// # Errors
    /// Our certificate cannot be used: why.
    pub fn config(self: &Arc<Self>, client: Option<Client>) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        // It leaves every check to rustls' own verifier, and keeps what that one does not report.
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Self>::clone(self);
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let certificate = client.map(|Client { chain, key }| CertifiedKey::from_der(chain, key, &self.provider));
        let certificate = certificate.transpose();
        let certificate =
            certificate.map_err(|error| format!("tls.crt and tls.key cannot be used together: {error}"))?.map(Arc::new);
        let shown = Shown { certificate, wanted: Arc::clone(&self.wants_client) };
        Ok(builder.with_client_cert_resolver(Arc::new(shown)))
    }

    fn verifier(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let make = || {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::debug!(%error, "an authority of the system cannot be read");
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            roots.add_parsable_certificates(self.own.iter().cloned());
            // It fails where there is no authority at all.
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build().ok()
        };
        self.all.get_or_init(make).as_ref()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = match self.verifier() {
            Some(verifier) => verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(Error::General("no authorities are known here".to_owned())),
        };
        if verified.is_err() {
            let chain = std::iter::once(end_entity).chain(intermediates).map(|certificate| &**certificate);
            let untrusted =
                Untrusted { server: server_name.to_str().into_owned(), authority: issuer::authority(chain) };
            *self.untrusted.lock().unwrap_or_else(PoisonError::into_inner) = Some(untrusted);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What the login says that we are.
///
/// # Errors
/// It cannot be read: why.
pub(super) fn client(login: Option<&Login>) -> Result<Option<Client>, String> {
    let Some((certificate, key)) = login.and_then(|login| login.client.as_ref()) else { return Ok(None) };
    let chain = certificates(certificate, "tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "tls.key holds no private key in PEM that can be read; one with a passphrase cannot".to_owned())?;
    Ok(Some(Client { chain, key }))
}

fn certificates(pem: &[u8], key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{key} holds no certificate in PEM")),
        Err(_) => Err(format!("{key} holds no certificate in PEM that can be read")),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn login(data: &[(&str, &str)]) -> Login {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Login::of(&data, "https://git.example.com/a.git").unwrap()
    }

    #[test]
    fn what_a_secret_holds_that_is_no_certificate_or_key_is_named() {
        for (text, says) in [
            ("s3cret", "ca.crt holds no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "that can be read"),
            ("-----BEGIN CERTIFICATE-----\nczNjcmV0\n-----END CERTIFICATE-----\n", "no certificate of an authority"),
        ] {
            let error = Verifier::new(Some(&login(&[("ca.crt", text)]))).err().unwrap();
            assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
        }
        let of = |certificate: &str, key: &str| {
            let login = login(&[("tls.crt", certificate), ("tls.key", key)]);
            let verifier = Arc::new(Verifier::new(Some(&login)).unwrap());
            verifier.config(client(Some(&login))?).map(drop)
        };
        let [one, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let certificate = CertificateParams::new(vec!["me".into()]).unwrap().self_signed(&one).unwrap().pem();
        assert_eq!(of(&certificate, &one.serialize_pem()), Ok(()));
        for (certificate, key, says) in [
            ("x", one.serialize_pem(), "tls.crt holds no certificate"),
            (&*certificate, "s3cret".to_owned(), "tls.key holds no private key"),
            (&certificate, other.serialize_pem(), "cannot be used together"),
        ] {
            let error = of(certificate, &key).unwrap_err();
            assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
        }
    }
}
