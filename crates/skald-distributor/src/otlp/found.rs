use super::value::{self, Name};
use crate::error::PushFailure;
use crate::metadata::Pairs;
use skald_model::Level;
use skald_proto::otlp::{AnyValue, Attribute};
use std::io::Write;

/// Structured metadata of one resource, scope or record.
pub struct Found<'b> {
    pairs: Vec<(Text<'b>, Text<'b>)>,
    /// Texts that are not in the body as they are.
    texts: Vec<u8>,
    kept_bytes: u64,
    /// Pairs that were not kept, and their bytes.
    more: (usize, usize),
    bounds: Bounds,
}

/// How much is kept. An entry that has more is refused, so that only number and size of the rest matter.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most pairs.
    pub len_max: usize,
    /// Most bytes of names and values.
    pub bytes_max: u64,
    /// Longest text of one value.
    pub text_max: usize,
}

#[derive(Debug, Clone, Copy)]
enum Text<'b> {
    Body(&'b [u8]),
    /// From and to, in the texts.
    Own(usize, usize),
}

impl<'b> Found<'b> {
    /// Nothing found yet.
    pub fn new(bounds: Bounds) -> Self {
        Found { pairs: Vec::new(), texts: Vec::new(), kept_bytes: 0, more: (0, 0), bounds }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.pairs.clear();
        self.texts.clear();
        (self.kept_bytes, self.more) = (0, (0, 0));
    }

    /// Bytes of names and values kept.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Bytes of texts that are not in the body as they are.
    pub fn text_len(&self) -> usize {
        self.texts.len()
    }

    /// Adds an attribute; a map becomes a pair for each value in it, their names joined by `_`.
    ///
    /// # Errors
    /// When it is malformed or nests too deeply.
    pub fn add(&mut self, attribute: Attribute<'b>) -> Result<(), PushFailure> {
        value::for_each_leaf(attribute, &mut |name, value| self.add_leaf(name, value))
    }

    fn add_leaf(&mut self, name: Name<'b, '_>, value: AnyValue<'b>) -> Result<(), PushFailure> {
        let before = self.texts.len();
        let value = match value {
            AnyValue::String(text) => Text::Body(text),
            other => {
                value::write(other, &mut self.texts, self.bounds.text_max)?;
                Text::Own(before, self.texts.len())
            }
        };
        let name = match name {
            Name::Key(key) => Text::Body(key),
            Name::Path(path) if self.has_room() => {
                self.texts.extend_from_slice(path);
                Text::Own(self.texts.len() - path.len(), self.texts.len())
            }
            Name::Path(path) => {
                self.more = (self.more.0 + 1, self.more.1 + path.len() + self.text(value).len());
                self.texts.truncate(before);
                return Ok(());
            }
        };
        self.push(name, value, before);
        Ok(())
    }

    /// Adds a text, unless it is empty.
    pub fn add_text(&mut self, name: &'static [u8], value: &'b [u8]) {
        if !value.is_empty() {
            self.push(Text::Body(name), Text::Body(value), self.texts.len());
        }
    }

    /// Adds a number, unless it is 0.
    pub fn add_number(&mut self, name: &'static [u8], number: i128) {
        if number != 0 {
            let before = self.texts.len();
            write!(self.texts, "{number}").expect("memory takes all");
            self.push(Text::Body(name), Text::Own(before, self.texts.len()), before);
        }
    }

    /// Adds an id of `len` bytes as hexadecimal digits, unless it is no such or all 0.
    pub fn add_id(&mut self, name: &'static [u8], id: &[u8], len: usize) {
        if id.len() != len || id.iter().all(|byte| *byte == 0) {
            return;
        }
        let before = self.texts.len();
        self.texts.extend(id.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        self.push(Text::Body(name), Text::Own(before, self.texts.len()), before);
    }

    fn has_room(&self) -> bool {
        self.pairs.len() < self.bounds.len_max && self.kept_bytes <= self.bounds.bytes_max
    }

    /// Keeps a pair, or counts it and takes its texts, which begin at `texts_from`, back.
    fn push(&mut self, name: Text<'b>, value: Text<'b>, texts_from: usize) {
        let is_counted = self.text(name) != Level::METADATA_NAME.as_bytes();
        let bytes = if is_counted { self.text(name).len() + self.text(value).len() } else { 0 };
        if self.has_room() {
            self.kept_bytes += bytes as u64;
            self.pairs.push((name, value));
        } else {
            self.more = (self.more.0 + 1, self.more.1 + bytes);
            self.texts.truncate(texts_from);
        }
    }

    fn text(&self, text: Text<'b>) -> &[u8] {
        match text {
            Text::Body(bytes) => bytes,
            Text::Own(from, to) => &self.texts[from..to],
        }
    }

    /// Adds what was found to the pairs of an entry.
    pub fn append_to<'p>(&'p self, pairs: &mut Pairs<'p>) {
        for (name, value) in &self.pairs {
            pairs.push(self.text(*name), self.text(*value));
        }
        pairs.count_more(self.more.0, self.more.1);
    }
}
