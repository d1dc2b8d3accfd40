//! Syslog over datagrams.

use super::Shared;
use super::frame::split_datagram;
use super::sender::Sender;
use crate::sources::tasks::{Stop, Tasks};
use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::warn;

/// Most addresses with a task of their own. Beyond that the one that was silent for longest makes room.
const SENDERS_MAX: usize = 1024;
/// Datagrams that wait for one sender's task.
const QUEUE_LEN_MAX: usize = 1024;
/// Bytes of datagrams that wait, of all senders.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Largest datagram.
const DATAGRAM_LEN_MAX: usize = 64 << 10;
/// Pause after a datagram could not be received.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// A datagram, and its share of the bytes that may wait.
type Waiting = (Box<[u8]>, OwnedSemaphorePermit);

/// Receives until told to stop. Never waits for a sender's task: what does not fit into its queue is dropped and counted.
pub(super) async fn receive(shared: Arc<Shared>, socket: UdpSocket, tasks: Tasks, stop: Stop) {
    let mut senders = Senders { shared: Arc::clone(&shared), tasks, known: FxHashMap::default(), received: 0 };
    let budget = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = stop.told() => return,
        };
        match received {
            Ok((0, _)) => {}
            Ok((len, from)) => {
                let share = Arc::clone(&budget).try_acquire_many_owned(len as u32);
                let taken = share.is_ok_and(|share| senders.give(from, (buffer[..len].into(), share)));
                if !taken {
                    shared.metrics.dropped.inc();
                }
            }
            Err(error) => {
                warn!(%error, "datagram not received");
                shared.sink.clock.sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

/// Queues of the senders' tasks.
struct Senders {
    shared: Arc<Shared>,
    tasks: Tasks,
    /// By address alone: programs of one host use ports as they come.
    known: FxHashMap<IpAddr, Known>,
    /// Datagrams so far, the time by which senders are old.
    received: u64,
}

struct Known {
    queue: mpsc::Sender<Waiting>,
    last: u64,
}

impl Senders {
    /// Gives a datagram to the task of its sender; false when its queue is full.
    fn give(&mut self, from: SocketAddr, waiting: Waiting) -> bool {
        self.received += 1;
        if let Some(known) = self.known.get_mut(&from.ip()) {
            known.last = self.received;
            match known.queue.try_send(waiting) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Full(_)) => return false,
                // It was silent for long, and its task is gone.
                Err(mpsc::error::TrySendError::Closed(waiting)) => return self.begin(from, waiting),
            }
        }
        self.make_room();
        self.begin(from, waiting)
    }

    fn begin(&mut self, from: SocketAddr, waiting: Waiting) -> bool {
        let (queue, incoming) = mpsc::channel(QUEUE_LEN_MAX);
        let taken = queue.try_send(waiting).is_ok();
        self.known.insert(from.ip(), Known { queue, last: self.received });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn("syslog sender", move |stop| read(shared, incoming, from, stop));
        taken
    }

    fn make_room(&mut self) {
        if self.known.len() < SENDERS_MAX {
            return;
        }
        self.known.retain(|_, known| !known.queue.is_closed());
        let oldest = self.known.iter().min_by_key(|(_, known)| known.last).map(|(address, _)| *address);
        if let Some(oldest) = oldest.filter(|_| self.known.len() >= SENDERS_MAX) {
            self.known.remove(&oldest);
        }
    }
}

/// Reads what one address sends, until it is silent for long, is forgotten, or the source stops.
async fn read(shared: Arc<Shared>, mut incoming: mpsc::Receiver<Waiting>, from: SocketAddr, stop: Stop) {
    let mut sender = Sender::new(&shared, from).await;
    let mut idle = Box::pin(sender.idle());
    loop {
        let waiting = tokio::select! {
            // What waits comes first, so that stopping leaves nothing behind.
            biased;
            waiting = incoming.recv() => waiting,
            () = sender.tick() => continue,
            () = &mut idle => None,
            () = stop.told() => None,
        };
        let Some((datagram, _share)) = waiting else { break };
        take(&shared, &mut sender, &datagram).await;
        idle = Box::pin(sender.idle());
    }
    // Between the last look and now one more may have come.
    incoming.close();
    while let Some((datagram, _share)) = incoming.recv().await {
        take(&shared, &mut sender, &datagram).await;
    }
    sender.finish().await;
}

async fn take(shared: &Shared, sender: &mut Sender, datagram: &[u8]) {
    let mut frames = Vec::new();
    let split = split_datagram(datagram, shared.config.message_bytes_max(), |frame| {
        frames.push((frame.bytes.to_vec(), frame.is_cut));
    });
    for (bytes, is_cut) in frames {
        sender.take(super::frame::Frame { bytes: &bytes, is_cut }).await;
    }
    if let Err(error) = split {
        sender.broken(error);
    }
}
