use super::secret::{FileError, Files};
use crate::delivery::config::TlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use std::sync::Arc;

/// Why certificates and keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text or file is no PEM of the kind.
    #[error("{what} is not PEM")]
    Pem {
        /// Key of the configuration.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// There is no certificate in it.
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("use the certificates")]
    Use(#[from] rustls::Error),
}

/// The PEM texts that a `tls_config` names, as they were read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Material {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Material {
    pub async fn read(config: &TlsConfig, files: &Files) -> Result<Self, FileError> {
        let key = config.key.as_ref().map(|key| &key.0);
        Ok(Material {
            ca: text_or_file(config.ca.as_ref(), config.ca_file.as_deref(), files).await?,
            cert: text_or_file(config.cert.as_ref(), config.cert_file.as_deref(), files).await?,
            key: text_or_file(key, config.key_file.as_deref(), files).await?,
        })
    }
}

async fn text_or_file(text: Option<&String>, file: Option<&str>, files: &Files) -> Result<Option<Vec<u8>>, FileError> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.clone().into_bytes())),
        (None, Some(file)) => files.read(file).await.map(Some),
        (None, None) => Ok(None),
    }
}

/// What our side of a connection offers and demands.
pub(super) fn client_config(config: &TlsConfig, material: &Material) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions(config))?;
    let builder = if config.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots(material)?)
    };
    let mut tls = match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| TlsError::Pem { what: "key", source })?;
            builder.with_client_auth_cert(certificates("cert", cert)?, key)?
        }
        _ => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::new();
    if config.min_version.as_deref() != Some("TLS13") {
        versions.push(&TLS12);
    }
    if config.max_version.as_deref() != Some("TLS12") {
        versions.push(&TLS13);
    }
    versions
}

/// The authorities that are configured and no others; without any those of the system, and those of the public web where the system has none (an empty
/// container image).
fn roots(material: &Material) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match &material.ca {
        Some(ca) => {
            for certificate in certificates("ca", ca)? {
                roots.add(certificate)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
    }
    Ok(roots)
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|source| TlsError::Pem { what, source })?;
    if certificates.is_empty() { Err(TlsError::Empty(what)) } else { Ok(certificates) }
}

/// `insecure_skip_verify`: takes any certificate, whose key the server must still have.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
