use skald_model::ErrorKind;
use skald_model::seam::{Listener, Network};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a source does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The text is no address, or its name leads to none.
    #[error("\"{address}\" is not an address to listen on")]
    Address {
        /// As configured.
        address: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The address is taken, not ours or not allowed.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl ListenError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address { .. } => ErrorKind::InvalidInput,
            Self::Listen { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Addresses that `host:port` stands for, in the order in which they are to be tried. Without a host: all addresses of the machine.
///
/// # Errors
/// [`ListenError::Address`]
pub(super) async fn addresses(text: &str) -> Result<Vec<SocketAddr>, ListenError> {
    let wrong = |source| ListenError::Address { address: text.to_owned(), source };
    let port = |port: &str| port.parse::<u16>().map_err(|error| wrong(io::Error::new(io::ErrorKind::InvalidInput, error)));
    if let Some(any) = text.strip_prefix(':') {
        let port = port(any)?;
        // Hears both families where the system lets it; some have no IPv6.
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let (_, number) = text.rsplit_once(':').ok_or_else(|| wrong(io::Error::new(io::ErrorKind::InvalidInput, "it has no port")))?;
    port(number)?;
    tokio::net::lookup_host(text).await.map(Iterator::collect).map_err(wrong)
}

/// Listens on the first of the addresses that `text` stands for which can be had.
///
/// # Errors
/// See [`ListenError`].
pub(super) async fn listen(network: &dyn Network, text: &str) -> Result<Box<dyn Listener>, ListenError> {
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses(text).await? {
        match network.listen(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(ListenError::Listen { address: text.to_owned(), source: refused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_testkit::SimNetwork;

    #[track_caller]
    fn check(text: &str, want: Option<&[&str]>) {
        let found = futures::executor::block_on(addresses(text));
        let found = found.map(|found| found.iter().map(SocketAddr::to_string).collect::<Vec<_>>());
        assert_eq!(found.ok(), want.map(|want| want.iter().map(|text| (*text).to_owned()).collect()), "{text}");
    }

    #[test]
    fn an_address_without_a_host_is_every_address() {
        check(":1514", Some(&["[::]:1514", "0.0.0.0:1514"]));
        check("127.0.0.1:0", Some(&["127.0.0.1:0"]));
        check("[::1]:1514", Some(&["[::1]:1514"]));
        for wrong in ["", "1514", ":", ":http", ":70000", "host:x"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_taken_address_is_named() {
        let network = SimNetwork::new();
        futures::executor::block_on(async {
            let _held = network.listen("127.0.0.1:1514".parse().unwrap()).await.unwrap();
            let refused = listen(&*network, "127.0.0.1:1514").await.err().unwrap();
            assert_eq!((refused.to_string().as_str(), refused.kind()), ("cannot listen on 127.0.0.1:1514", ErrorKind::Unavailable));
        });
    }
}
