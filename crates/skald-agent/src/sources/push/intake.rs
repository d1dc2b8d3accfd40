//! From a body to entries that have passed the stages.

use super::decode::{BadStream, Content, DecodeError, Receive, read};
use crate::sink::{EntrySink, SinkParts, TENANT_LABEL};
use crate::sources::Stamps;
use skald_model::Timestamp;
use skald_pipeline::{Entry, LabelSet, Text};
use std::borrow::Cow;
use std::time::Duration;

/// Most entries of one push: each costs more memory than the few bytes that a body needs to say it.
pub(super) const ENTRIES_MAX: usize = 1_000_000;
/// Most refused streams that are named; the others are counted.
const NAMED_MAX: usize = 10;

/// How entries of a push are made.
pub(super) struct Making<'a> {
    pub(super) sink: &'a SinkParts,
    pub(super) stamps: &'a Stamps,
    /// Of every entry.
    pub(super) labels: &'a LabelSet,
    pub(super) tenant: Option<&'a str>,
    pub(super) use_incoming_timestamp: bool,
}

/// What a push came to.
#[derive(Default)]
pub(super) struct Made {
    pub(super) entries: Vec<Entry>,
    /// How many entries were read, before stages drop, join or hold any.
    pub(super) read: usize,
    /// Streams that were refused: how many, and the first of them.
    pub(super) refused: usize,
    pub(super) named: Vec<BadStream>,
    /// How long a stage wants the client to wait.
    pub(super) pause: Duration,
}

/// Why nothing of a push is taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the push has more than {ENTRIES_MAX} entries")]
    TooMany,
}

impl Making<'_> {
    /// Reads a body, and runs the stages on its entries. It is read once before: of one that is damaged nothing is taken.
    pub(super) fn make(&self, content: Content, body: &[u8]) -> Result<Made, MakeError> {
        let mut count = Count(0);
        read(content, body, &mut count)?;
        if count.0 > ENTRIES_MAX {
            return Err(MakeError::TooMany);
        }
        let mut run = Run { making: self, stream: None, made: Made::default() };
        read(content, body, &mut run)?;
        run.end_stream();
        Ok(run.made)
    }

    /// Labels of a stream's entries behind `relabel_configs`; `None` when these drop it.
    fn labels(&self, sink: &EntrySink, mut labels: LabelSet) -> Option<LabelSet> {
        for (name, value) in self.labels.texts() {
            labels.set(Text::clone(name), Text::clone(value));
        }
        if let Some(tenant) = self.tenant {
            labels.set(TENANT_LABEL, tenant);
        }
        sink.relabel(labels)
    }
}

/// Counts entries.
struct Count(usize);

impl Receive for Count {
    fn stream(&mut self, _labels: Result<LabelSet, BadStream>) {}
    fn entry(&mut self, _timestamp: Option<Timestamp>, _line: Cow<'_, str>, _metadata: Vec<(Text, Text)>) {
        self.0 += 1;
    }
}

struct Run<'a> {
    making: &'a Making<'a>,
    /// The stream at hand and its labels, unless it is dropped or refused.
    stream: Option<(EntrySink, LabelSet)>,
    made: Made,
}

impl Run<'_> {
    fn end_stream(&mut self) {
        if let Some((sink, _)) = self.stream.take() {
            let (mut entries, pause) = sink.into_entries();
            self.made.entries.append(&mut entries);
            self.made.pause = self.made.pause.max(pause);
        }
    }
}

impl Receive for Run<'_> {
    fn stream(&mut self, labels: Result<LabelSet, BadStream>) {
        self.end_stream();
        match labels {
            Ok(labels) => {
                let sink = EntrySink::new(self.making.sink);
                self.stream = self.making.labels(&sink, labels).map(|labels| (sink, labels));
            }
            Err(bad) => {
                self.made.refused += 1;
                if self.made.named.len() < NAMED_MAX {
                    self.made.named.push(bad);
                }
            }
        }
    }

    fn entry(&mut self, timestamp: Option<Timestamp>, line: Cow<'_, str>, metadata: Vec<(Text, Text)>) {
        let Some((sink, labels)) = &mut self.stream else { return };
        self.made.read += 1;
        let incoming = timestamp.filter(|_| self.making.use_incoming_timestamp);
        let timestamp = incoming.unwrap_or_else(|| self.making.stamps.next(self.making.sink.clock.now()));
        sink.take(Some(Entry { labels: labels.clone(), timestamp, line: line.into_owned(), metadata }), None);
    }
}
