use super::BuildError;
use super::connection::{Connection, ConnectionSettings};
use super::identity::Identity;
use super::secret::Files;
use crate::delivery::config::ClientConfig;
use crate::delivery::transport::TransportError;
use reqwest::header::HOST;
use reqwest::{Response, StatusCode, Url};
use skald_model::seam::Seams;
use std::path::PathBuf;
use std::time::Duration;

/// Asks a server that is set up as a client is.
pub(crate) struct HttpReader {
    base: Url,
    identity: Identity,
    connection: Connection,
}

impl HttpReader {
    /// Reads certificates; connects nowhere yet. With a socket of this machine the host of the address is a mere name.
    pub async fn open(config: &ClientConfig, socket: Option<PathBuf>, seams: &Seams) -> Result<Self, BuildError> {
        let files = Files::new(seams);
        let base = Url::parse(&config.url.0).map_err(|_| BuildError::Url(config.url.clone()))?;
        let identity = Identity::open(config, &base, seams, &files).await?;
        let connection = Connection::open(ConnectionSettings::of_reader(config, socket), &base, seams, files).await?;
        Ok(HttpReader { base, identity, connection })
    }

    /// Sends a request for `path`, below the address of the server. Without a timeout an answer may take as long as it likes.
    pub async fn get(&self, path: &str, query: &[(&str, &str)], timeout: Option<Duration>) -> Result<Response, TransportError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let headers = self.identity.headers().await.map_err(TransportError::Prepare)?;
        let mut request = self.connection.client().await.get(self.connection.address(&url)).headers(headers);
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(host) = self.connection.host_header(&url) {
            request = request.header(HOST, host);
        }
        let response = request.send().await.map_err(|error| TransportError::Request(error.without_url()))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.identity.refused().await;
        }
        Ok(response)
    }
}
