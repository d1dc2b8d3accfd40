//! What tests of several files share.

use super::batch::{Batch, BatchSource, PayloadError};
use super::transport::{Answer, Transport, TransportError};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use skald_model::seam::Clock;
use skald_pipeline::Text;
use skald_proto::loki::v1::{Entry, PushRequest, Stream, Timestamp};
use skald_proto::read_push;
use skald_testkit::SimClock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Labels and lines of each stream.
pub type Lines = Vec<(String, Vec<String>)>;

/// A compressed push request; the seconds of the timestamps count up.
pub fn compress(lines: &Lines) -> Bytes {
    let entry = |(at, line): (usize, &String)| Entry {
        timestamp: Some(Timestamp { seconds: at as i64, nanos: 0 }),
        line: line.clone().into(),
        ..Entry::default()
    };
    let stream = |(labels, lines): &(String, Vec<String>)| Stream {
        labels: labels.clone().into(),
        entries: lines.iter().enumerate().map(entry).collect(),
        ..Stream::default()
    };
    let push = PushRequest { streams: lines.iter().map(stream).collect(), ..PushRequest::default() };
    snap::raw::Encoder::new().compress_vec(&push.encode_to_vec()).expect("small").into()
}

/// What a compressed push request holds.
pub fn read(payload: &[u8]) -> Lines {
    let body = snap::raw::Decoder::new().decompress_vec(payload).expect("compressed");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    read_push(&body)
        .map(|stream| {
            let stream = stream.expect("a stream");
            (text(stream.labels), stream.entries().map(|entry| text(entry.expect("an entry").line)).collect())
        })
        .collect()
}

/// All lines of a push, of whatever stream.
pub fn lines_of(payload: &[u8]) -> Vec<String> {
    read(payload).into_iter().flat_map(|(_, lines)| lines).collect()
}

/// Batches that a test gives; clones are one source.
#[derive(Clone, Default)]
pub struct FakeSource(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<FakeBatch>,
    added: u64,
    acked: Vec<u64>,
    closed: bool,
    damaged: bool,
    broken_reads: usize,
    reads: usize,
}

struct FakeBatch {
    source: FakeSource,
    group: u64,
    tenant: Option<Text>,
    entries: u64,
    line_bytes: u64,
    payload: Bytes,
}

impl FakeSource {
    /// Adds a batch of one stream; batches are numbered from 0.
    pub fn add(&self, tenant: Option<&str>, lines: &[&str]) {
        self.add_streams(tenant, &vec![("{a=\"1\"}".to_owned(), lines.iter().map(|line| (*line).to_owned()).collect())]);
    }

    pub fn add_streams(&self, tenant: Option<&str>, lines: &Lines) {
        let mut state = self.0.state.lock();
        let all = || lines.iter().flat_map(|(_, lines)| lines);
        let batch = FakeBatch {
            source: self.clone(),
            group: state.added,
            tenant: tenant.map(Into::into),
            entries: all().count() as u64,
            line_bytes: all().map(|line| line.len() as u64).sum(),
            payload: compress(lines),
        };
        state.added += 1;
        state.waiting.push_back(batch);
        self.0.changed.notify_one();
    }

    /// No more will come.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_one();
    }

    /// From now on payloads are damaged.
    pub fn damage(&self) {
        self.0.state.lock().damaged = true;
    }

    /// The next so many reads of payloads fail.
    pub fn break_reads(&self, count: usize) {
        self.0.state.lock().broken_reads = count;
    }

    /// Groups that were acknowledged, in the order of that.
    pub fn acked(&self) -> Vec<u64> {
        self.0.state.lock().acked.clone()
    }

    /// How many batches nobody has asked for.
    pub fn untouched(&self) -> usize {
        self.0.state.lock().waiting.len()
    }

    /// How often payloads were read.
    pub fn reads(&self) -> usize {
        self.0.state.lock().reads
    }
}

#[async_trait]
impl BatchSource for FakeSource {
    async fn next(&mut self) -> Option<Box<dyn Batch>> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.0.state.lock();
                match state.waiting.pop_front() {
                    Some(next) => return Some(Box::new(next)),
                    None if state.closed => return None,
                    None => {}
                }
            }
            changed.await;
        }
    }
}

#[async_trait]
impl Batch for FakeBatch {
    fn group(&self) -> u64 {
        self.group
    }

    fn tenant(&self) -> Option<&Text> {
        self.tenant.as_ref()
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    async fn payload(&self) -> Result<Bytes, PayloadError> {
        let mut state = self.source.0.state.lock();
        state.reads += 1;
        assert!(!state.acked.contains(&self.group), "what is acknowledged may be gone");
        if state.broken_reads > 0 {
            state.broken_reads -= 1;
            return Err(PayloadError::Unreadable("the disk is away".into()));
        }
        if state.damaged {
            return Err(PayloadError::Damaged("checksum".to_owned()));
        }
        Ok(self.payload.clone())
    }

    fn ack(&self) {
        self.source.0.state.lock().acked.push(self.group);
    }
}

/// A request as a test's server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub tenant: Option<String>,
    pub streams: Vec<String>,
    pub lines: Vec<String>,
}

type Script = dyn Fn(usize, &Sent) -> Result<Answer, TransportError> + Send + Sync;

/// Answers as a test says, and remembers what was sent.
pub struct FakeTransport {
    script: Box<Script>,
    pub sent: Mutex<Vec<Sent>>,
    takes: Duration,
    clock: Mutex<Option<Arc<SimClock>>>,
}

impl FakeTransport {
    /// The script gets the number of the request, from 0, and what is in it.
    pub fn new(script: impl Fn(usize, &Sent) -> Result<Answer, TransportError> + Send + Sync + 'static) -> Arc<Self> {
        FakeTransport::slow(Duration::ZERO, script)
    }

    /// The same, with answers that take a while by the clock of [`FakeTransport::set_clock`].
    pub fn slow(takes: Duration, script: impl Fn(usize, &Sent) -> Result<Answer, TransportError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(FakeTransport { script: Box::new(script), sent: Mutex::default(), takes, clock: Mutex::default() })
    }

    pub fn set_clock(&self, clock: Arc<SimClock>) {
        *self.clock.lock() = Some(clock);
    }

    /// The lines of each request.
    pub fn lines(&self) -> Vec<Vec<String>> {
        self.sent.lock().iter().map(|sent| sent.lines.clone()).collect()
    }
}

#[async_trait]
impl Transport for FakeTransport {
    async fn push(&self, tenant: Option<&str>, body: Bytes) -> Result<Answer, TransportError> {
        let streams = read(&body).into_iter().map(|(labels, _)| labels).collect();
        let sent = Sent { tenant: tenant.map(str::to_owned), streams, lines: lines_of(&body) };
        let nth = {
            let mut all = self.sent.lock();
            all.push(sent.clone());
            all.len() - 1
        };
        let wait = self.clock.lock().as_ref().map(|clock| clock.sleep(self.takes));
        if let Some(wait) = wait {
            wait.await;
        }
        (self.script)(nth, &sent)
    }
}

/// An answer with a status and nothing else.
pub fn status(status: u16) -> Result<Answer, TransportError> {
    Ok(Answer { status, ..Answer::default() })
}
