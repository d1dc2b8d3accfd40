//! Structured metadata on its way from an entry into columns.

use crate::level;
use rustc_hash::FxHashMap;
use skald_model::{Column, ColumnBuilder, Level};
use std::borrow::Cow;
use std::sync::Arc;

/// Why a metadata name cannot be made into one that queries can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataNameError {
    /// It is empty.
    #[error("label name is empty")]
    Empty,
    /// Nothing but underscores is left of it.
    #[error("normalization for label name \"{name}\" resulted in invalid name \"_\"")]
    Underscores {
        /// As it was pushed.
        name: String,
    },
}

/// A name that queries can say: each run of bytes other than letters and digits becomes one `_`, a digit at the beginning gets `key_` before it.
/// `__x__` keeps its double underscores.
///
/// # Errors
/// When nothing is left.
pub fn normalise_name(name: &[u8]) -> Result<Cow<'_, str>, MetadataNameError> {
    if name.is_empty() {
        return Err(MetadataNameError::Empty);
    }
    if !name.iter().any(u8::is_ascii_alphanumeric) {
        return Err(MetadataNameError::Underscores { name: String::from_utf8_lossy(name).into_owned() });
    }
    let inner = name.strip_prefix(b"__").and_then(|rest| rest.strip_suffix(b"__"));
    let (around, inner) = inner.map_or(("", name), |inner| ("__", inner));
    let valid = |at: usize, byte: u8| byte.is_ascii_alphanumeric() || (byte == b'_' && inner.get(at + 1) != Some(&b'_'));
    if !inner[0].is_ascii_digit() && inner.iter().enumerate().all(|(at, byte)| valid(at, *byte)) {
        let text = str::from_utf8(name).expect("letters, digits and underscores are UTF-8");
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(name.len() + 4);
    out.push_str(around);
    if inner[0].is_ascii_digit() {
        out.push_str("key_");
    }
    let mut run = false;
    for byte in inner {
        let other = !byte.is_ascii_alphanumeric();
        if !other {
            out.push(char::from(*byte));
        } else if !run {
            out.push('_');
        }
        run = other;
    }
    out.push_str(around);
    Ok(Cow::Owned(out))
}

/// A value that is text: each byte that is no UTF-8, and each character that stands for such, becomes a blank.
pub fn clean_value(value: &[u8]) -> Cow<'_, [u8]> {
    const REPLACEMENT: &str = "\u{fffd}";
    if value.is_ascii() {
        return Cow::Borrowed(value);
    }
    match str::from_utf8(value) {
        Ok(text) if !text.contains(REPLACEMENT) => Cow::Borrowed(value),
        Ok(text) => Cow::Owned(text.replace(REPLACEMENT, " ").into_bytes()),
        Err(_) => {
            let mut out = Vec::with_capacity(value.len());
            for chunk in value.utf8_chunks() {
                out.extend_from_slice(chunk.valid().replace(REPLACEMENT, " ").as_bytes());
                out.resize(out.len() + chunk.invalid().len(), b' ');
            }
            Cow::Owned(out)
        }
    }
}

/// The pairs of one entry as pushed, kept only as far as they may be many.
#[derive(Debug, Default)]
pub struct Pairs<'a> {
    list: Vec<(&'a [u8], &'a [u8])>,
    len_max: usize,
    /// How many there are, more than were kept included.
    pub count: usize,
    /// Bytes of names and values, `detected_level` left out.
    pub bytes: usize,
}

impl<'a> Pairs<'a> {
    /// Room for the pairs of entries that may have `len_max` of them; of those beyond only number and size are kept.
    pub fn new(len_max: usize) -> Self {
        Pairs { len_max, ..Pairs::default() }
    }

    /// Forgets the pairs.
    pub fn clear(&mut self) {
        self.list.clear();
        (self.count, self.bytes) = (0, 0);
    }

    /// Counts pairs of `bytes` that are not kept, because the entry has too many or too large ones without them.
    pub fn count_more(&mut self, count: usize, bytes: usize) {
        self.count += count;
        self.bytes += bytes;
    }

    /// No pairs, in the memory of these.
    pub fn reuse<'b>(self) -> Pairs<'b> {
        // Collecting as many elements of the same size keeps the allocation.
        let mut list: Vec<(&'b [u8], &'b [u8])> = self.list.into_iter().map(|_| (&[][..], &[][..])).collect();
        list.clear();
        Pairs { list, len_max: self.len_max, count: 0, bytes: 0 }
    }

    /// Adds a pair.
    pub fn push(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.count += 1;
        if name != Level::METADATA_NAME.as_bytes() {
            self.bytes += name.len() + value.len();
        }
        if self.list.len() < self.len_max {
            self.list.push((name, value));
        }
    }
}

/// Most metadata names, as pushed, that the entries of one stream may have in one push.
pub const NAMES_MAX: usize = 1024;

/// Metadata of one stream's rows.
#[derive(Default)]
pub struct MetadataColumns {
    columns: Vec<MetadataColumn>,
    /// Columns by names as they were pushed.
    by_name: FxHashMap<Box<[u8]>, Slot>,
    /// Names of the last entry: the next one usually has the same in the same order.
    last: Vec<(Box<[u8]>, Slot)>,
    /// Scratch: columns of the entry at hand, and its pairs' place.
    resolved: Vec<(Slot, usize)>,
    order: Order,
}

/// Which of several values for one name counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The last whose name was rewritten, else the last.
    #[default]
    RewrittenWins,
    /// The last.
    LastWins,
}

struct MetadataColumn {
    name: Arc<str>,
    values: ColumnBuilder,
    tells: Tells,
}

/// What a metadata name means for the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    Nothing,
    /// It is the level.
    Level,
    /// A field of the list, at this place.
    Field(usize),
    Severity,
}

impl Tells {
    fn of(name: &str, levels: Option<&level::LevelDetector<'_>>) -> Self {
        let Some(levels) = levels else { return Tells::Nothing };
        match (name, levels.rank(name)) {
            (Level::METADATA_NAME, _) => Tells::Level,
            (_, Some(rank)) => Tells::Field(rank),
            ("severity_number", None) => Tells::Severity,
            (_, None) => Tells::Nothing,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    column: u32,
    /// The name had to be changed; such a value wins over one whose name was right.
    rewritten: bool,
}

/// Why an entry's metadata were not taken.
#[derive(Debug)]
pub enum MetadataError {
    /// A name cannot be used.
    Name(MetadataNameError),
    /// The stream would have more than [`NAMES_MAX`] names.
    TooManyNames,
}

/// What metadata tell of an entry's level.
pub enum MetadataLevel<'a> {
    /// Pushed as `detected_level`; nothing is to be found out.
    Pushed,
    /// A field of the list, or `severity_number`, tells it.
    Known(Level),
    /// A field of the list has a value that is none of the levels.
    Verbatim(Cow<'a, [u8]>),
    /// Nothing.
    None,
}

impl MetadataColumns {
    /// No columns.
    pub fn new(order: Order) -> Self {
        MetadataColumns { order, ..MetadataColumns::default() }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Number of names as they were pushed.
    pub fn names_len(&self) -> usize {
        self.by_name.len()
    }

    /// Sets the metadata of `row`; `levels` says what to look for, `None` where levels are left alone.
    ///
    /// Of two values for one name [`Order`] says which wins; empty ones vanish.
    ///
    /// # Errors
    /// See [`MetadataError`]; nothing of the entry was taken then.
    pub fn set<'a>(
        &mut self,
        row: usize,
        pairs: &Pairs<'a>,
        levels: Option<&level::LevelDetector<'_>>,
    ) -> Result<MetadataLevel<'a>, MetadataError> {
        self.resolve(pairs, levels)?;
        let (mut best, mut severity, mut pushed) = (None::<(usize, &'a [u8])>, None, false);
        for (slot, at) in &self.resolved {
            let column = &mut self.columns[slot.column as usize];
            let value = clean_value(pairs.list[*at].1);
            if value.is_empty() {
                continue;
            }
            match column.tells {
                Tells::Nothing => column.values.set(row, &value),
                Tells::Level => {
                    column.values.set(row, level::normalise(&value));
                    pushed = true;
                }
                Tells::Field(rank) => {
                    column.values.set(row, &value);
                    if best.is_none_or(|(found, _)| rank < found) {
                        best = Some((rank, pairs.list[*at].1));
                    }
                }
                Tells::Severity => {
                    column.values.set(row, &value);
                    severity = Some(level::of_severity_number(&value));
                }
            }
        }
        Ok(match (pushed, best, severity) {
            (true, _, _) => MetadataLevel::Pushed,
            (false, Some((_, value)), _) => {
                level::parse(value).map_or_else(|| MetadataLevel::Verbatim(clean_value(value)), MetadataLevel::Known)
            }
            (false, None, Some(level)) => MetadataLevel::Known(level),
            (false, None, None) => MetadataLevel::None,
        })
    }

    /// Finds each pair's column and leaves in `resolved` one pair per column.
    fn resolve(&mut self, pairs: &Pairs<'_>, levels: Option<&level::LevelDetector<'_>>) -> Result<(), MetadataError> {
        self.resolved.clear();
        for (at, (name, _)) in pairs.list.iter().enumerate() {
            let slot = match self.last.get(at) {
                Some((last, slot)) if **last == **name => *slot,
                _ => {
                    let slot = self.slot(name, levels)?;
                    self.last.truncate(at);
                    self.last.push(((*name).into(), slot));
                    slot
                }
            };
            self.resolved.push((slot, at));
        }
        if self.resolved.is_sorted_by(|(one, _), (next, _)| one.column < next.column) {
            return Ok(());
        }
        // In the order of columns, and among those of one column the winner last.
        self.resolved.sort_unstable_by_key(|(slot, at)| (slot.column, slot.rewritten, *at));
        let mut keep = 0;
        for i in 0..self.resolved.len() {
            if self.resolved.get(i + 1).is_none_or(|(next, _)| next.column != self.resolved[i].0.column) {
                self.resolved[keep] = self.resolved[i];
                keep += 1;
            }
        }
        self.resolved.truncate(keep);
        Ok(())
    }

    fn slot(&mut self, name: &[u8], levels: Option<&level::LevelDetector<'_>>) -> Result<Slot, MetadataError> {
        if let Some(slot) = self.by_name.get(name) {
            return Ok(*slot);
        }
        if self.by_name.len() >= NAMES_MAX {
            return Err(MetadataError::TooManyNames);
        }
        let normal = normalise_name(name).map_err(MetadataError::Name)?;
        let found = self.columns.iter().position(|column| *column.name == *normal);
        let column = found.unwrap_or_else(|| {
            let tells = Tells::of(&normal, levels);
            self.columns.push(MetadataColumn { name: (*normal).into(), values: ColumnBuilder::default(), tells });
            self.columns.len() - 1
        });
        let slot = Slot { column: column as u32, rewritten: self.order == Order::RewrittenWins && matches!(normal, Cow::Owned(_)) };
        self.by_name.insert(name.into(), slot);
        Ok(slot)
    }

    /// The columns over `rows` rows; those without any value are left out.
    pub fn finish(self, rows: usize) -> Vec<Column> {
        let used = self.columns.into_iter().filter(|column| !column.values.is_empty());
        used.map(|column| column.values.finish(column.name, false, rows)).collect()
    }
}

#[cfg(test)]
mod tests;
