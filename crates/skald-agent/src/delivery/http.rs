//! Pushes over HTTP/1.1.

mod auth;
mod connection;
mod identity;
mod oauth2;
mod reader;
mod secret;
mod tls;

pub(crate) use reader::HttpReader;
pub use tls::TlsError;

use super::config::{ClientConfig, HiddenUrl};
use super::transport::{Answer, Transport, TransportError};
use super::verdict::Cause;
use async_trait::async_trait;
use bytes::Bytes;
use connection::{Connection, ConnectionSettings};
use identity::Identity;
use oauth2::TokenError;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use secret::{FileError, Files};
use skald_model::seam::{Seams, Stopped};

/// What we call ourselves: servers and proxies know promtail by the beginning.
pub(crate) const AGENT: &str = concat!("promtail/3.6.0 skald-agent/", env!("CARGO_PKG_VERSION"));
/// Most redirects of one request.
const REDIRECTS_MAX: usize = 5;
/// Most bytes of an answer that are read: beyond, the connection is given up.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Most characters of an answer that are kept, for the log.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why a request could not be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a secret holds what a header cannot")]
    Header,
    #[error("get a token")]
    Token(#[from] TokenError),
}

impl PrepareError {
    pub fn cause(&self) -> Cause {
        match self {
            Self::File(_) | Self::Header => Cause::Local,
            Self::Token(error) => error.cause(),
        }
    }
}

/// Why the settings of a client give no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("\"{0}\" is no address")]
    Url(HiddenUrl),
    #[error("\"{0}\" is no header")]
    Header(String),
    #[error("tls")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("set up the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("set up the HTTP client")]
    Stopped(#[from] Stopped),
}

/// The HTTP client of one item of `clients`.
pub(crate) struct HttpTransport {
    url: Url,
    identity: Identity,
    follow_redirects: bool,
    timeout: std::time::Duration,
    connection: Connection,
}

impl HttpTransport {
    /// Reads certificates; the first request makes the first connection.
    pub async fn open(config: &ClientConfig, seams: &Seams) -> Result<Self, BuildError> {
        let files = Files::new(seams);
        let url = Url::parse(&config.url.0).map_err(|_| BuildError::Url(config.url.clone()))?;
        let identity = Identity::open(config, &url, seams, &files).await?;
        let connection = Connection::open(ConnectionSettings::of_client(config), &url, seams, files).await?;
        let (follow_redirects, timeout) = (config.follow_redirects, config.timeout.0);
        Ok(HttpTransport { url, identity, follow_redirects, timeout, connection })
    }

    async fn headers(&self, tenant: Option<&str>) -> Result<HeaderMap, PrepareError> {
        let mut headers = self.identity.headers().await?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(tenant) = tenant {
            headers.insert("x-scope-orgid", HeaderValue::from_str(tenant).map_err(|_| PrepareError::Header)?);
        }
        Ok(headers)
    }

    async fn follow(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, TransportError> {
        let client = self.connection.client().await;
        let (mut url, mut headers) = (self.url.clone(), headers);
        for _ in 0..=REDIRECTS_MAX {
            let mut request = client.post(self.connection.address(&url)).headers(headers.clone()).body(body.clone());
            if let Some(host) = self.connection.host_header(&url) {
                request = request.header(HOST, host);
            }
            let response = request.send().await.map_err(|error| self.failed(error))?;
            match self.redirect(&url, &response) {
                Some(next) => {
                    if !keeps_credentials(&url, &next) {
                        headers.remove(AUTHORIZATION);
                        headers.remove(COOKIE);
                    }
                    url = next;
                }
                None => return self.answer(response).await,
            }
        }
        Err(TransportError::Redirects(REDIRECTS_MAX))
    }

    /// Where to send the same request instead. Unlike a browser we send it again also after 301 and 302: turned into a GET it would lose the entries.
    fn redirect(&self, from: &Url, response: &Response) -> Option<Url> {
        let follows = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let target = response.headers().get(LOCATION).filter(|_| follows && self.follow_redirects)?.to_str().ok()?;
        let mut next = from.join(target).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        if keeps_credentials(from, &next) && next.username().is_empty() {
            let _ = next.set_username(from.username());
            let _ = next.set_password(from.password());
        }
        Some(next)
    }

    async fn answer(&self, mut response: Response) -> Result<Answer, TransportError> {
        let text_of = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        let page = text_of(CONTENT_TYPE).is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
        let (status, retry_after) = (response.status().as_u16(), text_of(RETRY_AFTER));
        let mut text = Vec::new();
        // The status says it all: a text that breaks off is not a request that failed.
        while let Ok(Some(piece)) = response.chunk().await {
            if text.len() + piece.len() > ANSWER_BYTES_MAX {
                break;
            }
            text.extend_from_slice(&piece);
        }
        let message = String::from_utf8_lossy(&text).trim().chars().take(MESSAGE_CHARS_MAX).collect();
        Ok(Answer { status, retry_after, page, message })
    }

    fn failed(&self, error: reqwest::Error) -> TransportError {
        // Without the address, which may hold a password.
        if error.is_timeout() { TransportError::TimedOut(self.timeout) } else { TransportError::Request(error.without_url()) }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn push(&self, tenant: Option<&str>, body: Bytes) -> Result<Answer, TransportError> {
        let headers = self.headers(tenant).await.map_err(TransportError::Prepare)?;
        let answer = self.follow(headers, body).await?;
        if answer.status == StatusCode::UNAUTHORIZED.as_u16() {
            self.identity.refused().await;
        }
        Ok(answer)
    }
}

fn sensitive(value: &str) -> Result<HeaderValue, PrepareError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| PrepareError::Header)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether credentials for one address may go to the other: the same host, and not from an encrypted connection to an open one.
fn keeps_credentials(from: &Url, to: &Url) -> bool {
    from.host_str() == to.host_str() && !(from.scheme() == "https" && to.scheme() == "http")
}

#[cfg(test)]
mod tests;
