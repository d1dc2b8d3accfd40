use super::batch::{Batch, text};
use super::label_set::LabelSet;
use skald_model::Labels;
use std::borrow::Cow;
use std::ops::Range;

/// Name under which the error of an entry is seen.
pub const ERROR: &str = "__error__";
/// Name under which the cause of the error is seen.
pub(crate) const ERROR_DETAILS: &str = "__error_details__";
/// Name that `keep` never removes.
pub(crate) const PRESERVE_ERROR: &str = "__preserve_error__";
/// Put behind a name that is taken.
pub(crate) const EXTRACTED: &str = "_extracted";

/// Whether metadata of this name sets the error of entries, or its cause.
pub(crate) fn names_error(name: &str) -> bool {
    name == ERROR || name == ERROR_DETAILS
}

/// Where a label of an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The stream.
    Stream,
    /// Structured metadata of the entry.
    Metadata,
    /// A stage of the pipeline.
    Parsed,
}

/// The labels of one entry on its way through a pipeline.
///
/// Names and values stand in one buffer that is used again for the next entry.
#[derive(Debug)]
pub struct RowLabels {
    stream: Labels,
    /// Places of stream labels that were dropped or renamed, in name order.
    masked: Vec<usize>,
    slots: Vec<Slot>,
    text: Vec<u8>,
    error: Option<Cow<'static, str>>,
    details: Option<String>,
}

#[derive(Debug, Clone)]
struct Slot {
    name: Range<u32>,
    value: Range<u32>,
    category: Category,
    /// A parsed label that was removed still keeps parsers from writing its name again.
    live: bool,
}

impl Default for RowLabels {
    fn default() -> Self {
        RowLabels { stream: Labels::empty(), masked: Vec::new(), slots: Vec::new(), text: Vec::new(), error: None, details: None }
    }
}

impl RowLabels {
    /// Begins an entry of a stream.
    pub(crate) fn begin(&mut self, stream: &Labels) {
        self.stream.clone_from(stream);
        self.begin_next();
    }

    /// Begins the next entry of the same stream.
    pub(crate) fn begin_next(&mut self) {
        self.masked.clear();
        self.slots.clear();
        self.text.clear();
        self.error = None;
        self.details = None;
    }

    /// Adds the metadata of one row of `batch`, from the columns that are needed.
    pub(crate) fn add_row_metadata(&mut self, batch: &Batch<'_>, columns: &[usize], row: usize) {
        for column in columns {
            let column = &batch.columns[*column];
            let value = column.value(batch.column_offset + row);
            if !value.is_empty() {
                self.add_metadata(column.name(), value);
            }
        }
    }

    /// Adds structured metadata; a name that the stream has gets a suffix.
    pub(crate) fn add_metadata(&mut self, name: &str, value: &[u8]) {
        match name {
            ERROR => self.error = Some(Cow::Owned(text(value).into_owned())),
            ERROR_DETAILS => self.details = Some(text(value).into_owned()),
            _ if self.stream.get(name).is_some() => self.push(&[name.as_bytes(), EXTRACTED.as_bytes()], value, Category::Metadata),
            _ => self.push(&[name.as_bytes()], value, Category::Metadata),
        }
    }

    fn push(&mut self, name: &[&[u8]], value: &[u8], category: Category) {
        let start = self.text.len() as u32;
        name.iter().for_each(|part| self.text.extend_from_slice(part));
        let middle = self.text.len() as u32;
        self.text.extend_from_slice(value);
        let end = self.text.len() as u32;
        self.slots.push(Slot { name: start..middle, value: middle..end, category, live: true });
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.text[range.start as usize..range.end as usize]
    }

    fn find(&self, name: &[u8], wanted: impl Fn(&Slot) -> bool) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| (slot.name.end - slot.name.start) as usize == name.len() && wanted(slot) && self.bytes(&slot.name) == name)
    }

    /// Value of `name`: what metadata or a stage set, else the stream's. Errors are not labels here.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        if let Some(at) = self.find(name.as_bytes(), |slot| slot.live) {
            return Some(self.bytes(&self.slots[at].value));
        }
        let at = self.stream.position(name.as_bytes())?;
        (!self.masked.contains(&at)).then(|| self.stream.value(at).as_bytes())
    }

    /// Value under which [`RowLabels::for_each`] shows `name` first: errors are labels here.
    pub(crate) fn visible(&self, name: &str) -> Option<&[u8]> {
        let error = match name {
            ERROR => self.error(),
            ERROR_DETAILS => self.visible_details(),
            _ => None,
        };
        let Some(error) = error else { return self.get(name) };
        // An error hides labels that stages or metadata set under its name, not those of the stream.
        let of_stream = if self.find(name.as_bytes(), |slot| slot.live).is_none() { self.get(name) } else { None };
        Some(of_stream.unwrap_or(error.as_bytes()))
    }

    /// Whether a parser's label of this name has to be renamed.
    pub(crate) fn collides(&self, name: &[u8]) -> bool {
        self.stream.position(name).is_some() || self.find(name, |slot| slot.live && slot.category == Category::Metadata).is_some()
    }

    /// Whether a stage wrote `name` before, even if it was removed since.
    pub(crate) fn was_parsed(&self, name: &[u8]) -> bool {
        self.find(name, |slot| slot.category == Category::Parsed).is_some()
    }

    /// Writes a parsed label in place of any that metadata or a stage set.
    pub(crate) fn set_parsed(&mut self, name: &[u8], value: &[u8]) {
        while let Some(at) = self.find(name, |_| true) {
            self.slots.swap_remove(at);
        }
        self.push(&[name], value, Category::Parsed);
    }

    /// Removes a label, or an error.
    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.error = None,
            ERROR_DETAILS => self.details = None,
            _ => self.remove_label(name),
        }
    }

    /// Removes a label, whatever its name.
    pub(crate) fn remove_label(&mut self, name: &str) {
        while let Some(at) = self.find(name.as_bytes(), |slot| slot.live) {
            self.slots[at].live = false;
        }
        self.mask(name);
    }

    fn mask(&mut self, name: &str) {
        if let Some(at) = self.stream.position(name.as_bytes())
            && !self.masked.contains(&at)
        {
            self.masked.push(at);
        }
    }

    /// Removes every label for which `keep` does not hold. Errors stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
        let always = |name: &[u8]| [ERROR, ERROR_DETAILS, PRESERVE_ERROR].iter().any(|kept| kept.as_bytes() == name);
        let kept = |name: &[u8], value: &[u8]| always(name) || keep(&text(name), value);
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            self.slots[at].live = slot.live && kept(self.bytes(&slot.name), self.bytes(&slot.value));
        }
        let stream = self.stream.clone();
        for (name, value) in stream.iter() {
            if !kept(name.as_bytes(), value.as_bytes()) {
                self.mask(name);
            }
        }
    }

    /// Name of the error, if a stage failed.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Sets the error in place of one before.
    pub(crate) fn set_error(&mut self, error: &'static str, details: Option<&str>) {
        self.error = Some(Cow::Borrowed(error));
        self.details = details.map(str::to_owned);
    }

    pub(crate) fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// The cause of the error, where it is to be seen: alone it is not.
    pub(crate) fn visible_details(&self) -> Option<&str> {
        let changed = self.error.is_some() || !self.masked.is_empty() || !self.slots.is_empty();
        self.details.as_deref().filter(|_| changed)
    }

    /// Calls `visit` for each label with its category, in no order.
    pub fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a [u8], &'a [u8], Category)) {
        for (at, (name, value)) in self.stream.iter().enumerate() {
            if !self.masked.contains(&at) && self.find(name.as_bytes(), |slot| slot.live).is_none() {
                visit(name.as_bytes(), value.as_bytes(), Category::Stream);
            }
        }
        let details = self.visible_details();
        for slot in self.slots.iter().filter(|slot| slot.live) {
            let name = self.bytes(&slot.name);
            let hidden = (self.error.is_some() && name == ERROR.as_bytes()) || (details.is_some() && name == ERROR_DETAILS.as_bytes());
            if !hidden {
                visit(name, self.bytes(&slot.value), slot.category);
            }
        }
        if let Some(error) = &self.error {
            visit(ERROR.as_bytes(), error.as_bytes(), Category::Parsed);
        }
        if let Some(details) = details {
            visit(ERROR_DETAILS.as_bytes(), details.as_bytes(), Category::Parsed);
        }
    }

    /// All labels of one category, or of all.
    pub(crate) fn to_set(&self, category: Option<Category>) -> LabelSet {
        let mut pairs = Vec::new();
        self.for_each(|name, value, found| {
            if category.is_none_or(|wanted| wanted == found) {
                pairs.push((text(name).into_owned(), text(value).into_owned()));
            }
        });
        LabelSet::from_pairs(pairs)
    }

    /// Whether nothing but the stream's labels is there.
    pub(crate) fn is_stream_only(&self) -> bool {
        self.slots.is_empty() && self.masked.is_empty() && self.error.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RowLabels {
        let mut row = RowLabels::default();
        row.begin(&Labels::from_pairs([("job", "web"), ("sl", "s")]).expect("distinct"));
        row.add_metadata("md", b"m");
        row.add_metadata("sl", b"m2");
        row
    }

    #[test]
    fn metadata_never_hides_a_stream_label() {
        let row = row();
        assert_eq!(row.to_set(None).to_string(), r#"{job="web", md="m", sl="s", sl_extracted="m2"}"#);
        assert_eq!(row.to_set(Some(Category::Metadata)).to_string(), r#"{md="m", sl_extracted="m2"}"#);
        assert!(row.collides(b"md") && row.collides(b"job") && !row.collides(b"x"));
    }

    #[test]
    fn a_removed_label_is_absent_but_keeps_its_name_taken() {
        let mut row = row();
        row.set_parsed(b"a", b"1");
        row.remove("a");
        row.remove("job");
        assert_eq!((row.get("a"), row.get("job"), row.get("sl")), (None, None, Some(&b"s"[..])));
        assert!(row.was_parsed(b"a") && row.collides(b"job"));
        row.set_parsed(b"sl", b"parsed");
        assert_eq!(row.to_set(None).to_string(), r#"{md="m", sl="parsed", sl_extracted="m2"}"#);
    }

    #[test]
    fn details_alone_are_not_shown() {
        let mut row = RowLabels::default();
        row.begin(&Labels::empty());
        row.set_error("JSONParserErr", Some("cause"));
        row.remove(ERROR);
        assert_eq!(row.to_set(None).to_string(), "{}");
        row.set_parsed(b"a", b"1");
        assert_eq!(row.to_set(None).to_string(), r#"{__error_details__="cause", a="1"}"#);
    }
}
