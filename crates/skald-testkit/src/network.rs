use async_trait::async_trait;
use parking_lot::Mutex;
use skald_model::seam::{Connection, Listener, Network};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Connections that wait to be accepted, and bytes under way in each direction of one.
const BACKLOG: usize = 128;
const BUFFER_LEN: usize = 64 << 10;
const FIRST_FREE_PORT: u16 = 20_000;

type Accepted = (DuplexStream, SocketAddr);

/// A network in memory. Addresses are those of this network alone; `localhost` is 127.0.0.1, and a listener on 0.0.0.0 hears every address.
#[derive(Default)]
pub struct SimNetwork(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Accepted>>,
    connections: u16,
}

impl SimNetwork {
    /// A network without listeners.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

#[async_trait]
impl Network for SimNetwork {
    async fn listen(&self, mut address: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let mut state = self.0.lock();
        if address.port() == 0 {
            let free = (FIRST_FREE_PORT..).find(|port| state.listeners.keys().all(|taken| taken.port() != *port));
            address.set_port(free.ok_or(io::ErrorKind::AddrInUse)?);
        }
        if state.listeners.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, incoming) = mpsc::channel(BACKLOG);
        state.listeners.insert(address, sender);
        Ok(Box::new(SimListener { network: self.0.clone(), address, incoming: tokio::sync::Mutex::new(incoming) }))
    }

    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        let address = parse(address)?;
        let (sender, from) = {
            let mut state = self.0.lock();
            let anywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            let listener = state.listeners.get(&address).or_else(|| state.listeners.get(&anywhere));
            let sender = listener.ok_or(io::ErrorKind::ConnectionRefused)?.clone();
            state.connections = state.connections.wrapping_add(1);
            (sender, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 32_768 + state.connections % 32_768))
        };
        let (ours, theirs) = tokio::io::duplex(BUFFER_LEN);
        sender.send((theirs, from)).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(ours))
    }
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    let address = address.strip_prefix("localhost:").map_or_else(|| address.to_owned(), |port| format!("127.0.0.1:{port}"));
    address.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Frees its address when it is dropped.
struct SimListener {
    network: Arc<Mutex<State>>,
    address: SocketAddr,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Accepted>>,
}

#[async_trait]
impl Listener for SimListener {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let accepted = self.incoming.lock().await.recv().await;
        let (connection, from) = accepted.ok_or(io::ErrorKind::NotConnected)?;
        Ok((Box::new(connection), from))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.network.lock().listeners.remove(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::future::join;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn bytes_go_both_ways_until_one_side_closes() {
        let network = SimNetwork::new();
        block_on(async {
            let listener = network.listen("0.0.0.0:0".parse().unwrap()).await.unwrap();
            let address = format!("localhost:{}", listener.local_address().unwrap().port());
            let serve = async {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut asked = [0; 3];
                connection.read_exact(&mut asked).await.unwrap();
                connection.write_all(&asked).await.unwrap();
            };
            let ask = async {
                let mut connection = network.connect(&address).await.unwrap();
                connection.write_all(b"abc").await.unwrap();
                let mut answer = String::new();
                connection.read_to_string(&mut answer).await.unwrap();
                answer
            };
            assert_eq!(join(serve, ask).await.1, "abc");
        });
    }

    #[test]
    fn an_address_has_one_listener_and_is_free_without() {
        let network = SimNetwork::new();
        block_on(async {
            let address = "127.0.0.1:3100".parse().unwrap();
            let refused = |result: io::Result<Box<dyn Connection>>| result.err().map(|error| error.kind());
            assert_eq!(refused(network.connect("127.0.0.1:3100").await), Some(io::ErrorKind::ConnectionRefused));
            assert_eq!(refused(network.connect("nonsense").await), Some(io::ErrorKind::InvalidInput));
            let listener = network.listen(address).await.unwrap();
            assert_eq!(network.listen(address).await.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
            drop(listener);
            assert_eq!(refused(network.connect("127.0.0.1:3100").await), Some(io::ErrorKind::ConnectionRefused));
            network.listen(address).await.unwrap();
        });
    }
}
