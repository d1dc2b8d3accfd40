use super::*;
use crate::{Metrics, SystemClock, TokioNetwork, TokioSpawner};
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

const LONG: Duration = Duration::from_secs(600);

async fn start(router: Router, connections_max: usize, connections: Gauge) -> HttpServer {
    let (clock, spawner) = (Arc::new(SystemClock::new()), Arc::new(TokioSpawner::new(&Metrics::new("test"))));
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    HttpServer::start(address, router, connections_max, connections, &TokioNetwork, clock, spawner).await.expect("a free port")
}

async fn connect(address: SocketAddr) -> Box<dyn Connection> {
    TokioNetwork.connect(&address.to_string()).await.expect("it listens")
}

async fn send(connection: &mut Box<dyn Connection>, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("it is open");
}

/// Everything until the server closes.
async fn receive(connection: &mut Box<dyn Connection>) -> String {
    let mut answer = Vec::new();
    // A connection that is cut may end in an error; what came before counts.
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("answers are text")
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut connection = connect(address).await;
    send(&mut connection, path).await;
    receive(&mut connection).await
}

#[tokio::test]
async fn handlers_know_the_peer_and_urls_may_be_long() {
    let peer = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() });
    let length = get(|uri: http::Uri| async move { uri.to_string().len().to_string() });
    let server = start(Router::new().route("/peer", peer).route("/length", length), 8, Gauge::default()).await;
    let answer = ask(server.address(), "/peer").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    let path = format!("/length?query={}", "x".repeat(65_534 - 14));
    let answer = ask(server.address(), &path).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("65534"), "{answer}");
    server.stop(LONG).await;
}

#[tokio::test]
async fn what_no_head_may_hold_is_refused_in_words() {
    let server = start(Router::new().route("/", get(|| async { "fine" })), 8, Gauge::default()).await;
    let too_long = "the URL is longer than 65534 bytes; a long query can be sent as a form, by POST";
    for len in [65_535, 100_000, HEAD_BYTES_MAX + 1000, 20 * HEAD_BYTES_MAX] {
        let answer = ask(server.address(), &format!("/?{}", "x".repeat(len - 2))).await;
        assert!(answer.starts_with("HTTP/1.1 414 URI Too Long\r\n") && answer.ends_with(&format!("\r\n\r\n{too_long}")), "{len}: {answer}");
    }
    let mut connection = connect(server.address()).await;
    let twice = format!("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    connection.write_all(twice.as_bytes()).await.expect("it is open");
    let answers = receive(&mut connection).await;
    drop(connection);
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("fineHTTP/1.1 414") && answers.ends_with(too_long), "{answers}");
    let answer = ask(server.address(), &format!("/ HTTP/1.1\r\nX: {}\r\nY:", "x".repeat(2 * HEAD_BYTES_MAX))).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.ends_with("262144 bytes, or too many fields"), "{answer}");
    server.stop(LONG).await;
}

/// Sends a request over a connection without room, so that the answer is made while the client is still sending.
async fn send_slowly(request: &[u8]) -> (String, Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    let (mut client, server) = tokio::io::duplex(512);
    let unread = Unread::default();
    let connection = TokioIo::new(Explained::new(Box::new(server), Arc::new(SystemClock::new()), unread.clone()));
    let router = Router::new().route("/", axum::routing::any(|| async { "fine" }));
    let service = router
        .map_request(move |request: http::Request<hyper::body::Incoming>| -> Request { unread.track(request).map(axum::body::Body::new) });
    let serving = builder().serve_connection_with_upgrades(connection, TowerToHyperService::new(service)).into_owned();
    let client = async move {
        let (mut reading, mut writing) = tokio::io::split(&mut client);
        let mut answer = String::new();
        let (sent, read) = futures::join!(writing.write_all(request), reading.read_to_string(&mut answer));
        assert!(sent.is_ok() && read.is_ok(), "{sent:?} {read:?}");
        drop(client);
        answer
    };
    futures::join!(client, serving)
}

#[tokio::test]
async fn a_client_that_is_answered_early_may_send_to_the_end_and_reads_the_answer() {
    let too_long = format!("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(8 * HEAD_BYTES_MAX));
    let (answer, served) = send_slowly(too_long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414") && answer.ends_with("by POST") && served.is_err(), "{answer}");
    let body = "x".repeat(1 << 20);
    let unread = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (answer, _) = send_slowly(unread.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("fine"), "{answer}");
}

#[tokio::test]
async fn http_2_is_served_on_the_same_port() {
    let server = start(Router::new().route("/", get(|| async { "two" })), 8, Gauge::default()).await;
    let io = TokioIo::new(connect(server.address()).await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("it speaks HTTP/2");
    let client = async {
        let uri = format!("http://{}/", server.address());
        let request = http::Request::builder().uri(uri).body(Empty::<hyper::body::Bytes>::new()).expect("it is a request");
        let answer = sender.send_request(request).await.expect("it answers");
        let version = answer.version();
        let body = answer.into_body().collect().await.expect("it has a body").to_bytes();
        drop(sender);
        (version, body)
    };
    let ((version, body), _) = futures::join!(client, connection);
    assert_eq!((version, &body[..]), (http::Version::HTTP_2, &b"two"[..]));
}

#[tokio::test]
async fn stopping_lets_requests_end_and_accepts_no_new_ones() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        get(move || async move {
            entered.notify_one();
            release.notified().await;
            "late"
        })
    };
    let server = start(Router::new().route("/", handler), 8, Gauge::default()).await;
    let address = server.address();
    let mut connection = connect(address).await;
    send(&mut connection, "/").await;
    entered.notified().await;
    let stopping = server.stop(LONG);
    let client = async {
        while TokioNetwork.connect(&address.to_string()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        release.notify_one();
        receive(&mut connection).await
    };
    let ((), answer) = futures::join!(stopping, client);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("late"), "{answer}");
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_server() {
    let server = start(Router::new().route("/", get(|| async { "x" })), 8, Gauge::default()).await;
    let mut silent = connect(server.address()).await;
    let mut used = connect(server.address()).await;
    used.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is open");
    let mut first = [0; 12];
    used.read_exact(&mut first).await.expect("it answers");
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop(LONG).await;
    assert!(receive(&mut used).await.ends_with("\r\n\r\nx"));
    assert_eq!(receive(&mut silent).await, "");
}

#[tokio::test]
async fn connections_are_cut_after_the_bound() {
    let entered = Arc::new(Notify::new());
    let handler = {
        let entered = Arc::clone(&entered);
        get(move || async move {
            entered.notify_one();
            std::future::pending::<&'static str>().await
        })
    };
    let server = start(Router::new().route("/", handler), 8, Gauge::default()).await;
    let mut connection = connect(server.address()).await;
    send(&mut connection, "/").await;
    entered.notified().await;
    server.stop(Duration::from_millis(1)).await;
    assert_eq!(receive(&mut connection).await, "");
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_others_to_end() {
    let connections: Gauge = Gauge::default();
    let seen = connections.clone();
    let server = start(Router::new().route("/", get(move || async move { seen.get().to_string() })), 1, connections).await;
    let answers = futures::future::join_all((0..5).map(|_| ask(server.address(), "/"))).await;
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n1"), "{answer}");
    }
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_address() {
    let server = start(Router::new(), 1, Gauge::default()).await;
    let address = server.address();
    let (clock, spawner) = (Arc::new(SystemClock::new()), Arc::new(TokioSpawner::new(&Metrics::new("test"))));
    let second = HttpServer::start(address, Router::new(), 1, Gauge::default(), &TokioNetwork, clock, spawner).await;
    let error = second.err().expect("the port is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {address}: address in use"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
