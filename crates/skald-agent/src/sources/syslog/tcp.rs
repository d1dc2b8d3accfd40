//! Syslog over connections.

use super::Shared;
use super::frame::Framer;
use super::sender::Sender;
use crate::sources::tasks::{Stop, Tasks};
use skald_model::seam::{Connection, Listener};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// Most connections at a time; later ones wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// Pause after a connection could not be accepted, as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes read at once.
const READ_LEN: usize = 16 << 10;

/// Accepts connections until told to stop, each with a task of its own.
pub(super) async fn accept(shared: Arc<Shared>, listener: Box<dyn Listener>, tasks: Tasks, stop: Stop) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("nobody closes the semaphore");
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            () = stop.told() => return,
        };
        match accepted {
            Ok((connection, peer)) => {
                let shared = Arc::clone(&shared);
                tasks.spawn("syslog connection", |stop| async move {
                    read(shared, connection, peer, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "connection not accepted");
                shared.sink.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Reads a connection to its end. While the intake has no room nothing is read, so that the sender waits.
async fn read(shared: Arc<Shared>, mut connection: Box<dyn Connection>, peer: SocketAddr, stop: Stop) {
    let mut sender = Sender::new(&shared, peer).await;
    let mut framer = Framer::new(shared.config.message_bytes_max());
    let mut buffer = vec![0; READ_LEN];
    let mut idle = Box::pin(sender.idle());
    loop {
        let read = tokio::select! {
            // What has come is read before a sender counts as silent.
            biased;
            () = stop.told() => break,
            () = sender.tick() => continue,
            read = connection.read(&mut buffer) => read,
            () = &mut idle => {
                debug!(%peer, "syslog sender is silent, closing its connection");
                break;
            }
        };
        let mut input = match read {
            Ok(0) => break,
            Ok(len) => &buffer[..len],
            Err(error) => {
                debug!(%peer, %error, "syslog connection ended by an error");
                break;
            }
        };
        loop {
            match framer.next(&mut input) {
                Ok(Some(frame)) => sender.take(frame).await,
                Ok(None) => break,
                Err(error) => {
                    sender.broken(error);
                    return sender.finish().await;
                }
            }
        }
        idle = Box::pin(sender.idle());
    }
    if let Some(frame) = framer.finish() {
        sender.take(frame).await;
    }
    sender.finish().await;
}
