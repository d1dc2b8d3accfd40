//! What tests of several files share.

use super::batch::{Batch, BatchId, BatchSource, PayloadError};
use super::transport::{Answer, Transport, TransportError};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use skald_proto::loki::v1::{Entry, PushRequest, Stream, Timestamp};
use skald_proto::read_push;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
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

/// Batches that a test gives.
#[derive(Default)]
pub struct FakeSource {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    payloads: BTreeMap<BatchId, Bytes>,
    acked: Vec<u64>,
    closed: bool,
    damaged: bool,
    broken_reads: usize,
    reads: usize,
}

impl FakeSource {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a batch of one stream; batches are numbered from 0.
    pub fn add(&self, tenant: Option<&str>, lines: &[&str]) {
        self.add_streams(tenant, &vec![("{a=\"1\"}".to_owned(), lines.iter().map(|line| (*line).to_owned()).collect())]);
    }

    pub fn add_streams(&self, tenant: Option<&str>, lines: &Lines) {
        let mut state = self.state.lock();
        let id = BatchId { group: state.payloads.len() as u64, index: 0 };
        let all = || lines.iter().flat_map(|(_, lines)| lines);
        let (entries, line_bytes) = (all().count() as u64, all().map(|line| line.len() as u64).sum());
        state.waiting.push_back(Batch { id, tenant: tenant.map(Into::into), entries, line_bytes });
        state.payloads.insert(id, compress(lines));
        self.changed.notify_one();
    }

    /// No more will come.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// From now on payloads are damaged.
    pub fn damage(&self) {
        self.state.lock().damaged = true;
    }

    /// The next so many reads of payloads fail.
    pub fn break_reads(&self, count: usize) {
        self.state.lock().broken_reads = count;
    }

    /// Groups that were acknowledged, in the order of that.
    pub fn acked(&self) -> Vec<u64> {
        self.state.lock().acked.clone()
    }

    /// How many batches nobody has asked for.
    pub fn untouched(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// How often payloads were read.
    pub fn reads(&self) -> usize {
        self.state.lock().reads
    }
}

#[async_trait]
impl BatchSource for FakeSource {
    async fn next(&self) -> Option<Batch> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                match state.waiting.pop_front() {
                    None if !state.closed => {}
                    next => return next,
                }
            }
            changed.await;
        }
    }

    async fn payload(&self, batch: &Batch) -> Result<Bytes, PayloadError> {
        let mut state = self.state.lock();
        state.reads += 1;
        assert!(!state.acked.contains(&batch.id.group), "what is acknowledged may be gone");
        if state.broken_reads > 0 {
            state.broken_reads -= 1;
            return Err(PayloadError::Read(std::io::Error::other("the disk is away")));
        }
        if state.damaged {
            return Err(PayloadError::Damaged("checksum".to_owned()));
        }
        Ok(state.payloads[&batch.id].clone())
    }

    fn ack(&self, batch: &Batch) {
        self.state.lock().acked.push(batch.id.group);
    }
}

/// A request as a test's server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub tenant: Option<String>,
    pub lines: Vec<String>,
}

type Script = dyn Fn(usize, &Sent) -> Result<Answer, TransportError> + Send + Sync;

/// Answers as a test says, and remembers what was sent.
pub struct FakeTransport {
    script: Box<Script>,
    pub sent: Mutex<Vec<Sent>>,
}

impl FakeTransport {
    /// The script gets the number of the request, from 0, and what is in it.
    pub fn new(script: impl Fn(usize, &Sent) -> Result<Answer, TransportError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(FakeTransport { script: Box::new(script), sent: Mutex::default() })
    }

    /// The lines of each request.
    pub fn lines(&self) -> Vec<Vec<String>> {
        self.sent.lock().iter().map(|sent| sent.lines.clone()).collect()
    }
}

#[async_trait]
impl Transport for FakeTransport {
    async fn push(&self, tenant: Option<&str>, body: Bytes) -> Result<Answer, TransportError> {
        let sent = Sent { tenant: tenant.map(str::to_owned), lines: lines_of(&body) };
        let mut all = self.sent.lock();
        all.push(sent.clone());
        (self.script)(all.len() - 1, &sent)
    }
}

/// An answer with a status and nothing else.
pub fn status(status: u16) -> Result<Answer, TransportError> {
    Ok(Answer { status, ..Answer::default() })
}
