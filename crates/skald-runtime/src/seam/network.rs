use async_trait::async_trait;
use skald_model::seam::{Connection, Listener, Network};
use std::io;
use std::net::SocketAddr;

/// TCP sockets of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioNetwork;

struct TcpListener(tokio::net::TcpListener);

#[async_trait]
impl Network for TokioNetwork {
    #[allow(clippy::disallowed_methods, reason = "this is the real network")]
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(TcpListener(tokio::net::TcpListener::bind(address).await?)))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the real network")]
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), peer))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_go_both_ways_and_a_taken_port_is_refused() {
        let listener = TokioNetwork.listen((Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
        let address = listener.local_address().expect("it listens");
        let client = async {
            let mut connection = TokioNetwork.connect(&address.to_string()).await.expect("it listens");
            connection.write_all(b"ping").await.expect("it is open");
            let mut answer = [0; 4];
            connection.read_exact(&mut answer).await.expect("it answers");
            answer
        };
        let server = async {
            let (mut connection, _) = listener.accept().await.expect("someone connects");
            let mut question = [0; 4];
            connection.read_exact(&mut question).await.expect("it asks");
            connection.write_all(b"pong").await.expect("it is open");
            question
        };
        assert_eq!(tokio::join!(client, server), (*b"pong", *b"ping"));
        let taken = TokioNetwork.listen(address).await.err().expect("the port is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
