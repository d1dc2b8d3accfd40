//! TLS of listeners.

use crate::config::ServerTlsConfig;
use async_trait::async_trait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use skald_model::ErrorKind;
use skald_model::seam::{Connection, Disk, Listener, Network};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Where PEM text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pem<'a> {
    /// The text itself.
    Text(&'a str),
    /// A file that holds it.
    File(&'a str),
}

impl<'a> Pem<'a> {
    /// What stands in a configuration as a text or as a file, the text first; `None` when both are empty.
    fn of((text, file): (Option<&'a str>, Option<&'a str>)) -> Option<Self> {
        let set = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        set(text).map(Pem::Text).or(set(file).map(Pem::File))
    }

    fn read(self, what: &'static str, disk: &dyn Disk) -> Result<Vec<u8>, TlsError> {
        match self {
            Pem::Text(text) => Ok(text.as_bytes().to_vec()),
            Pem::File(path) => disk.read(Path::new(path)).map_err(|source| TlsError::File { what, path: path.to_owned(), source }),
        }
    }
}

/// TLS of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSettings<'a> {
    /// Certificate and its chain.
    pub certificate: Pem<'a>,
    /// Its key.
    pub key: Pem<'a>,
    /// The CA that certificates of clients must come from; without one none is asked for.
    pub client_ca: Option<Pem<'a>>,
    /// Whether a client without a certificate is let in.
    pub client_may_lack: bool,
    /// Lowest and highest version, each `TLS12` or `TLS13`; empty is any.
    pub versions: (&'a str, &'a str),
}

/// TLS of one listener as a configuration says it: everything may be missing, PEM comes as a text or as a file.
#[derive(Debug, Clone, Copy)]
pub struct TlsParts<'a> {
    /// Certificate and its chain.
    pub certificate: (Option<&'a str>, Option<&'a str>),
    /// Its key.
    pub key: (Option<&'a str>, Option<&'a str>),
    /// The CA of clients.
    pub client_ca: (Option<&'a str>, Option<&'a str>),
    /// Whether a client without a certificate is let in.
    pub client_may_lack: bool,
    /// Lowest and highest version.
    pub versions: (Option<&'a str>, Option<&'a str>),
}

impl<'a> TlsSettings<'a> {
    /// What the parts say, `None` when they say nothing.
    ///
    /// # Errors
    /// [`TlsError::Incomplete`]
    pub fn of(parts: TlsParts<'a>) -> Result<Option<Self>, TlsError> {
        let client_ca = Pem::of(parts.client_ca);
        match (Pem::of(parts.certificate), Pem::of(parts.key)) {
            (None, None) if client_ca.is_none() => Ok(None),
            (Some(certificate), Some(key)) => {
                let versions = (parts.versions.0.unwrap_or_default(), parts.versions.1.unwrap_or_default());
                Ok(Some(TlsSettings { certificate, key, client_ca, client_may_lack: parts.client_may_lack, versions }))
            }
            _ => Err(TlsError::Incomplete),
        }
    }

    /// What the TLS block of an HTTP server says, `None` when it says nothing.
    ///
    /// # Errors
    /// [`TlsError::Incomplete`] and [`TlsError::ClientAuth`].
    pub fn of_server(config: &'a ServerTlsConfig) -> Result<Option<Self>, TlsError> {
        let kind = config.client_auth_type.as_deref().unwrap_or_default();
        let (asks, may_lack) = match kind {
            "" | "NoClientCert" => (false, true),
            "VerifyClientCertIfGiven" => (true, true),
            "RequireAndVerifyClientCert" => (true, false),
            other => return Err(TlsError::ClientAuth(other.to_owned())),
        };
        let settings = TlsSettings::of(TlsParts {
            certificate: (config.cert.as_deref(), config.cert_file.as_deref()),
            key: (config.key.as_ref().map(|key| key.0.as_str()), config.key_file.as_deref()),
            client_ca: (config.client_ca.as_deref(), config.client_ca_file.as_deref()),
            client_may_lack: may_lack,
            versions: (None, None),
        })?;
        match settings {
            Some(settings) if asks && settings.client_ca.is_none() => Err(TlsError::ClientAuth(format!("{kind} without a client CA"))),
            Some(settings) if asks => Ok(Some(settings)),
            // A CA that nobody asks for is not used.
            Some(settings) => Ok(Some(TlsSettings { client_ca: None, ..settings })),
            None => Ok(None),
        }
    }
}

/// Why a listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate without a key, or the other way round.
    #[error("certificate and key are both required")]
    Incomplete,
    /// A way to ask clients for certificates that there is not, or that lacks something.
    #[error("client_auth_type {0} is not supported: there are NoClientCert, VerifyClientCertIfGiven and RequireAndVerifyClientCert")]
    ClientAuth(String),
    /// A file cannot be read.
    #[error("cannot read the {what} from {path}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("the {what} is not PEM that can be used: {why}")]
    Pem {
        /// What it should be.
        what: &'static str,
        /// Cause.
        why: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not known.
    #[error("certificate and key cannot be used: {0}")]
    Pair(String),
    /// The versions leave none over.
    #[error("no version of TLS from \"{0}\" to \"{1}\"; there are TLS12 and TLS13")]
    Versions(String, String),
}

impl TlsError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Incomplete | Self::ClientAuth(_) | Self::File { .. } | Self::Pem { .. } | Self::Pair(_) | Self::Versions(..) => {
                ErrorKind::InvalidInput
            }
        }
    }
}

/// What makes TLS of accepted connections.
///
/// # Errors
/// See [`TlsError`].
pub fn acceptor(settings: &TlsSettings<'_>, disk: &dyn Disk) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(settings.certificate, "certificate", disk)?;
    let key = settings.key.read("key", disk)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::Pem { what: "key", why: error.to_string() })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings.versions)?)
        .map_err(|error| TlsError::Pair(error.to_string()))?;
    let builder = match settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let wrong = |why: String| TlsError::Pem { what: "client CA", why };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca, "client CA", disk)? {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if settings.client_may_lack { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Pair(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(pem: Pem<'_>, what: &'static str, disk: &dyn Disk) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = pem.read(what, disk)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| TlsError::Pem { what, why: error.to_string() })?;
    if found.is_empty() { Err(TlsError::Pem { what, why: "it has no certificate".to_owned() }) } else { Ok(found) }
}

fn versions((lowest, highest): (&str, &str)) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    // Older versions than 1.2 are never spoken, so that asking for one of them as the lowest asks for nothing.
    let from = match lowest {
        "" | "TLS10" | "TLS11" | "TLS12" => Some(0),
        "TLS13" => Some(1),
        _ => None,
    };
    let to = match highest {
        "TLS12" => Some(1),
        "" | "TLS13" => Some(2),
        _ => None,
    };
    let known = [&rustls::version::TLS12, &rustls::version::TLS13];
    let chosen = from.zip(to).and_then(|(from, to)| known.get(from..to)).filter(|chosen| !chosen.is_empty());
    chosen.map(<[_]>::to_vec).ok_or_else(|| TlsError::Versions(lowest.to_owned(), highest.to_owned()))
}

/// A network whose listeners speak TLS. Its own connections are those of the network within.
pub struct TlsNetwork {
    network: Arc<dyn Network>,
    acceptor: TlsAcceptor,
}

impl TlsNetwork {
    /// Listeners of `network`, with TLS by `acceptor`.
    pub fn new(network: Arc<dyn Network>, acceptor: TlsAcceptor) -> Self {
        TlsNetwork { network, acceptor }
    }
}

#[async_trait]
impl Network for TlsNetwork {
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let listener = self.network.listen(address).await?;
        Ok(Box::new(TlsListener { listener, acceptor: self.acceptor.clone() }))
    }

    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        self.network.connect(address).await
    }
}

struct TlsListener {
    listener: Box<dyn Listener>,
    acceptor: TlsAcceptor,
}

#[async_trait]
impl Listener for TlsListener {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let (connection, peer) = self.listener.accept().await?;
        Ok((Box::new(TlsConnection::Shaking(Box::new(self.acceptor.accept(connection)))), peer))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_address()
    }
}

/// A connection that shakes hands with its first read or write, so that a slow client holds up nobody else.
enum TlsConnection {
    Shaking(Box<Accept<Box<dyn Connection>>>),
    Open(Box<TlsStream<Box<dyn Connection>>>),
    Failed,
}

impl TlsConnection {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<Box<dyn Connection>>>>> {
        if let TlsConnection::Shaking(accept) = self {
            let shaken = ready!(Pin::new(&mut **accept).poll(cx));
            // One that has failed must not be asked again.
            *self = TlsConnection::Failed;
            *self = TlsConnection::Open(Box::new(shaken?));
        }
        match self {
            TlsConnection::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            TlsConnection::Shaking(_) | TlsConnection::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_shutdown(cx)
    }
}

#[cfg(test)]
pub(crate) mod tests;
