//! Undoes what an agent packed: the members of a JSON object become labels, its `_entry` the line.

use super::extract::{Extractor, Flow};
use super::json::{JsonBuffers, push_sanitised, string_members};

/// Member that holds the line.
const ENTRY: &[u8] = b"_entry";

/// Gives the texts of a packed `line` to `out` and writes its entry to `entry`; says whether there was one. An error is the text of
/// its details; then, and without an entry, nothing is given.
pub(crate) fn extract(line: &[u8], buffers: &mut JsonBuffers, entry: &mut Vec<u8>, out: &mut Extractor<'_>) -> Result<bool, &'static str> {
    match line.first() {
        None => return Ok(false),
        Some(b'{') => {}
        Some(_) => return Err("expecting json object(6), but it is not"),
    }
    let mut packed = false;
    string_members(line, buffers, |name, value| {
        if name == ENTRY {
            packed = true;
            entry.clear();
            entry.extend_from_slice(value);
        }
        Flow::Continue
    })?;
    if !packed {
        return Ok(false);
    }
    let mut label = Vec::new();
    string_members(line, buffers, |name, value| {
        if name == ENTRY {
            return Flow::Continue;
        }
        label.clear();
        push_sanitised(&mut label, name, true);
        if label.is_empty() { Flow::Continue } else { out.put_as(name, &label, value) }
    })?;
    Ok(true)
}
