//! An API server for tests: answers with what it was told to, in order, and notes what it was asked.
#![allow(clippy::disallowed_methods, reason = "a server of tests has real sockets and times")]

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use skald_model::Timestamp;
use skald_model::seam::Clock;
use std::sync::Mutex;

/// An answer to one request.
pub(super) enum Answer {
    /// A body at once.
    Json(StatusCode, Value),
    /// Lines of a watch, which stays open.
    Open(Vec<Value>),
    /// Lines of a watch, which then ends.
    Closed(Vec<Value>),
    /// Lines of a watch, half a line more, and then the connection breaks.
    Broken(Vec<Value>, &'static str),
    /// None.
    Silence,
}

/// A list with its version, and the token of the next page if there is one.
pub(super) fn list(version: &str, next_page: &str, items: impl IntoIterator<Item = Value>) -> Answer {
    let items: Vec<Value> = items.into_iter().collect();
    let body = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version, "continue": next_page}, "items": items});
    Answer::Json(StatusCode::OK, body)
}

/// The body of a refusal.
pub(super) fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "refused", "reason": "Refused", "code": code})
}

/// A refusal.
pub(super) fn refusal(code: u16) -> Answer {
    Answer::Json(StatusCode::from_u16(code).expect("a status"), status(code))
}

/// A line of a watch.
pub(super) fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

/// What was asked: method, path and query with the parameters that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
}

impl Asked {
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub(super) fn is_watch(&self) -> bool {
        self.parameter("watch") == "true"
    }
}

#[derive(Default)]
struct Script {
    /// By path, and whether it is a watch.
    answers: HashMap<(String, bool), VecDeque<Answer>>,
    asked: Vec<Asked>,
    /// The token that is asked for, if any.
    token: Option<String>,
}

/// The server. It lives as long as the runtime of its test.
pub(super) struct TestServer {
    script: Arc<Mutex<Script>>,
    address: SocketAddr,
}

impl TestServer {
    pub(super) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let routes = axum::Router::new().fallback(answer).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        TestServer { script, address }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lists of `path` get these answers, one each; the requests after them get none.
    pub(super) fn on_list(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().answers.entry((path.to_owned(), false)).or_default().extend(answers);
    }

    /// Watches of `path` get these answers, one each; the requests after them get none.
    pub(super) fn on_watch(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().answers.entry((path.to_owned(), true)).or_default().extend(answers);
    }

    /// Everybody must show this token from now on.
    pub(super) fn require_token(&self, token: &str) {
        self.script.lock().unwrap().token = Some(token.to_owned());
    }

    /// Everything that was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let query = axum::extract::Query::<HashMap<String, String>>::try_from_uri(&format!("/?{query}").parse().unwrap()).unwrap().0;
    let asked = Asked { path: request.uri().path().to_owned(), query };
    let answer = {
        let mut script = script.lock().unwrap();
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if script.token.as_ref().is_some_and(|token| header != Some(&format!("Bearer {token}"))) {
            refusal(401)
        } else {
            script.asked.push(asked.clone());
            let answers = script.answers.entry((asked.path.clone(), asked.is_watch())).or_default();
            answers.pop_front().unwrap_or(Answer::Silence)
        }
    };
    match answer {
        Answer::Json(code, body) => (code, axum::Json(body)).into_response(),
        Answer::Open(lines) => watch(lines, stream::pending()),
        Answer::Closed(lines) => watch(lines, stream::empty()),
        Answer::Broken(lines, half) => {
            let broken = stream::iter([Ok(half.to_owned()), Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
            // What was written before must have gone out before the connection breaks.
            watch(
                lines,
                broken.then(|part| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    part
                }),
            )
        }
        Answer::Silence => std::future::pending().await,
    }
}

fn watch(lines: Vec<Value>, end: impl stream::Stream<Item = io::Result<String>> + Send + 'static) -> Response {
    let lines: Vec<io::Result<String>> = lines.into_iter().map(|line| Ok(format!("{line}\n"))).collect();
    Body::from_stream(stream::iter(lines).chain(end)).into_response()
}

/// Real time, a hundred times as fast.
pub(super) struct FastClock(Instant);

const FASTER: u32 = 100;

impl FastClock {
    pub(super) fn start() -> Arc<Self> {
        Arc::new(FastClock(Instant::now()))
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.monotonic().as_secs() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed() * FASTER
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration / FASTER))
    }
}
