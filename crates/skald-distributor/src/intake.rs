//! From decoded streams to a batch for the ingester, in one pass over the entries.

use crate::error::PushFailure;
use crate::identity::{BACKFILL, BACKFILL_SHARD, Identity, IdentityCache, settings_hash};
use crate::inflight::Reservation;
use crate::level::{LevelDetector, normalise};
use crate::metadata::{MetadataError, MetadataLevel, Order, Pairs};
use crate::metrics::Amount;
use crate::stream::StreamBuilder;
use crate::validate::{
    Blocked, Refusals, Refused, Window, bad_name, blocked, check_enforced, check_entry, check_labels, exact_size, too_many_names,
};
use rustc_hash::{FxHashMap, FxHashSet};
use skald_config::Limits;
use skald_model::{Day, Labels, TenantId, Timestamp};
use skald_rpc::PushBatch;

/// Longest text of a stream's labels.
pub const LABELS_LEN_MAX: usize = 1 << 24;
/// Most UTC days that the entries of one push may lie in: each day becomes an object of its own.
pub const DAYS_MAX: usize = 512;
/// Most streams of a push.
pub const STREAMS_MAX: usize = 1 << 17;
/// Most entries of a push.
pub const ENTRIES_MAX: usize = 1 << 23;
/// What a row takes in memory besides its line and metadata; counted as in flight because an entry may be as short as two bytes.
const ROW_BYTES: u64 = 24;
/// Most values in all metadata columns of a push, rows without a value included: four bytes each.
const METADATA_CELLS_MAX: usize = 1 << 26;
/// What a further name takes in memory, in cells.
const METADATA_CELLS_PER_NAME: usize = 64;

/// Takes in the streams of one push.
pub struct Intake<'a> {
    tenant: &'a TenantId,
    limits: &'a Limits,
    identities: &'a IdentityCache,
    backfill: Option<&'a str>,
    sender: Sender,
    held: &'a mut Reservation,
    settings: u64,
    window: Window,
    levels: Option<LevelDetector<'a>>,
    blocked: Option<Blocked>,
    streams: Vec<StreamBuilder>,
    by_labels: FxHashMap<Labels, usize>,
    current: Current,
    streams_seen: usize,
    entries_seen: usize,
    days: FxHashSet<Day>,
    last_day: Option<Day>,
    metadata_cells: usize,
    taken: Taken,
    refusals: Refusals,
}

/// A push has more than [`ENTRIES_MAX`] entries.
pub fn too_many_entries() -> PushFailure {
    PushFailure::TooLarge(format!("more than {ENTRIES_MAX} entries"))
}

/// Who sends, for the few rules that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client of Loki's push API. A metadata name that cannot be used ends the push.
    Loki,
    /// A client of OpenTelemetry. A metadata name that cannot be used costs its entry.
    Otlp,
}

impl Sender {
    /// How metrics call it.
    pub fn format(self) -> &'static str {
        match self {
            Sender::Loki => "loki",
            Sender::Otlp => "otlp",
        }
    }
}

/// Where entries go.
enum Current {
    Stream(usize),
    Refused(&'static str),
}

/// What came of a push.
#[derive(Debug, Default)]
pub struct Taken {
    /// Streams for the ingester.
    pub batch: PushBatch,
    /// Entries in `batch`.
    pub stored: Amount,
    /// All entries that came.
    pub received: Amount,
    /// Bytes of their metadata.
    pub metadata_bytes: usize,
    /// Entries refused, by reason.
    pub discarded: Vec<(&'static str, Amount)>,
    /// Lines cut, and the bytes cut off.
    pub truncated: Amount,
    /// What the client is to read of entries refused.
    pub refusals: Option<String>,
    /// The tenant may not push.
    pub blocked: Option<Blocked>,
}

impl<'a> Intake<'a> {
    /// An intake for a push of `tenant` at `now`, from `sender`; `backfill` is the shard that its header names, `held` the memory reserved for the push.
    pub fn new(
        tenant: &'a TenantId,
        limits: &'a Limits,
        identities: &'a IdentityCache,
        backfill: Option<&'a str>,
        sender: Sender,
        held: &'a mut Reservation,
        now: Timestamp,
    ) -> Self {
        Intake {
            tenant,
            limits,
            identities,
            backfill,
            sender,
            held,
            settings: settings_hash(&limits.discover_service_name),
            window: Window::new(limits, now, backfill.is_some()),
            levels: LevelDetector::new(limits),
            blocked: blocked(tenant, limits, now),
            streams: Vec::new(),
            by_labels: FxHashMap::default(),
            current: Current::Refused("invalid_labels"),
            streams_seen: 0,
            entries_seen: 0,
            days: FxHashSet::default(),
            last_day: None,
            metadata_cells: 0,
            taken: Taken::default(),
            refusals: Refusals::default(),
        }
    }

    /// Most metadata pairs of an entry: further ones need only be counted.
    pub fn metadata_len_max(&self) -> usize {
        self.limits.max_structured_metadata_entries_count
    }

    /// Begins a stream of `entries` entries whose lines take about `line_bytes`.
    ///
    /// # Errors
    /// When the text is no label set, which ends the whole push.
    pub fn stream(&mut self, labels: &[u8], entries: usize, line_bytes: usize) -> Result<(), PushFailure> {
        self.count_entries(entries)?;
        if labels.len() > LABELS_LEN_MAX {
            let (len, max) = (exact_size(labels.len() as u64), exact_size(LABELS_LEN_MAX as u64));
            return Err(PushFailure::TooLarge(format!("stream labels size {len} exceeds limit of {max}")));
        }
        let text = str::from_utf8(labels).map_err(|_| PushFailure::Decode("stream labels are not valid UTF-8".to_owned()))?;
        let identity = self.identities.identify(text, &self.limits.discover_service_name, self.settings)?;
        self.begin(&identity, entries, line_bytes)
    }

    /// Begins a stream whose entries were counted before.
    ///
    /// # Errors
    /// Only what ends the whole push; the entries of a stream that limits refuse are counted and left out.
    pub fn begin(&mut self, identity: &Identity, entries: usize, line_bytes: usize) -> Result<(), PushFailure> {
        self.streams_seen += 1;
        if entries > 0 {
            self.current = match self.admit(identity)? {
                Ok(labels) => Current::Stream(self.open(labels, entries, line_bytes)?),
                Err(reason) => Current::Refused(reason),
            };
        }
        Ok(())
    }

    /// Begins a stream whose labels cannot be used: its entries are counted and left out.
    pub fn begin_refused(&mut self, refused: Refused) {
        self.streams_seen += 1;
        self.current = Current::Refused(self.refuse(refused));
    }

    /// Limits of the tenant.
    pub fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// Reserves memory of `bytes` for what the push holds beside its body.
    ///
    /// # Errors
    /// When too much is in flight.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), PushFailure> {
        self.held.grow(bytes)
    }

    /// The labels under which the stream is stored, or the reason why it is not.
    fn admit(&mut self, identity: &Identity) -> Result<Result<Labels, &'static str>, PushFailure> {
        if !identity.is_internal()
            && let Err(refused) = check_labels(identity, self.limits)
        {
            return Ok(Err(self.refuse(refused)));
        }
        let Identity::Stream(labels) = identity else {
            return Ok(Err("duplicate_label_names"));
        };
        if labels.get(BACKFILL).is_some() || labels.get(BACKFILL_SHARD).is_some() {
            return Err(PushFailure::ReservedLabels);
        }
        if !identity.is_internal()
            && let Err(refused) = check_enforced(labels, self.tenant, self.limits)
        {
            return Ok(Err(self.refuse(refused)));
        }
        if self.blocked.is_some() {
            return Ok(Err("blocked_ingestion"));
        }
        let Some(shard) = self.backfill else {
            return Ok(Ok(labels.clone()));
        };
        let pairs = labels.iter().chain([(BACKFILL, "true"), (BACKFILL_SHARD, shard)]);
        Ok(Ok(Labels::from_pairs(pairs).expect("neither label was there before")))
    }

    /// Counts entries that are to come.
    ///
    /// # Errors
    /// When they are too many, or too much is in flight.
    pub fn count_entries(&mut self, entries: usize) -> Result<(), PushFailure> {
        self.entries_seen += entries;
        if self.entries_seen > ENTRIES_MAX {
            return Err(too_many_entries());
        }
        self.held.grow(ROW_BYTES * entries as u64)
    }

    fn refuse(&mut self, refused: Refused) -> &'static str {
        self.refusals.add(refused.message);
        refused.reason
    }

    fn open(&mut self, labels: Labels, entries: usize, line_bytes: usize) -> Result<usize, PushFailure> {
        if self.streams.len() >= STREAMS_MAX && !self.by_labels.contains_key(&labels) {
            return Err(PushFailure::TooLarge(format!("more than {STREAMS_MAX} streams")));
        }
        let (streams, levels) = (&mut self.streams, &self.levels);
        let order = if self.sender == Sender::Otlp { Order::LastWins } else { Order::RewrittenWins };
        let at = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            let level = levels.as_ref().and_then(|levels| levels.best(labels.iter()));
            streams.push(StreamBuilder::new(labels.clone(), level.map(|level| normalise(level.as_bytes()).into()), order));
            streams.len() - 1
        });
        streams[at].reserve(entries, line_bytes);
        Ok(at)
    }

    /// Takes an entry of the stream begun last.
    ///
    /// # Errors
    /// Only what ends the whole push; an entry that limits refuse is counted and left out.
    pub fn entry(&mut self, timestamp: Timestamp, line: &[u8], pairs: &Pairs<'_>) -> Result<(), PushFailure> {
        let bytes = line.len() + pairs.bytes;
        self.taken.received.add(bytes);
        self.taken.metadata_bytes += pairs.bytes;
        let at = match self.current {
            Current::Stream(at) => at,
            Current::Refused(reason) => {
                self.discard(reason, bytes);
                return Ok(());
            }
        };
        let (line, tail) = self.truncate(line);
        let labels = &self.streams[at].labels;
        if let Err(refused) = check_entry(labels, timestamp, line.len() + tail.len(), pairs, self.window, self.limits) {
            self.discard_entry(refused, bytes);
            return Ok(());
        }
        self.count_day(timestamp)?;
        self.append(at, timestamp, line, tail, pairs)
    }

    fn append(&mut self, at: usize, timestamp: Timestamp, line: &[u8], tail: &'a str, pairs: &Pairs<'_>) -> Result<(), PushFailure> {
        let stream = &mut self.streams[at];
        let row = stream.len();
        let (columns, names) = (stream.metadata.len(), stream.metadata.names_len());
        let told = if pairs.count == 0 {
            MetadataLevel::None
        } else {
            match stream.metadata.set(row, pairs, self.levels.as_ref()) {
                Ok(told) => told,
                Err(MetadataError::Name(error)) if self.sender == Sender::Loki => return Err(error.into()),
                Err(MetadataError::Name(error)) => {
                    let refused = bad_name(&stream.labels, &error);
                    self.discard_entry(refused, line.len() + tail.len() + pairs.bytes);
                    return Ok(());
                }
                Err(MetadataError::TooManyNames) => {
                    let refused = too_many_names(&stream.labels);
                    self.discard_entry(refused, line.len() + tail.len() + pairs.bytes);
                    return Ok(());
                }
            }
        };
        // A column that is new has an empty cell for each row before.
        self.metadata_cells += stream.metadata.len() + (stream.metadata.len() - columns) * row;
        self.metadata_cells += (stream.metadata.names_len() - names) * METADATA_CELLS_PER_NAME;
        if self.metadata_cells > METADATA_CELLS_MAX {
            let message = format!("structured metadata takes more than {METADATA_CELLS_MAX} cells of names and entries");
            return Err(PushFailure::TooLarge(message));
        }
        if !stream.has_room(line.len() + tail.len()) {
            return Err(PushFailure::TooLarge("lines of one stream take more than 4GB".to_owned()));
        }
        stream.push(timestamp, line, tail, self.limits.increment_duplicate_timestamp);
        if let Some(levels) = &self.levels {
            stream.set_level(row, told, levels);
        }
        self.taken.stored.add(line.len() + tail.len() + pairs.bytes);
        Ok(())
    }

    /// The line, and what is put at its end when it was cut.
    fn truncate<'l>(&mut self, line: &'l [u8]) -> (&'l [u8], &'a str) {
        let max = self.limits.max_line_size.0;
        if !self.limits.max_line_size_truncate || max == 0 || line.len() as u64 <= max {
            return (line, "");
        }
        let tail = self.limits.max_line_size_truncate_identifier.as_str();
        let kept = (max as usize).saturating_sub(tail.len());
        self.taken.truncated.add(line.len() - kept);
        (&line[..kept], tail)
    }

    fn count_day(&mut self, timestamp: Timestamp) -> Result<(), PushFailure> {
        let day = Day::of(timestamp);
        if self.last_day != Some(day) {
            self.last_day = Some(day);
            if self.days.insert(day) && self.days.len() > DAYS_MAX {
                return Err(PushFailure::TooManyDays { max: DAYS_MAX });
            }
        }
        Ok(())
    }

    #[cold]
    fn discard_entry(&mut self, refused: Refused, bytes: usize) {
        self.refusals.add(refused.message);
        self.discard(refused.reason, bytes);
    }

    fn discard(&mut self, reason: &'static str, bytes: usize) {
        let list = &mut self.taken.discarded;
        let at = list.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
            list.push((reason, Amount::default()));
            list.len() - 1
        });
        list[at].1.add(bytes);
    }

    /// What came of the push.
    ///
    /// # Errors
    /// When there was no stream at all.
    pub fn finish(mut self) -> Result<Taken, PushFailure> {
        if self.streams_seen == 0 {
            return Err(PushFailure::NoStreams);
        }
        let streams = self.streams.into_iter().filter(|stream| stream.len() > 0);
        self.taken.batch = PushBatch { streams: streams.map(StreamBuilder::finish).collect() };
        self.taken.refusals = self.refusals.into_text();
        self.taken.blocked = self.blocked;
        Ok(self.taken)
    }
}
