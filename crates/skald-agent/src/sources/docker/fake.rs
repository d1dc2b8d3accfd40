//! A Docker engine of containers that write what a test says.
#![allow(clippy::disallowed_methods, reason = "a server of tests has a real socket")]

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// The engine. It lives as long as the runtime of its test.
pub(super) struct FakeEngine {
    folder: TempDir,
    engine: Shared,
}

type Shared = Arc<Inner>;

#[derive(Default)]
struct Inner {
    state: Mutex<Content>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Content {
    containers: BTreeMap<String, Container>,
    /// Ids of containers in the order in which they started.
    started: Vec<String>,
    asked: Vec<String>,
    /// How often all connections were broken.
    breaks: u64,
    is_away: bool,
    /// Beginnings of paths that are refused.
    refused: Vec<&'static str>,
}

#[derive(Default)]
struct Container {
    is_terminal: bool,
    is_running: bool,
    /// Not in the list.
    is_hidden: bool,
    /// Number of the stream, nanosecond, text.
    log: Vec<(u8, i64, String)>,
}

impl FakeEngine {
    pub(super) fn start() -> Self {
        let (folder, engine) = (TempDir::new().unwrap(), Shared::default());
        let routes = Router::new()
            .route("/containers/json", get(list))
            .route("/containers/{id}/json", get(inspect))
            .route("/containers/{id}/logs", get(logs))
            .route("/networks", get(networks))
            .route("/events", get(events))
            .layer(from_fn_with_state(Arc::clone(&engine), note))
            .with_state(Arc::clone(&engine));
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        FakeEngine { folder, engine }
    }

    /// The address of the engine.
    pub(super) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        let changed = change(&mut self.engine.state.lock());
        self.engine.changed.send_replace(());
        changed
    }

    fn container(&self, id: &str, change: impl FnOnce(&mut Container)) {
        self.change(|state| change(state.containers.entry(id.to_owned()).or_default()));
    }

    /// Starts a container, a new one if there is none of the name.
    pub(super) fn run(&self, id: &str, is_terminal: bool) {
        self.change(|state| {
            let container = state.containers.entry(id.to_owned()).or_default();
            (container.is_running, container.is_terminal) = (true, is_terminal);
            state.started.push(id.to_owned());
        });
    }

    /// A container writes; a text without a line break is the piece of a line.
    pub(super) fn write(&self, id: &str, stream: u8, at: i64, text: &str) {
        self.container(id, |container| container.log.push((stream, at, text.to_owned())));
    }

    pub(super) fn exit(&self, id: &str) {
        self.container(id, |container| container.is_running = false);
    }

    pub(super) fn hide(&self, id: &str, is_hidden: bool) {
        self.container(id, |container| container.is_hidden = is_hidden);
    }

    pub(super) fn remove(&self, id: &str) {
        self.change(|state| state.containers.remove(id));
    }

    /// Breaks all connections; while the engine is away it serves nobody.
    pub(super) fn go_away(&self, is_away: bool) {
        self.change(|state| {
            state.breaks += 1;
            state.is_away = is_away;
        });
    }

    pub(super) fn refuse(&self, paths: &[&'static str]) {
        self.change(|state| state.refused = paths.to_vec());
    }

    /// Requests whose address holds `part`, in order.
    pub(super) fn asked(&self, part: &str) -> Vec<String> {
        self.engine.state.lock().asked.iter().filter(|path| path.contains(part)).cloned().collect()
    }
}

async fn note(State(engine): State<Shared>, request: Request, next: Next) -> Response {
    let refusal = {
        let mut state = engine.state.lock();
        let path = request.uri().to_string();
        let is_refused = state.refused.iter().any(|refused| path.starts_with(refused));
        state.asked.push(path);
        if state.is_away { Some(StatusCode::SERVICE_UNAVAILABLE) } else { is_refused.then_some(StatusCode::FORBIDDEN) }
    };
    match refusal {
        Some(status) => (status, Json(json!({"message": "no"}))).into_response(),
        None => next.run(request).await,
    }
}

async fn list(State(engine): State<Shared>) -> Json<Value> {
    let state = engine.state.lock();
    let listed = state.containers.iter().filter(|(_, container)| !container.is_hidden).map(|(id, container)| {
        json!({
            "Id": id, "Names": [format!("/name-{id}")], "Image": "image", "ImageID": "sha256:1", "Labels": {"a.b": "c"},
            "State": if container.is_running { "running" } else { "exited" }, "Ports": [], "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "n1", "IPAddress": "172.17.0.2"}}},
        })
    });
    Json(listed.collect())
}

async fn networks() -> Json<Value> {
    Json(json!([{"Id": "n1", "Name": "bridge", "Scope": "local", "Ingress": false, "Internal": false, "Labels": {}}]))
}

async fn inspect(State(engine): State<Shared>, Path(id): Path<String>) -> Response {
    match engine.state.lock().containers.get(&id) {
        Some(container) => {
            Json(json!({"Id": id, "State": {"Running": container.is_running}, "Config": {"Tty": container.is_terminal}})).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn events(State(engine): State<Shared>) -> Body {
    let next = engine.state.lock().started.len();
    let event = |state: &Content, next: &mut usize| {
        let id = state.started.get(*next)?;
        *next += 1;
        Some(format!("{}\n", json!({"Type": "container", "Action": "start", "Actor": {"ID": id}})))
    };
    body(engine, next, move |state, next| Step::of(event(state, next).map(Bytes::from), true))
}

async fn logs(State(engine): State<Shared>, Path(id): Path<String>, Query(query): Query<HashMap<String, String>>) -> Response {
    let is_terminal = match engine.state.lock().containers.get(&id) {
        Some(container) => container.is_terminal,
        None => return StatusCode::NOT_FOUND.into_response(),
    };
    let follow = query["follow"] == "true";
    let since = query["since"].parse::<i64>().unwrap() * 1_000_000_000;
    let read = move |state: &Content, (next, waiting): &mut (usize, VecDeque<Bytes>)| {
        let Some(container) = state.containers.get(&id) else { return Step::End };
        while let Some((stream, at, text)) = container.log.get(*next) {
            *next += 1;
            if *at >= since {
                let piece = piece(is_terminal, *stream, *at, text);
                // Whoever reads sees no borders of frames.
                waiting.extend(piece.chunks(13).map(Bytes::copy_from_slice));
            }
        }
        Step::of(waiting.pop_front(), follow && container.is_running)
    };
    body(engine, (0, VecDeque::new()), read).into_response()
}

fn piece(is_terminal: bool, stream: u8, at: i64, text: &str) -> Vec<u8> {
    let mut payload = String::new();
    let time = jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap();
    write!(payload, "{time:.9} {text}").unwrap();
    let mut bytes = Vec::new();
    if !is_terminal {
        bytes.extend([stream, 0, 0, 0]);
        bytes.extend((payload.len() as u32).to_be_bytes());
    }
    bytes.extend(payload.into_bytes());
    bytes
}

/// What a body does next.
enum Step {
    Send(Bytes),
    Wait,
    End,
}

impl Step {
    fn of(bytes: Option<Bytes>, more: bool) -> Self {
        match bytes {
            Some(bytes) => Step::Send(bytes),
            None if more => Step::Wait,
            None => Step::End,
        }
    }
}

/// A body that sends what `read` finds, until that ends or connections break.
fn body<S: Send + 'static>(engine: Shared, start: S, read: impl Fn(&Content, &mut S) -> Step + Send + Sync + Clone + 'static) -> Body {
    let breaks = engine.state.lock().breaks;
    Body::from_stream(stream::unfold(Some((engine, start)), move |rest| {
        let read = read.clone();
        async move {
            let (engine, mut place) = rest?;
            let mut changed = engine.changed.subscribe();
            loop {
                let step = {
                    let state = engine.state.lock();
                    changed.borrow_and_update();
                    if state.breaks == breaks { Some(read(&state, &mut place)) } else { None }
                };
                match step {
                    None => return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None)),
                    Some(Step::Send(bytes)) => return Some((Ok(bytes), Some((engine, place)))),
                    Some(Step::End) => return None,
                    Some(Step::Wait) => changed.changed().await.ok()?,
                }
            }
        }
    }))
}
