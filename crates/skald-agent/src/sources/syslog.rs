//! Syslog: messages of RFC 5424 and RFC 3164 over TCP, TLS and UDP.
//!
//! A message with something wrong in it is kept as far as it can be read. While the intake has no room, connections are not read, so that their senders
//! wait; datagrams cannot wait and are dropped and counted once their queue is full.

mod config;
mod frame;
mod labels;
mod message;
mod metrics;
mod names;
mod sender;
mod tcp;
mod udp;

pub use config::{SyslogConfig, SyslogFormat, Transport};
pub use frame::{Frame, FrameError, Framer, split_datagram};
pub use message::{Element, Flaw, Message};
pub use metrics::SyslogMetrics;
pub use names::{HostNames, Lookup};

use super::listen::{ListenError, addresses, listen};
use super::tasks::Tasks;
use super::tls::{TlsError, TlsNetwork, acceptor};
use super::{Stamps, label_set, one_target};
use crate::sink::SinkParts;
use crate::source::{Source, SourceStatus};
use futures::future::BoxFuture;
use skald_model::ErrorKind;
use skald_model::seam::{Network, Seams};
use skald_pipeline::LabelSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UdpSocket;

/// Bytes of datagrams that the system shall keep for us.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// Why a syslog source did not start.
#[derive(Debug, thiserror::Error)]
pub enum SyslogError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its TLS is not right.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl SyslogError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Listen(error) => error.kind(),
            Self::Tls(error) => error.kind(),
        }
    }
}

/// What all senders of a source share.
struct Shared {
    config: SyslogConfig,
    /// Of every entry.
    labels: LabelSet,
    sink: SinkParts,
    metrics: SyslogMetrics,
    names: Arc<HostNames>,
    stamps: Stamps,
}

/// A syslog listener that runs.
pub struct SyslogSource {
    job: String,
    transport: Transport,
    address: SocketAddr,
    tasks: Tasks,
    is_listening: AtomicBool,
    labels: LabelSet,
}

impl SyslogSource {
    /// Listens, and takes messages from then on.
    ///
    /// # Errors
    /// See [`SyslogError`].
    pub async fn start(
        job: &str,
        config: SyslogConfig,
        sink: SinkParts,
        names: Arc<HostNames>,
        metrics: SyslogMetrics,
        seams: &Seams,
    ) -> Result<Self, SyslogError> {
        let tasks = Tasks::new(&seams.spawner, &seams.clock);
        let (transport, listen_address) = (config.listen_protocol, config.listen_address.clone());
        let tls = config.tls()?.map(|tls| acceptor(&tls, &*seams.disk)).transpose()?;
        let labels = label_set(&config.labels);
        let shared = Arc::new(Shared { labels: labels.clone(), config, sink, metrics, names, stamps: Stamps::default() });
        let address = match transport {
            Transport::Tcp => {
                let network: Arc<dyn Network> = match tls {
                    Some(acceptor) => Arc::new(TlsNetwork::new(Arc::clone(&seams.network), acceptor)),
                    None => Arc::clone(&seams.network),
                };
                let listener = listen(&*network, &listen_address).await?;
                let address = listener.local_address().map_err(|source| ListenError::Listen { address: listen_address, source })?;
                tasks.spawn("syslog listener", |stop| tcp::accept(shared, listener, tasks.clone(), stop));
                address
            }
            Transport::Udp => {
                let (socket, address) = bind(&listen_address).await?;
                tasks.spawn("syslog listener", |stop| udp::receive(shared, socket, tasks.clone(), stop));
                address
            }
        };
        tracing::info!(job, %address, ?transport, "listening for syslog");
        Ok(SyslogSource { job: job.to_owned(), transport, address, tasks, is_listening: AtomicBool::new(true), labels })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A socket for datagrams. There is no simulated one: that network has connections only.
async fn bind(text: &str) -> Result<(UdpSocket, SocketAddr), ListenError> {
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses(text).await? {
        match UdpSocket::bind(address).await.and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((address, socket)) => {
                // The system gives as much of it as it is set to; all of it only helps against bursts.
                if let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_LEN) {
                    tracing::debug!(%address, %error, "receive buffer stays as it is");
                }
                return Ok((socket, address));
            }
            Err(error) => refused = error,
        }
    }
    Err(ListenError::Listen { address: text.to_owned(), source: refused })
}

impl Source for SyslogSource {
    fn status(&self) -> SourceStatus {
        let ready = self.is_listening.load(Ordering::Relaxed);
        let transport = if self.transport == Transport::Tcp { "tcp" } else { "udp" };
        one_target(&self.job, "syslog", ready, &self.labels, &[("address", &self.address.to_string()), ("protocol", transport)])
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        self.is_listening.store(false, Ordering::Relaxed);
        self.tasks.stop()
    }
}

#[cfg(test)]
mod tests;
