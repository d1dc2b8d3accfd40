//! The one place that knows tantivy: a dictionary of labels, the streams of each, and each stream's span of time.
//!
//! A stream is a tantivy document, its number the document's. Its terms are, for each label, the *pair* `v` + name + `FF` + value and the *name* `n` + name; no
//! UTF-8 text has a byte FF, so no two labels have the same term. Names sort before pairs, the pairs of a name stand together in the order of the values.

mod build;
mod directory;
mod read;

pub(crate) use build::TermsBuilder;
pub(crate) use read::{Blocks, Posting, Terms};

use tantivy::TantivyError;
use tantivy::schema::{BytesOptions, Field, NumericOptions, Schema};

/// tantivy's files that are kept, by their extension; the last is its description of the index. The document store is empty and is not kept.
const FILES: [&str; 5] = ["term", "idx", "fast", "fieldnorm", "pos"];
/// Files of an index: those and `meta.json`.
pub(crate) const FILE_COUNT: usize = FILES.len() + 1;
/// Name of the segment in the files: tantivy draws a random one.
const SEGMENT: &str = "00000000-0000-0000-0000-000000000000";
/// Longest term. tantivy cuts terms of more than 65,535 bytes without a word.
const TERM_MAX: usize = 32 << 10;
const NAME: u8 = b'n';
const PAIR: u8 = b'v';
/// Ends the name in a pair.
const SEPARATOR: u8 = 0xff;

/// Whether the dictionary can hold this label.
pub(crate) fn fits(name: &str, value: &str) -> bool {
    name.len() + value.len() + 2 <= TERM_MAX
}

/// The term of all streams that have the label. It is in the dictionary only if [`fits`] says so.
pub(crate) fn pair(name: &str, value: &str) -> Vec<u8> {
    let mut term = pair_prefix(name);
    term.extend_from_slice(value.as_bytes());
    term
}

/// How the pairs of a name begin.
pub(crate) fn pair_prefix(name: &str) -> Vec<u8> {
    let mut term = Vec::with_capacity(name.len() + 2);
    term.push(PAIR);
    term.extend_from_slice(name.as_bytes());
    term.push(SEPARATOR);
    term
}

/// The term of all streams that have a label of this name that [`fits`].
pub(crate) fn name(name: &str) -> Vec<u8> {
    let mut term = Vec::with_capacity(name.len() + 1);
    term.push(NAME);
    term.extend_from_slice(name.as_bytes());
    term
}

/// How the terms of names begin.
pub(crate) fn name_prefix() -> Vec<u8> {
    vec![NAME]
}

struct Fields {
    terms: Field,
    min_time: Field,
    max_time: Field,
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let terms = builder.add_bytes_field("t", BytesOptions::default().set_indexed());
    let min_time = builder.add_i64_field("a", NumericOptions::default().set_fast());
    let max_time = builder.add_i64_field("b", NumericOptions::default().set_fast());
    (builder.build(), Fields { terms, min_time, max_time })
}

/// Both of tantivy's errors as text, on one line.
fn text(err: impl Into<TantivyError>) -> String {
    err.into().to_string().replace('\n', " ")
}
