//! The expression of the `pattern` stage, as far as the parser checks it.

use crate::pattern::{Part, parts};
use std::collections::HashSet;

/// Refuses an expression without a named capture, with two captures side by side, or with a name twice.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL".to_owned());
    }
    let parts = parts(text);
    let mut names = parts.iter().filter_map(|part| if let Part::Capture(name) = part { Some(*name) } else { None });
    if names.clone().all(|name| name == "_") {
        return Err("at least one capture is required".to_owned());
    }
    for pair in parts.windows(2) {
        if let [Part::Capture(one), Part::Capture(two)] = pair {
            return Err(format!("found consecutive capture '<{one}><{two}>': invalid expression"));
        }
    }
    let mut seen = HashSet::new();
    match names.find(|name| *name != "_" && !seen.insert(*name)) {
        Some(twice) => Err(format!("duplicate capture name ({twice}): invalid expression")),
        None => Ok(()),
    }
}
