use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ports tried: below those that the system gives to clients, so that nobody takes one while nothing listens there.
const PORTS: std::ops::Range<u16> = 23_000..30_000;
/// Longest head of a request or answer.
const HEAD_MAX: usize = 64 << 10;
/// How long a connection hangs at most.
const HANG_MAX: Duration = Duration::from_secs(60);

/// What a [`FaultProxy`] does to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes them on.
    None,
    /// Nothing listens.
    Refuse,
    /// Takes requests and does not answer before the fault is another.
    Hang,
    /// Pauses before each piece of an answer.
    Slow(Duration),
    /// Does what is asked, and closes the connection after so many bytes of the answer: 0 loses it.
    Cut(usize),
    /// Answers every so-many-th request by itself, with this status and code of an error.
    Answer(usize, u16, &'static str),
    /// Changes a byte in the body of each object that is read. Lists stay as they are.
    FlipByte,
    /// Says that every put succeeded which did not since the name was taken: as a server without conditional puts.
    EveryPutWins,
}

/// A request that was passed on, and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path with its query string.
    pub path: String,
    /// Bytes of the answer's body.
    pub received: usize,
}

impl Exchange {
    /// Whether it read (a part of) an object whose name holds `part`.
    pub fn reads(&self, part: &str) -> bool {
        self.method == "GET" && !self.path.contains("list-type=") && self.path.contains(part)
    }
}

/// Stands between a process and an HTTP server, and fails on demand. One request for a connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    fault: Mutex<Fault>,
    is_stopped: AtomicBool,
    requests: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

impl FaultProxy {
    /// A proxy in front of the server at `endpoint`: `http://127.0.0.1:…`.
    pub fn start(endpoint: &str) -> Self {
        let upstream = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let count = usize::from(PORTS.end - PORTS.start);
        let ports =
            (0..count).map(|_| PORTS.start + ((NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() as usize * 16) % count) as u16);
        let listener = ports.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).next().unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            fault: Mutex::new(Fault::None),
            is_stopped: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            exchanges: Mutex::default(),
        });
        let accepting = Some(std::thread::spawn({
            let shared = shared.clone();
            move || accept(address, listener, &shared)
        }));
        FaultProxy { address, shared, accepting }
    }

    /// Where it is: `http://127.0.0.1:…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to requests from now on.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// What was passed on since the last call.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.shared.exchanges.lock().unwrap())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        if let Some(accepting) = self.accepting.take() {
            // It has nothing to say.
            let _ = accepting.join();
        }
    }
}

fn accept(address: SocketAddr, listener: TcpListener, shared: &Arc<Shared>) {
    let mut listening = Some(listener);
    while !shared.is_stopped.load(Ordering::SeqCst) {
        if shared.fault() == Fault::Refuse {
            listening = None;
        } else if listening.is_none() {
            listening = TcpListener::bind(address).ok();
        }
        let accepted = listening.as_ref().and_then(|listener| {
            listener.set_nonblocking(true).unwrap();
            listener.accept().ok()
        });
        match accepted {
            Some((client, _)) => {
                let shared = shared.clone();
                // A connection that breaks is what this is for.
                std::thread::spawn(move || drop(shared.serve(client)));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_nonblocking(false)?;
        client.set_read_timeout(Some(HANG_MAX))?;
        let (head, mut body) = read_head(&mut client)?;
        let len = header(&head, "content-length").and_then(|len| len.parse().ok()).unwrap_or(body.len());
        let got = body.len().min(len);
        body.resize(len, 0);
        client.read_exact(&mut body[got..])?;
        let (number, fault) = (self.requests.fetch_add(1, Ordering::SeqCst) + 1, self.fault());
        match fault {
            Fault::Refuse => return Ok(()),
            Fault::Hang => return self.hang(),
            Fault::Answer(every, status, code) if number.is_multiple_of(every) => return refuse(&mut client, status, code),
            _ => {}
        }
        let mut server = TcpStream::connect(self.upstream)?;
        server.set_read_timeout(Some(HANG_MAX))?;
        server.write_all(with_close(&head).as_bytes())?;
        server.write_all(&body)?;
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let exchange = Exchange { method, path, received: 0 };
        match fault {
            Fault::FlipByte | Fault::EveryPutWins => self.pass_changed(fault, number, exchange, &mut server, &mut client),
            _ => self.pass(fault, exchange, &mut server, &mut client),
        }
    }

    /// Until there is another fault.
    fn hang(&self) -> std::io::Result<()> {
        let begun = Instant::now();
        while self.fault() == Fault::Hang && !self.is_stopped.load(Ordering::SeqCst) && begun.elapsed() < HANG_MAX {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn pass(&self, fault: Fault, mut exchange: Exchange, server: &mut TcpStream, client: &mut TcpStream) -> std::io::Result<()> {
        let (head, mut piece) = read_head(server)?;
        let mut left = if let Fault::Cut(after) = fault { after } else { usize::MAX };
        let mut send = |bytes: &[u8]| {
            if let Fault::Slow(pause) = fault {
                std::thread::sleep(pause);
            }
            let sent = bytes.len().min(left);
            left -= sent;
            client.write_all(&bytes[..sent])
        };
        send(head.as_bytes())?;
        // What came with the head, then what comes.
        while !piece.is_empty() || fill(server, &mut piece)? {
            exchange.received += piece.len();
            send(&piece)?;
            piece.clear();
        }
        self.exchanges.lock().unwrap().push(exchange);
        client.shutdown(Shutdown::Both)
    }

    fn pass_changed(
        &self,
        fault: Fault,
        number: usize,
        mut exchange: Exchange,
        server: &mut TcpStream,
        client: &mut TcpStream,
    ) -> std::io::Result<()> {
        let (mut head, mut body) = read_head(server)?;
        server.read_to_end(&mut body)?;
        exchange.received = body.len();
        let is_object = exchange.reads("/") && head.starts_with("HTTP/1.1 20");
        if fault == Fault::FlipByte && is_object && !body.is_empty() {
            let at = number.wrapping_mul(0x9e37_79b9) % body.len();
            body[at] ^= 0x5a;
        }
        if fault == Fault::EveryPutWins && head.starts_with("HTTP/1.1 412") {
            (head, body) = ("HTTP/1.1 200 OK\r\netag: \"0\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(), Vec::new());
        }
        self.exchanges.lock().unwrap().push(exchange);
        client.write_all(head.as_bytes())?;
        client.write_all(&body)
    }
}

/// Head with its empty line, and what came after it.
fn read_head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let mut piece = [0; 4096];
        let got = stream.read(&mut piece)?;
        if got == 0 || bytes.len() > HEAD_MAX {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..got]);
    }
}

/// Reads a piece; false at the end.
fn fill(stream: &mut TcpStream, piece: &mut Vec<u8>) -> std::io::Result<bool> {
    piece.resize(16 << 10, 0);
    let got = stream.read(piece)?;
    piece.truncate(got);
    Ok(got > 0)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name))).map(|(_, value)| value.trim())
}

/// The head, which asks for the connection to be closed after the answer.
fn with_close(head: &str) -> String {
    let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.chain(["connection: close", "", ""]).collect::<Vec<_>>().join("\r\n")
}

fn refuse(client: &mut TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>");
    let head =
        format!("HTTP/1.1 {status} Failed\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    client.write_all((head + &body).as_bytes())
}
