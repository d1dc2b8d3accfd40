//! Connects a websocket with the settings of all other requests: TLS, headers, credentials.

use super::TailError;
use crate::cli::args::ConnectionArgs;
use crate::cli::client::ClientError;
use crate::cli::error::CliError;
use crate::cli::settings;
use http::{HeaderMap, Uri};
use skald_model::seam::{Connection, Network};
use skald_runtime::TokioNetwork;
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Largest message that is taken.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// An open websocket.
pub type Socket = WebSocketStream<Box<dyn Connection>>;

/// Knows how to connect.
pub struct Connector {
    tls: Arc<ClientConfig>,
    headers: HeaderMap,
}

impl Connector {
    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// Settings that cannot be used: all are usage errors.
    pub fn new(args: &ConnectionArgs, headers: HeaderMap) -> Result<Self, CliError> {
        let from_environment = || args.envproxy && ureq::Proxy::try_from_env().is_some();
        if !args.proxy_url.is_empty() || from_environment() {
            return Err(CliError::Usage("a live tail does not go through a proxy".to_owned()));
        }
        Ok(Connector { tls: Arc::new(tls(args)?), headers })
    }

    /// Connects to a URL that begins with `http://` or `https://`.
    ///
    /// # Errors
    /// Why there is no websocket.
    pub async fn connect(&self, url: &str) -> Result<Socket, TailError> {
        // http is ws and https is wss.
        let url = format!("ws{}", url.strip_prefix("http").unwrap_or(url));
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| TailError::Refused(ClientError::Unsendable(error.into())))?;
        let host = uri.authority().map(|authority| authority.to_string()).unwrap_or_default();
        let secure = uri.scheme_str() == Some("wss");
        let handshake = |source| TailError::Handshake { host: host.clone(), source };
        let mut request = uri.clone().into_client_request().map_err(handshake)?;
        request.headers_mut().extend(self.headers.clone());
        let connection = self.open(&uri, secure).await.map_err(|source| TailError::Unreachable { host: host.clone(), source })?;
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
        match client_async_with_config(request, connection, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(response)) => {
                let (status, body) = (response.status().as_u16(), response.into_body().unwrap_or_default());
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(TailError::Refused(ClientError::Refused { status, body, retry_after: None }))
            }
            Err(error) => Err(handshake(error)),
        }
    }

    async fn open(&self, uri: &Uri, secure: bool) -> io::Result<Box<dyn Connection>> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let connection = TokioNetwork.connect(&format!("{host}:{port}")).await?;
        if !secure {
            return Ok(connection);
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(self.tls.clone()).connect(name, connection).await?))
    }
}

fn tls(args: &ConnectionArgs) -> Result<ClientConfig, CliError> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = versions.expect("the provider has ciphers for the versions of TLS that are built in");
    let builder = match args.tls_skip_verify {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerifier(provider))),
        false => builder.with_root_certificates(roots(args)?),
    };
    let wrong = |what: &'static str, why: String| CliError::from(TailError::Tls { what, why });
    match (args.cert.as_str(), args.key.as_str()) {
        ("", "") => Ok(builder.with_no_client_auth()),
        ("", _) | (_, "") => Err(CliError::Usage("--cert and --key need each other".to_owned())),
        (cert, key) => {
            let key = PrivateKeyDer::from_pem_slice(&settings::read(key)?).map_err(|error| wrong("--key", error.to_string()))?;
            let chain = certificates("--cert", cert)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| wrong("--cert", error.to_string()))
        }
    }
}

fn roots(args: &ConnectionArgs) -> Result<RootCertStore, CliError> {
    if args.ca_cert.is_empty() {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--ca-cert", &args.ca_cert)? {
        roots.add(certificate).map_err(|error| TailError::Tls { what: "--ca-cert", why: error.to_string() })?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let bytes = settings::read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| TailError::Tls { what, why: error.to_string() })?;
    match found.is_empty() {
        true => Err(CliError::Usage(format!("{what}: {file} holds no certificate"))),
        false => Ok(found),
    }
}

/// Takes every certificate, for `--tls-skip-verify`.
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
