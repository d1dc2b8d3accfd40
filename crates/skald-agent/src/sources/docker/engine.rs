//! The API of a Docker engine.

use super::api::{Container, Detail, Event, Network};
use super::config::DockerSdConfig;
use super::frames::FrameError;
use crate::delivery::{BuildError, HttpReader, TransportError};
use memchr::memchr;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use skald_model::seam::Seams;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest that an engine may take for an answer that ends.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of such an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Most bytes of an event.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a refusal that are kept.
const REFUSAL_BYTES_MAX: usize = 300;
/// Containers that do not run any more and are read at the same time.
const ENDED_READ_MAX: usize = 4;

/// Why an engine does not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("ask the engine")]
    Request(#[from] TransportError),
    #[error("the engine answers with status {status}: {message}")]
    Status { status: u16, message: String },
    #[error("the answer of the engine broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the answer of the engine is too large")]
    TooLarge,
    #[error("the answer of the engine is not understood")]
    Answer(#[from] serde_json::Error),
    #[error("read the log")]
    Frames(#[from] FrameError),
}

impl EngineError {
    /// Whether the engine knows no such thing.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }

    /// Whether it answers, and will not answer otherwise when asked again.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { status: 400..500, .. })
    }
}

/// An engine, over its socket or a network.
pub(super) struct Engine {
    http: HttpReader,
    filters: String,
    /// Leave to read a container that has ended: there may be thousands.
    pub(super) ended: Semaphore,
}

impl Engine {
    /// Connects nowhere yet.
    pub(super) async fn open(config: &DockerSdConfig, seams: &Seams) -> Result<Self, BuildError> {
        let http = HttpReader::open(&config.client(), config.socket(), seams).await?;
        let filters = serde_json::to_string(&config.filters()).expect("texts can be written");
        Ok(Engine { http, filters, ended: Semaphore::new(ENDED_READ_MAX) })
    }

    /// All containers that pass the filters, those that do not run among them.
    pub(super) async fn containers(&self) -> Result<Vec<Container>, EngineError> {
        self.json("containers/json", &[("all", "true"), ("filters", &self.filters)]).await
    }

    /// All networks.
    pub(super) async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        self.json("networks", &[]).await
    }

    /// One container in detail.
    pub(super) async fn inspect(&self, id: &str) -> Result<Detail, EngineError> {
        self.json(&format!("containers/{id}/json"), &[]).await
    }

    /// The log of a container from a second on; with `follow` until the container ends.
    pub(super) async fn logs(&self, id: &str, since: i64, follow: bool) -> Result<Response, EngineError> {
        let (since, follow) = (since.to_string(), if follow { "true" } else { "false" });
        let query = [("follow", follow), ("stdout", "true"), ("stderr", "true"), ("timestamps", "true"), ("since", &since)];
        accepted(self.http.get(&format!("containers/{id}/logs"), &query, None).await?).await
    }

    /// Tells of each container that starts from now on.
    pub(super) async fn events(&self) -> Result<Events, EngineError> {
        let query = [("filters", r#"{"event":["start"],"type":["container"]}"#)];
        let response = accepted(self.http.get("events", &query, None).await?).await?;
        Ok(Events { response, buffer: Vec::new() })
    }

    async fn json<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, EngineError> {
        let mut response = accepted(self.http.get(path, query, Some(ANSWER_TIMEOUT)).await?).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(EngineError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Containers that start, as they do.
pub(super) struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// The id of the next container; `None` once the engine tells no more. A caller may stop waiting.
    pub(super) async fn next(&mut self) -> Result<Option<String>, EngineError> {
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    let event: Event = serde_json::from_slice(&line)?;
                    return Ok(Some(event.actor.id));
                }
                continue;
            }
            let Some(chunk) = self.response.chunk().await.map_err(broken)? else { return Ok(None) };
            if self.buffer.len() + chunk.len() > EVENT_BYTES_MAX {
                return Err(EngineError::TooLarge);
            }
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// The next bytes of a log; `None` at its end. A caller may stop waiting.
pub(super) async fn next_chunk(response: &mut Response) -> Result<Option<bytes::Bytes>, EngineError> {
    response.chunk().await.map_err(broken)
}

async fn accepted(mut response: Response) -> Result<Response, EngineError> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let mut text = Vec::new();
    // The status says most of it: a text that breaks off is enough.
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() >= REFUSAL_BYTES_MAX {
            break;
        }
    }
    text.truncate(REFUSAL_BYTES_MAX);
    let message = String::from_utf8_lossy(&text).trim().to_owned();
    Err(EngineError::Status { status: status.as_u16(), message })
}

fn broken(error: reqwest::Error) -> EngineError {
    EngineError::Broken(error.without_url())
}
