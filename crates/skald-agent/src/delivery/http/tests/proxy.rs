use super::server::free_address;
use super::*;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpListener;

/// A proxy that connects every CONNECT to one address, and keeps the heads of requests.
#[allow(clippy::disallowed_methods, reason = "the client under test has a real network")]
async fn tunnel_to(port: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind(free_address().await).await.expect("the address is free");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let seen = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.expect("a whole head"));
            }
            seen.lock().push(String::from_utf8(head).expect("text"));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("it listens");
            let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (url, heads)
}

#[tokio::test]
async fn an_encrypted_push_goes_through_a_tunnel() {
    let authority = tls::Authority::new();
    let server = Server::start_tls(authority.server("logs.test"), |_| Reply::status(204)).await;
    let (proxy, heads) = tunnel_to(server.port()).await;
    let config = format!(
        "url: https://logs.test:4443/push\nproxy_url: {proxy}\nproxy_connect_header: {{X-Key: [k]}}\nheaders: {{X-Inner: i}}\ntls_config: {{ca_file: '{}'}}",
        authority.ca_file()
    );
    assert_eq!(push(&open(&config).await).await.status, 204);
    let head = heads.lock().remove(0).to_lowercase();
    assert!(head.starts_with("connect logs.test:4443 http/1.1\r\n"), "{head}");
    assert!(head.contains("x-key: k\r\n") && !head.contains("x-inner"), "{head}");
    let request = server.requests().remove(0);
    assert_eq!((request.header("x-key"), request.header("x-inner"), request.header("host")), (None, Some("i"), Some("logs.test:4443")));
}

#[tokio::test]
async fn a_plain_push_is_handed_to_the_proxy() {
    let proxy = Server::start(|_| Reply::status(204)).await;
    let config = format!("url: http://logs.test/push\nproxy_url: {}\nno_proxy: other.test,10.0.0.0/8", proxy.url());
    assert_eq!(push(&open(&config).await).await.status, 204);
    assert_eq!(proxy.requests()[0].path, "http://logs.test/push");
}

#[tokio::test]
async fn what_needs_no_proxy_is_reached_without() {
    let (proxy, server) = (Server::start(|_| Reply::status(502)).await, Server::start(|_| Reply::status(204)).await);
    for except in ["127.0.0.1", "127.0.0.0/8", "*"] {
        let config = format!("url: {}\nproxy_url: {}\nno_proxy: '{except}'", server.url(), proxy.url());
        assert_eq!(push(&open(&config).await).await.status, 204, "{except}");
    }
    assert_eq!(proxy.requests().len(), 0);
}
