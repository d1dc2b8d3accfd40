//! From the spool to the servers.
//!
//! Each client takes the spool's batches by itself, at its own pace, and says which are settled. It has a lane for each tenant, with one request in flight,
//! so that the entries of a stream keep their order and a tenant that must wait holds up no other. A batch that is not taken is tried again until it is:
//! no status but 400, 413 and 422 is a word about the entries themselves. Of those that are refused only the refused entries are left out: see `search.rs`.
//!
//! What waits is a reference of some bytes: entries are read from the spool when it is their turn, and again after a wait. So a server may be away for as
//! long as the spool has room.

mod backoff;
mod batch;
pub mod config;
mod courier;
mod errand;
mod external;
mod http;
mod lanes;
mod metrics;
mod notice;
mod push;
mod search;
mod transport;
mod verdict;

pub use batch::{Batch, BatchSource, PayloadError};
pub use metrics::DeliveryMetrics;

use config::ClientConfig;
use courier::Courier;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::join_all;
use http::HttpTransport;
pub(crate) use http::{BuildError, HttpReader};
use reqwest::Url;
use skald_model::ErrorKind;
use skald_model::seam::Seams;
use std::error::Error;
use std::sync::Arc;
use tokio::sync::watch;
use transport::Transport;
pub(crate) use transport::TransportError;

/// A client that is ready to run: its certificates were read.
pub struct Client {
    config: ClientConfig,
    transport: Arc<dyn Transport>,
}

impl Client {
    /// Makes the client of one item of `clients`, whose settings have no [`ClientConfig::problems`]. Connects nowhere yet.
    ///
    /// # Errors
    /// Certificates cannot be read or used.
    pub async fn open(config: &ClientConfig, seams: &Seams) -> Result<Self, ClientError> {
        let failed = |source| ClientError { client: config.id(), source: Box::new(source) };
        let transport = HttpTransport::open(config, seams).await.map_err(failed)?;
        Ok(Client { config: config.clone(), transport: Arc::new(transport) })
    }
}

/// Why a client cannot run.
#[derive(Debug, thiserror::Error)]
#[error("client {client}")]
pub struct ClientError {
    /// Its name.
    pub client: String,
    source: Box<dyn Error + Send + Sync>,
}

impl ClientError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

/// The clients that run.
pub struct Delivery {
    stop: watch::Sender<bool>,
    ends: Vec<oneshot::Receiver<()>>,
}

impl Delivery {
    /// Starts to send what each client's source gives.
    pub fn start(clients: Vec<(Client, Box<dyn BatchSource>)>, seams: &Seams, metrics: &Arc<DeliveryMetrics>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ends = clients.into_iter().map(|(client, source)| start(client, source, seams, metrics, stopped.clone())).collect();
        Delivery { stop, ends }
    }

    /// Begins no further request and lets those on their way finish, each within its timeout. What is not settled then stays with the sources: who wants
    /// all to be sent waits for that first.
    pub async fn stop(self) {
        // Nobody listens when every source has ended.
        let _ = self.stop.send(true);
        join_all(self.ends).await;
    }
}

fn start(
    client: Client,
    source: Box<dyn BatchSource>,
    seams: &Seams,
    metrics: &Arc<DeliveryMetrics>,
    stop: watch::Receiver<bool>,
) -> oneshot::Receiver<()> {
    let Client { config, transport } = client;
    let tenant = Some(config.tenant_id.as_str()).filter(|tenant| !tenant.is_empty());
    let metrics = metrics.of_client(&host_of(&config), tenant);
    let courier = Courier::new(&config, transport, seams.clone(), metrics, stop);
    let (ended, end) = oneshot::channel();
    let task = async move {
        lanes::run(courier, source).await;
        let _ = ended.send(());
    };
    seams.spawner.spawn("delivery", task.boxed());
    end
}

/// Host and port as they stand in the address: the label of metrics.
pub(crate) fn host_of(config: &ClientConfig) -> String {
    let Ok(url) = Url::parse(&config.url.0) else { return String::new() };
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
