use super::encode::{put_entry, put_stream};
use super::{BatchLimits, DropReason, Losses};
use crate::intake::PositionUpdate;
use rustc_hash::FxHashMap;
use skald_pipeline::{Entry, LabelSet, Text};
use skald_tail::FileId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reserved label: tenant of the entry.
const TENANT_LABEL: &str = "__tenant_id__";
/// Begins the names of labels that are not sent.
const INTERNAL: &str = "__";
/// What a stream costs beside its labels' text and its entries.
const STREAM_COST: usize = 256;
/// What an entry costs about, beside its bytes.
const ENTRY_COST: usize = 20;

/// Entries of all tenants that wait to be cut, with the positions that belong to them.
#[derive(Debug, Default)]
pub(crate) struct OpenGroup {
    /// In order of their first entry. A tenant has several only when one offer alone passes the size of a batch.
    batches: Vec<OpenBatch>,
    newest_of: FxHashMap<Option<Text>, usize>,
    /// Where entries with the labels of the last one go.
    last: Option<(LabelSet, Place)>,
    /// The newest position of each source.
    files: BTreeMap<FileId, PositionUpdate>,
    cursors: BTreeMap<String, String>,
    /// When its first content came.
    pub(crate) begun: Option<Duration>,
    /// Whether sources began again from the acknowledged positions before it.
    pub(crate) resumes: bool,
    /// Bytes of encoded entries and of streams.
    cost: usize,
    /// Bytes of the fullest batch.
    fullest: usize,
}

/// Entries of one tenant that will be sent in one request.
#[derive(Debug, Default)]
pub(crate) struct OpenBatch {
    pub(crate) tenant: Option<Text>,
    streams: Vec<OpenStream>,
    by_labels: FxHashMap<LabelSet, usize>,
    pub(crate) entries: u64,
    /// Bytes of lines and metadata.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct OpenStream {
    labels: String,
    /// Encoded entries.
    entries: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    batch: usize,
    stream: usize,
}

/// Bytes of an entry as `batchsize` counts them.
fn size_of(entry: &Entry) -> usize {
    entry.line.len() + entry.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

impl OpenGroup {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.files.is_empty() && self.cursors.is_empty()
    }

    /// Whether `entries` may be added without passing the size of a batch, or what all batches together may have. An empty group takes everything.
    pub(crate) fn has_room(&self, entries: &[Entry], limits: &BatchLimits) -> bool {
        let more: usize = entries.iter().map(size_of).sum();
        let cost = more + entries.len() * ENTRY_COST;
        self.batches.is_empty() || (self.fullest + more <= limits.batch_size && self.cost + cost <= limits.cost_max())
    }

    /// Whether nothing that comes will fit.
    pub(crate) fn is_full(&self, limits: &BatchLimits) -> bool {
        self.fullest >= limits.batch_size || self.cost >= limits.cost_max()
    }

    /// Takes the entries, without those that `limits` refuse.
    pub(crate) fn add(&mut self, entries: &mut Vec<Entry>, limits: &BatchLimits, losses: &dyn Losses) {
        for mut entry in entries.drain(..) {
            if !limits.is_unlimited_line(&entry.line) && !shorten(&mut entry, limits, losses) {
                continue;
            }
            let bytes = size_of(&entry);
            match self.place(&entry.labels, bytes, limits) {
                Ok(place) => self.push(place, &entry, bytes),
                Err(tenant) => losses.dropped(tenant.as_deref(), DropReason::StreamLimited, 1, bytes as u64),
            }
        }
    }

    pub(crate) fn set_position(&mut self, update: PositionUpdate) {
        match update {
            PositionUpdate::File(ref position) => drop(self.files.insert(position.id, update)),
            PositionUpdate::FileDone(id) => drop(self.files.insert(id, update)),
            PositionUpdate::Cursor { key, value } => drop(self.cursors.insert(key, value)),
        }
    }

    /// The positions.
    pub(crate) fn positions(&self) -> Vec<PositionUpdate> {
        let files = self.files.values().cloned();
        files.chain(self.cursors.iter().map(|(key, value)| PositionUpdate::Cursor { key: key.clone(), value: value.clone() })).collect()
    }

    pub(crate) fn batches(&self) -> &[OpenBatch] {
        &self.batches
    }

    fn push(&mut self, place: Place, entry: &Entry, bytes: usize) {
        let batch = &mut self.batches[place.batch];
        let encoded = &mut batch.streams[place.stream].entries;
        let len_before = encoded.len();
        put_entry(encoded, entry.timestamp, &entry.line, &entry.metadata);
        batch.entries += 1;
        batch.bytes += bytes;
        self.cost += encoded.len() - len_before;
        self.fullest = self.fullest.max(batch.bytes);
    }

    /// Where an entry of `bytes` with these labels goes; the tenant when its batch has too many streams.
    fn place(&mut self, labels: &LabelSet, bytes: usize, limits: &BatchLimits) -> Result<Place, Option<Text>> {
        if let Some((known, place)) = &self.last
            && known.is_same(labels)
            && self.batches[place.batch].has_room(bytes, limits)
        {
            return Ok(*place);
        }
        let (tenant, sent) = without_internal(labels);
        let batch = self.batch_of(tenant, bytes, limits);
        let Some((stream, cost)) = self.batches[batch].stream_of(sent, limits.max_streams) else {
            return Err(self.batches[batch].tenant.clone());
        };
        self.cost += cost;
        let place = Place { batch, stream };
        self.last = Some((labels.clone(), place));
        Ok(place)
    }

    fn batch_of(&mut self, tenant: Option<Text>, bytes: usize, limits: &BatchLimits) -> usize {
        if let Some(newest) = self.newest_of.get(&tenant)
            && self.batches[*newest].has_room(bytes, limits)
        {
            return *newest;
        }
        self.batches.push(OpenBatch { tenant: tenant.clone(), ..OpenBatch::default() });
        self.newest_of.insert(tenant, self.batches.len() - 1);
        self.batches.len() - 1
    }
}

impl OpenBatch {
    fn has_room(&self, bytes: usize, limits: &BatchLimits) -> bool {
        self.entries == 0 || self.bytes + bytes <= limits.batch_size
    }

    /// The stream of these labels, and what it costs if it is new; `None` when there are too many.
    fn stream_of(&mut self, labels: LabelSet, max_streams: usize) -> Option<(usize, usize)> {
        if let Some(stream) = self.by_labels.get(&labels) {
            return Some((*stream, 0));
        }
        if max_streams > 0 && self.streams.len() >= max_streams {
            return None;
        }
        let text = labels.to_string();
        let cost = text.len() + STREAM_COST;
        self.by_labels.insert(labels, self.streams.len());
        self.streams.push(OpenStream { labels: text, entries: Vec::new() });
        Some((self.streams.len() - 1, cost))
    }

    /// Appends the body of its push.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.streams.iter().for_each(|stream| put_stream(out, &stream.labels, &stream.entries));
    }
}

/// The tenant that labels name, and the labels that are sent.
fn without_internal(labels: &LabelSet) -> (Option<Text>, LabelSet) {
    if !labels.iter().any(|(name, _)| name.starts_with(INTERNAL)) {
        return (None, labels.clone());
    }
    let mut sent = labels.clone();
    sent.retain(|name, _| !name.starts_with(INTERNAL));
    (labels.get_text(TENANT_LABEL).filter(|tenant| !tenant.is_empty()).cloned(), sent)
}

/// Cuts a line that is too long, or says that it is dropped.
fn shorten(entry: &mut Entry, limits: &BatchLimits, losses: &dyn Losses) -> bool {
    let tenant = entry.labels.get(TENANT_LABEL).filter(|tenant| !tenant.is_empty());
    let reason = DropReason::LineTooLong;
    if !limits.truncate_lines {
        losses.dropped(tenant, reason, 1, entry.line.len() as u64);
        return false;
    }
    let kept = entry.line.floor_char_boundary(limits.max_line_size);
    losses.mutated(tenant, reason, 1, (entry.line.len() - kept) as u64);
    entry.line.truncate(kept);
    true
}
