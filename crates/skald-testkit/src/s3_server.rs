//! A real S3 server (SeaweedFS) for tests, on the loopback interface and with a directory of its own.
#![allow(clippy::disallowed_methods, reason = "a real server has real files, sockets and times")]

use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where `scripts/s3-server.sh` installs the program.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/seaweedfs-4.48/bin/weed");
/// Certificate and key of `localhost`, for tests alone: everybody has the key.
const CERTIFICATE: &str = include_str!("s3_server/localhost.crt");
const KEY: &str = include_str!("s3_server/localhost.key");
/// How long the server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ports tried: each service also listens 10,000 higher, and both stay below those that the system gives to clients.
const PORTS: std::ops::Range<u16> = 20_100..22_700;

/// Does nothing when told so, and when its input ends untold, since the test died: kills the server and removes its directory.
const WATCH: &str = r#"read -r word || { kill -9 "$1"; rm -rf "$2"; }"#;

/// A running S3 server. Killed with the value, or with the process, and its objects with it.
pub struct S3Server {
    folder: TempDir,
    is_tls: bool,
    ports: [u16; 4],
    running: Mutex<Option<Running>>,
}

struct Running {
    server: Child,
    watcher: Child,
    watched: ChildStdin,
}

impl S3Server {
    /// Id of the access key that may do everything.
    pub const ACCESS_KEY: &str = "skald-test";
    /// Its secret.
    pub const SECRET_KEY: &str = "skald-test-secret";

    /// Starts a server without buckets, and waits until it is ready.
    ///
    /// # Panics
    /// When the program is not installed, or does not become ready.
    pub fn start() -> Self {
        Self::start_with(false)
    }

    /// Starts a server that talks over TLS with [`S3Server::certificate`].
    ///
    /// # Panics
    /// As [`S3Server::start`].
    pub fn start_tls() -> Self {
        Self::start_with(true)
    }

    fn start_with(is_tls: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("skald-s3-").tempdir().expect("a temporary directory");
        let identity = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{}","secretKey":"{}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#,
            Self::ACCESS_KEY,
            Self::SECRET_KEY
        );
        std::fs::write(folder.path().join("s3.json"), identity).expect("the directory takes files");
        std::fs::write(folder.path().join("localhost.crt"), CERTIFICATE).expect("the directory takes files");
        std::fs::write(folder.path().join("localhost.key"), KEY).expect("the directory takes files");
        std::fs::create_dir(folder.path().join("data")).expect("the directory takes directories");
        let mut server = S3Server { folder, is_tls, ports: [0; 4], running: Mutex::new(None) };
        // Another process may take a port between the look and the start.
        for _ in 0..5 {
            server.ports = free_ports();
            if server.try_start() {
                return server;
            }
        }
        panic!("the S3 server does not start: {}", server.log());
    }

    /// Where it is: `http://127.0.0.1:…`, or `https://localhost:…`.
    pub fn endpoint(&self) -> String {
        if self.is_tls { format!("https://localhost:{}", self.address().port()) } else { format!("http://{}", self.address()) }
    }

    /// File with the certificate that clients must trust.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("localhost.crt")
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When the server does not.
    pub fn create_bucket(&self, name: &str) {
        // Buckets are folders of the server's file system, which takes requests without signatures on a port of its own.
        let [_, _, filer, _] = self.ports;
        let answer = post(SocketAddr::from(([127, 0, 0, 1], filer)), &format!("/buckets/{name}/"));
        assert!(answer.starts_with("HTTP/1.1 201"), "bucket {name}: {answer}");
    }

    /// Kills the server; what it holds stays.
    pub fn stop(&self) {
        if let Some(mut running) = self.running.lock().take() {
            // Asked to stop it would take 16 s.
            let _ = running.server.kill();
            let _ = running.server.wait();
            let _ = running.watched.write_all(b"stopped\n");
            let _ = running.watcher.wait();
        }
    }

    /// Starts the server again, on the same ports and with what it held.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_again(&self) {
        assert!(self.try_start(), "the S3 server does not start again: {}", self.log());
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn address(&self) -> SocketAddr {
        let [_, _, _, s3] = self.ports;
        SocketAddr::from(([127, 0, 0, 1], s3))
    }

    /// Starts the process and waits until it answers; false when it ends instead.
    fn try_start(&self) -> bool {
        self.stop();
        let (folder, data) = (self.folder.path(), self.folder.path().join("data"));
        let [master, volume, filer, s3] = self.ports;
        let log = std::fs::File::create(self.log_path()).expect("the directory takes files");
        let mut command = Command::new(program());
        command.arg("server").arg(format!("-dir={}", data.display()));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-filer", "-s3"]);
        command.args([
            format!("-master.port={master}"),
            format!("-volume.port={volume}"),
            format!("-filer.port={filer}"),
            format!("-s3.port={s3}"),
        ]);
        command.args(["-volume.max=64", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-s3.config={}", folder.join("s3.json").display()));
        if self.is_tls {
            let key = folder.join("localhost.key");
            command.args([format!("-s3.cert.file={}", self.certificate().display()), format!("-s3.key.file={}", key.display())]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = command.spawn().expect("the program runs");
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "sh", &server.id().to_string()]).arg(folder);
        let mut watcher = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh runs");
        let watched = watcher.stdin.take().expect("it is piped");
        *self.running.lock() = Some(Running { server, watcher, watched });
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.is_running() {
            // Without a signature the answer is 403, without TLS 400: that is an answer.
            if answers(self.address()) && self.takes_objects() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.stop();
        false
    }

    fn is_running(&self) -> bool {
        self.running.lock().as_mut().is_some_and(|running| matches!(running.server.try_wait(), Ok(None)))
    }

    /// The parts of the server start one after another; before the last is there, a put fails.
    fn takes_objects(&self) -> bool {
        let [master, ..] = self.ports;
        post(SocketAddr::from(([127, 0, 0, 1], master)), "/dir/assign").contains("\"fid\"")
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // The directory goes with `folder`.
        self.stop();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("SKALD_S3_SERVER").map_or_else(|| PathBuf::from(INSTALLED), PathBuf::from);
    assert!(
        is_file(&path),
        "there is no S3 server at {}: `make test` installs it, as `scripts/s3-server.sh` does alone; or set SKALD_S3_SERVER to the program `weed`",
        path.display()
    );
    path
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Four ports that are free, and 10,000 above them too. Each call looks from where the last one ended, and each process from another place.
fn free_ports() -> [u16; 4] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = PORTS.end - PORTS.start;
    let offset = (std::process::id() % u32::from(range)) as u16;
    let is_free = |port: &u16| [*port, *port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let candidates = (0..range).map(|_| PORTS.start + (NEXT.fetch_add(1, Ordering::Relaxed) % range + offset) % range);
    let found: Vec<u16> = candidates.filter(is_free).take(4).collect();
    found.try_into().expect("four of many ports are free")
}

fn answers(at: SocketAddr) -> bool {
    request(at, "GET / HTTP/1.0\r\n\r\n").is_some_and(|answer| answer.starts_with("HTTP/1."))
}

fn post(at: SocketAddr, path: &str) -> String {
    request(at, &format!("POST {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).unwrap_or_default()
}

fn request(at: SocketAddr, text: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
