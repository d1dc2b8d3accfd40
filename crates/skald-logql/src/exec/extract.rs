use super::json::JSON_ERROR;
use super::json_path::{self, PathPart};
use super::label_filter::Verdict;
use super::logfmt::{self, LogfmtBuffers};
use super::pipeline::Hints;
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED, RowLabels};

/// Whether a parser goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// All that is needed was found, or the entry is out.
    Stop,
}

#[derive(Debug, Default)]
pub(crate) struct PutBuffers {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Takes what a parser reads and makes labels of it, under the rules about names that are taken.
pub(crate) struct Extractor<'a> {
    row: &'a mut RowLabels,
    hints: &'a Hints,
    buffers: &'a mut PutBuffers,
    /// Required labels not found yet.
    missing: usize,
    /// Whether a filter has put the entry out.
    pub(crate) dropped: bool,
}

impl<'a> Extractor<'a> {
    /// For one parser over one entry.
    pub(crate) fn new(row: &'a mut RowLabels, hints: &'a Hints, buffers: &'a mut PutBuffers) -> Self {
        let missing = hints.required.as_ref().map_or(usize::MAX, Vec::len);
        Extractor { row, hints, buffers, missing, dropped: false }
    }

    #[inline]
    fn is_required(&self, name: &[u8]) -> bool {
        // Most names differ in the first byte, which needs no call.
        let is_name = |n: &String| n.len() == name.len() && n.as_bytes().first() == name.first() && n.as_bytes() == name;
        self.hints.required.as_ref().is_none_or(|names| names.iter().any(is_name))
    }

    /// Whether a label of this name, as the parser reads it, is of use.
    #[inline]
    pub(crate) fn wants(&self, name: &[u8]) -> bool {
        self.is_required(name)
    }

    /// Whether a label whose name begins with `path` and `_` can be of use.
    #[inline]
    pub(crate) fn wants_prefix(&self, path: &[u8]) -> bool {
        let below = |name: &String| {
            path.is_empty() || (name.len() > path.len() && name.as_bytes().starts_with(path) && name.as_bytes()[path.len()] == b'_')
        };
        self.hints.required.as_ref().is_none_or(|names| names.iter().any(below))
    }

    /// Writes a label; the first of a name stays. What is not UTF-8, and U+FFFD, becomes a blank.
    pub(crate) fn put_text(&mut self, name: &[u8], value: &[u8]) -> Flow {
        if value.is_ascii() {
            return self.put(name, value);
        }
        match std::str::from_utf8(value) {
            Ok(text) if !text.contains('\u{fffd}') => self.put(name, value),
            _ => {
                let cleaned = String::from_utf8_lossy(value).replace('\u{fffd}', " ");
                self.put(name, cleaned.as_bytes())
            }
        }
    }

    /// Writes a label as it is; the first of a name stays.
    pub(crate) fn put(&mut self, name: &[u8], value: &[u8]) -> Flow {
        self.put_as(name, name, value)
    }

    /// Writes a label that gets a suffix where `original` is the name of another.
    pub(crate) fn put_as(&mut self, original: &[u8], name: &[u8], value: &[u8]) -> Flow {
        let mut longer = std::mem::take(&mut self.buffers.name);
        let name = if self.row.collides(original) {
            longer.clear();
            longer.extend_from_slice(name);
            longer.extend_from_slice(EXTRACTED.as_bytes());
            &longer
        } else {
            name
        };
        let flow = self.put_named(name, value);
        self.buffers.name = longer;
        flow
    }

    fn put_named(&mut self, name: &[u8], value: &[u8]) -> Flow {
        if !self.is_required(name) || self.row.was_parsed(name) {
            return Flow::Continue;
        }
        self.row.set_parsed(name, value);
        self.missing -= 1;
        let early = self.hints.early.iter().find(|(filtered, _)| filtered.as_bytes() == name);
        // Under the names of errors a filter sees the error, whatever a parser wrote there.
        let seen = match name {
            _ if name == ERROR.as_bytes() => self.row.error().unwrap_or_default().as_bytes(),
            _ if name == ERROR_DETAILS.as_bytes() => b"",
            _ => value,
        };
        self.dropped = early.is_some_and(|(_, test)| test.check(seen) == Verdict::Fail);
        if self.dropped || self.missing == 0 { Flow::Stop } else { Flow::Continue }
    }
}

/// Sets each label to the value at its path; labels without one are empty.
pub(crate) fn extract_paths(paths: &[(String, Vec<PathPart>)], line: &[u8], row: &mut RowLabels, buffers: &mut PutBuffers) {
    match line.first() {
        None => return,
        Some(b'{' | b'[' | b'"') => {}
        Some(_) => return row.set_error(JSON_ERROR, None),
    }
    for (name, path) in paths {
        let mut value = std::mem::take(&mut buffers.value);
        value.clear();
        let found = json_path::value_at(line, path, &mut value);
        if let Err(details) = found {
            row.set_error(JSON_ERROR, Some(details));
        }
        if found == Ok(false) {
            preset(row, name);
        } else {
            overwrite(row, name, &value);
        }
        buffers.value = value;
    }
}

/// Sets each label to the last value of its key; labels without one are empty.
pub(crate) fn extract_keys(strict: bool, keys: &[(String, String)], line: &[u8], row: &mut RowLabels, buffers: &mut LogfmtBuffers) {
    keys.iter().for_each(|(name, _)| preset(row, name));
    let done = logfmt::each_pair(line, strict, buffers, |key, value| {
        // A key that has the name of a label sets it too.
        for (name, _) in keys.iter().filter(|(name, wanted)| wanted.as_bytes() == key || name.as_bytes() == key) {
            overwrite(row, name, value);
        }
    });
    if let Err(details) = done {
        row.set_error(logfmt::LOGFMT_ERROR, Some(&details));
    }
}

/// Makes a label that nothing else has empty.
fn preset(row: &mut RowLabels, name: &str) {
    if !row.collides(name.as_bytes()) {
        row.set_parsed(name.as_bytes(), b"");
    }
}

/// Sets a label, under the longer name where its own is taken.
fn overwrite(row: &mut RowLabels, name: &str, value: &[u8]) {
    if row.collides(name.as_bytes()) {
        row.set_parsed(format!("{name}{EXTRACTED}").as_bytes(), value);
    } else {
        row.set_parsed(name.as_bytes(), value);
    }
}
