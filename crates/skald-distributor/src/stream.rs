use crate::level::LevelDetector;
use crate::metadata::{MetadataColumns, MetadataLevel, Order};
use skald_model::{ColumnBuilder, Labels, Level, Rows, Timestamp};
use skald_rpc::StreamRows;

/// Rows of one stream while they come.
pub struct StreamBuilder {
    /// The stream.
    pub labels: Labels,
    /// The level that the labels tell.
    level: Option<Box<[u8]>>,
    timestamps: Vec<i64>,
    line_ends: Vec<u32>,
    lines: Vec<u8>,
    /// Metadata of the rows; set before the row itself is pushed.
    pub metadata: MetadataColumns,
    levels: ColumnBuilder,
    /// Timestamp of the last entry as it was sent.
    last_sent: i64,
}

impl StreamBuilder {
    /// A stream without rows; `level` is what its labels tell, `order` which of several values for a metadata name counts.
    pub fn new(labels: Labels, level: Option<Box<[u8]>>, order: Order) -> Self {
        StreamBuilder {
            labels,
            level,
            timestamps: Vec::new(),
            line_ends: Vec::new(),
            lines: Vec::new(),
            metadata: MetadataColumns::new(order),
            levels: ColumnBuilder::default(),
            last_sent: 0,
        }
    }

    /// Room for that much more.
    pub fn reserve(&mut self, entries: usize, line_bytes: usize) {
        self.timestamps.reserve(entries);
        self.line_ends.reserve(entries);
        self.lines.reserve(line_bytes);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether lines may grow by `bytes`: their bounds are 32 bits wide.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.lines.len() + bytes <= u32::MAX as usize
    }

    fn last_line(&self) -> &[u8] {
        let start = self.line_ends.len().checked_sub(2).map_or(0, |before| self.line_ends[before] as usize);
        &self.lines[start..]
    }

    /// Adds a row of `line` and `tail`. A timestamp that is that of the row before, whose line differs, becomes 1 ns later than it on request.
    #[inline]
    pub fn push(&mut self, timestamp: Timestamp, line: &[u8], tail: &str, increment_duplicate: bool) {
        let mut at = timestamp.0;
        let last = self.timestamps.last().copied();
        if increment_duplicate
            && let Some(last) = last
            && (at == last || at == self.last_sent)
            && self.last_line().strip_suffix(tail.as_bytes()) != Some(line)
        {
            at = last.saturating_add(1);
        } else {
            self.last_sent = at;
        }
        self.lines.extend_from_slice(line);
        self.lines.extend_from_slice(tail.as_bytes());
        self.timestamps.push(at);
        self.line_ends.push(self.lines.len() as u32);
    }

    /// Adds the level of the row pushed last: by labels, metadata or the line, in this order.
    #[inline]
    pub fn set_level(&mut self, row: usize, told: MetadataLevel<'_>, levels: &LevelDetector<'_>) {
        match (told, &self.level) {
            (MetadataLevel::Pushed, _) => {}
            (_, Some(level)) => self.levels.set(row, level),
            (MetadataLevel::Known(level), None) => self.levels.set(row, level.as_str().as_bytes()),
            (MetadataLevel::Verbatim(text), None) => self.levels.set(row, &text),
            (MetadataLevel::None, None) => {
                let level = levels.of_line(self.last_line());
                self.levels.set(row, level.as_str().as_bytes());
            }
        }
    }

    /// The rows.
    pub fn finish(self) -> StreamRows {
        let rows = self.timestamps.len();
        let mut columns = self.metadata.finish(rows);
        if !self.levels.is_empty() {
            columns.push(self.levels.finish(Level::METADATA_NAME.into(), true, rows));
        }
        let rows = Rows::from_columns(self.timestamps, self.line_ends, self.lines, columns).expect("columns were filled row by row");
        StreamRows { labels: self.labels, rows }
    }
}
