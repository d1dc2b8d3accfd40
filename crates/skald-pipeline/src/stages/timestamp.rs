//! The stage `timestamp`.

mod format;
mod last;

use super::options::required;
use super::or_default;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use format::Format;
use last::LastTimes;
use serde::{Deserialize, Serialize};
use skald_logql::layout;
use std::sync::Arc;

/// Reads the timestamp of an entry from an extracted value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TimestampOptions {
    /// Name of the value.
    source: Option<String>,
    /// A known name, or a layout.
    format: Option<String>,
    /// Tried in order where `format` does not fit.
    #[serde(deserialize_with = "or_default")]
    fallback_formats: Vec<String>,
    /// Name of the zone of times that say no offset.
    location: Option<String>,
    /// `fudge` or `skip`.
    action_on_failure: Option<String>,
}

impl Options for TimestampOptions {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let source = required("source", self.source.as_deref())?;
        let format = required("format", self.format.as_deref())?;
        let zone = match self.location.as_deref().filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(layout::zone(name).ok_or_else(|| StageError::invalid("location", format!("there is no zone {name:?}")))?),
        };
        let formats = [format].into_iter().chain(self.fallback_formats.iter().map(String::as_str));
        let formats = formats.map(|format| Format::new(format, zone.as_ref())).collect();
        let last = match self.action_on_failure.as_deref().unwrap_or_default() {
            "" | "fudge" => Some(LastTimes::default()),
            "skip" => None,
            other => return Err(StageError::invalid("action_on_failure", format!("{other:?} is neither fudge nor skip"))),
        };
        Ok(Compiled::each(Reads { source: source.into(), formats, last }))
    }
}

#[derive(Clone)]
struct Reads {
    source: Text,
    formats: Arc<[Format]>,
    /// Set where failures are fudged.
    last: Option<LastTimes>,
}

impl Stage for Reads {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let text = work.extracted.text(&self.source);
        let read = text.and_then(|text| self.formats.iter().find_map(|format| format.read(&text, now.wall)));
        let timestamp = match &mut self.last {
            None => read,
            Some(last) => last.good_or_next(&work.entry.labels, read),
        };
        if let Some(timestamp) = timestamp {
            work.entry.timestamp = timestamp;
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests;
