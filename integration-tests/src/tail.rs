use crate::{Server, until};
use serde_json::Value;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// How long a message may take. Generous: no test measures time.
const FRAME_WAIT: Duration = Duration::from_secs(60);

/// A live tail, as a client sees it.
pub struct Tail {
    socket: WebSocket<TcpStream>,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A text frame.
    Message(Value),
    /// A ping, which is answered with the next frame that is read.
    Ping,
    /// A close frame: code and reason.
    Closed(u16, String),
    /// The end of the connection without one.
    Lost,
}

/// An entry of a tail: time, line, and the object that it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Tailed {
    /// Nanoseconds since 1970.
    pub at: i64,
    /// The line.
    pub line: String,
    /// The stream object.
    pub stream: Value,
}

impl Tail {
    /// Opens a tail of `/loki/api/v1/tail`.
    #[track_caller]
    pub fn open(server: &Server, params: &[(&str, &str)]) -> Self {
        Self::open_with(server, "/loki/api/v1/tail", params, &[])
    }

    /// Opens a tail with headers.
    #[track_caller]
    pub fn open_with(server: &Server, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Self {
        let host = server.address().strip_prefix("http://").unwrap();
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let mut request = format!("ws://{host}{path}?{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(FRAME_WAIT)).unwrap();
        let (socket, _) = client(request, stream).unwrap_or_else(|error| panic!("{error}"));
        Tail { socket }
    }

    /// The next frame.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        match self.socket.read() {
            Ok(Message::Text(text)) => Frame::Message(serde_json::from_str(&text).unwrap()),
            Ok(Message::Ping(payload)) => {
                assert!(payload.is_empty());
                Frame::Ping
            }
            Ok(Message::Close(frame)) => {
                let CloseFrame { code, reason } = frame.unwrap();
                Frame::Closed(code.into(), reason.to_string())
            }
            Ok(other) => panic!("{other:?}"),
            Err(tokio_tungstenite::tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("no frame came")
            }
            Err(_) => Frame::Lost,
        }
    }

    /// The next message.
    #[track_caller]
    pub fn message(&mut self) -> Value {
        let begun = Instant::now();
        while begun.elapsed() < FRAME_WAIT {
            match self.frame() {
                Frame::Message(message) => return message,
                Frame::Ping => {}
                end => panic!("{end:?}"),
            }
        }
        panic!("no message came");
    }

    /// Entries until there are `count`, or more in the last message. Nothing may be dropped.
    #[track_caller]
    pub fn entries(&mut self, count: usize) -> Vec<Tailed> {
        let mut entries = Vec::new();
        while entries.len() < count {
            let message = self.message();
            assert!(message.get("dropped_entries").is_none(), "{message}");
            entries.extend(tailed(&message));
        }
        entries
    }

    /// What the server closes with, whatever it sends before.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let begun = Instant::now();
        while begun.elapsed() < FRAME_WAIT {
            match self.frame() {
                Frame::Message(_) | Frame::Ping => {}
                Frame::Closed(code, reason) => return (code, reason),
                Frame::Lost => panic!("the connection was lost"),
            }
        }
        panic!("it was not closed");
    }

    /// Says goodbye, and waits for the server to do so.
    #[track_caller]
    pub fn leave(mut self) {
        self.socket.close(None).unwrap();
        while self.socket.read().is_ok() {}
    }
}

/// The entries of a message.
pub fn tailed(message: &Value) -> Vec<Tailed> {
    let streams = message["streams"].as_array().unwrap();
    assert!(streams.len() <= 100, "{} entries in a message", streams.len());
    let entry = |stream: &Value| {
        assert_eq!(stream["values"].as_array().unwrap().len(), 1, "{stream}");
        let value = &stream["values"][0];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Tailed { at: text(&value[0]).parse().unwrap(), line: text(&value[1]), stream: stream.clone() }
    };
    streams.iter().map(entry).collect()
}

/// A port that stays the same while the server behind it is another one.
pub struct Forwarder {
    address: String,
    target: Arc<Mutex<String>>,
}

impl Forwarder {
    /// Forwards to `server`.
    pub fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(String::new()));
        let of_thread = target.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let target = of_thread.lock().unwrap().clone();
                // Where nobody listens the client finds a closed connection.
                let Ok(to) = TcpStream::connect(target) else { continue };
                for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.flush();
                        let _ = to.shutdown(Shutdown::Both);
                        let _ = from.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        let forwarder = Forwarder { address, target };
        forwarder.now_to(server);
        forwarder
    }

    /// Forwards to another server from now on.
    pub fn now_to(&self, server: &Server) {
        *self.target.lock().unwrap() = server.address().strip_prefix("http://").unwrap().to_owned();
    }

    /// Where it listens: `http://127.0.0.1:…`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Server {
    /// Waits until so many live tails run.
    #[track_caller]
    pub fn wait_for_tails(&self, count: usize) {
        until("tails", || (self.metric("skald_querier_tail_active") == count as f64).then_some(()));
    }
}
