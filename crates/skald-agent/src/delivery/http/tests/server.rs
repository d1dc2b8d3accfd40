//! A server on the loopback that answers as a test says.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request as HttpRequest;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Ports of these tests.
const PORTS: std::ops::Range<u16> = 22_000..22_999;

/// What a server got.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub never: bool,
    /// Counts the pieces of a long body that stands in the place of `body`.
    pub long: Option<Arc<AtomicUsize>>,
}

/// Bytes of a long body, and of a piece of it.
pub const LONG_LEN: usize = 64 << 20;
pub const PIECE_LEN: usize = 32 << 10;

impl Reply {
    pub fn status(status: u16) -> Self {
        Reply { status, headers: Vec::new(), body: String::new(), never: false, long: None }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// Stops when dropped.
pub struct Server {
    address: SocketAddr,
    secure: bool,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
}

/// An address where nobody listens.
pub async fn free_address() -> SocketAddr {
    listen().await.local_addr().expect("it listens")
}

async fn listen() -> TcpListener {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let port = PORTS.start + (std::process::id() as usize * 31 + NEXT.fetch_add(1, Ordering::Relaxed)) as u16 % PORTS.len() as u16;
        if let Ok(listener) = bind(([127, 0, 0, 1], port).into()).await {
            return listener;
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the client under test has a real network")]
async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

impl Server {
    pub async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Server::run(listen().await, None, script)
    }

    pub async fn start_at(address: SocketAddr, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Server::run(bind(address).await.expect("the address is free"), None, script)
    }

    pub async fn start_tls(tls: ServerConfig, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Server::run(listen().await, Some(TlsAcceptor::from(Arc::new(tls))), script)
    }

    pub async fn start_tls_at(address: SocketAddr, tls: ServerConfig, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Server::run(bind(address).await.expect("the address is free"), Some(TlsAcceptor::from(Arc::new(tls))), script)
    }

    #[allow(clippy::disallowed_methods, reason = "the client under test has a real runtime")]
    fn run(listener: TcpListener, tls: Option<TlsAcceptor>, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { script: Box::new(script), requests: Mutex::default(), connections: AtomicUsize::new(0) });
        let (address, secure) = (listener.local_addr().expect("it listens"), tls.is_some());
        let task = tokio::spawn(accept(listener, tls, shared.clone()));
        Server { address, secure, shared, task }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }

    /// Connections that came to requests, or to the end of the TLS handshake.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes the listener and all connections.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _: AbortHandle = connections.spawn(serve(stream, tls.clone(), shared.clone()));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let routes = Router::new().fallback({
        let shared = shared.clone();
        move |request| answer(shared, request)
    });
    let service = TowerToHyperService::new(routes);
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    match tls {
        None => {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
        Some(tls) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            shared.connections.fetch_add(1, Ordering::Relaxed);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

async fn answer(shared: Arc<Shared>, request: HttpRequest) -> Response {
    let (head, body) = request.into_parts();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: to_bytes(body, 64 << 20).await.expect("a whole body"),
    };
    let reply = (shared.script)(&request);
    shared.requests.lock().push(request);
    if reply.never {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = match reply.long {
        Some(pieces) => Body::from_stream(futures::stream::iter((0..LONG_LEN / PIECE_LEN).map(move |_| {
            pieces.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; PIECE_LEN]))
        }))),
        None => Body::from(reply.body),
    };
    response.body(body).expect("a response")
}

/// Files of a configuration.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Files(tempfile::tempdir().expect("a directory"))
    }

    /// Writes a file and gives its path.
    #[allow(clippy::disallowed_methods, reason = "the client under test has a real disk")]
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a disk");
        path.to_str().expect("UTF-8").to_owned()
    }

    #[allow(clippy::disallowed_methods, reason = "the client under test has a real disk")]
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.path().join(name)).expect("it is there");
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}
