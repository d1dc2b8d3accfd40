//! Which level an entry has.

mod json;
mod logfmt;
mod text;

use skald_config::Limits;
use skald_model::Level;

/// Finds levels by one tenant's settings. Cheap to build: once per request.
pub struct LevelDetector<'a> {
    fields: Fields<'a>,
    json_depth_max: usize,
}

/// Names of fields that hold a level, best first.
pub(crate) struct Fields<'a> {
    names: &'a [String],
    /// Bit `n` is set when a name of `n` bytes is there; bit 63 stands for all longer ones.
    lengths: u64,
    len_max: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(names: &'a [String]) -> Self {
        let lengths = names.iter().fold(0, |bits, name| bits | Self::bit(name.len()));
        Fields { names, lengths, len_max: names.iter().map(String::len).max().unwrap_or(0) }
    }

    fn bit(len: usize) -> u64 {
        1 << len.min(63)
    }

    /// Place of the name that is exactly `key`.
    #[inline]
    fn exact(&self, key: &[u8]) -> Option<usize> {
        if self.lengths & Self::bit(key.len()) == 0 {
            return None;
        }
        self.names.iter().position(|name| name.as_bytes() == key)
    }

    /// Place of the first name that is `key` but for case.
    #[inline]
    fn any_case(&self, key: &[u8]) -> Option<usize> {
        if self.lengths & Self::bit(key.len()) == 0 {
            return None;
        }
        self.names.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(key))
    }
}

impl<'a> LevelDetector<'a> {
    /// A detector for a tenant, `None` where levels are not to be found out.
    pub fn new(limits: &'a Limits) -> Option<Self> {
        let wanted = limits.discover_log_levels && limits.allow_structured_metadata;
        let json_depth_max = usize::try_from(limits.log_level_from_json_max_depth).ok().filter(|depth| *depth > 0).unwrap_or(usize::MAX);
        wanted.then(|| LevelDetector { fields: Fields::new(&limits.log_level_fields), json_depth_max })
    }

    /// Place of `name` in the list of fields; lower ones win.
    pub fn rank(&self, name: &str) -> Option<usize> {
        self.fields.exact(name.as_bytes())
    }

    /// The value of the best field among `pairs`.
    pub fn best<'b>(&self, pairs: impl Iterator<Item = (&'b str, &'b str)>) -> Option<&'b str> {
        pairs.filter_map(|(name, value)| Some((self.rank(name)?, value))).min_by_key(|(rank, _)| *rank).map(|(_, value)| value)
    }

    /// The level that the line itself tells: by a field of a JSON object or of logfmt pairs, else by the first word that is a level.
    ///
    /// Cost: about one pass over the line; nothing is allocated.
    pub fn of_line(&self, line: &[u8]) -> Level {
        let field = if json::looks_like_object(line) {
            json::find(line, &self.fields, self.json_depth_max)
        } else {
            logfmt::find(line, &self.fields)
        };
        field.and_then(parse).unwrap_or_else(|| text::find(line))
    }
}

/// The level that `text` names in any of the usual spellings.
pub fn parse(text: &[u8]) -> Option<Level> {
    let any = |names: &[&str]| names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(text));
    match text.first()?.to_ascii_lowercase() {
        b'i' if any(&["info", "inf", "information"]) => Some(Level::Info),
        b'e' if any(&["error", "err"]) => Some(Level::Error),
        b'w' if any(&["warn", "wrn", "warning"]) => Some(Level::Warn),
        b'd' if any(&["debug", "dbg"]) => Some(Level::Debug),
        b't' if any(&["trace", "trc"]) => Some(Level::Trace),
        b'c' if any(&["critical"]) => Some(Level::Critical),
        b'f' if any(&["fatal"]) => Some(Level::Fatal),
        _ => None,
    }
}

/// `text` in its normal spelling, or as it is where it is none of the levels.
pub fn normalise(text: &[u8]) -> &[u8] {
    parse(text).map_or(text, |level| level.as_str().as_bytes())
}

/// The level of an OpenTelemetry severity number.
pub fn of_severity_number(text: &[u8]) -> Level {
    match str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()) {
        None | Some(9..=12) => Level::Info,
        Some(1..=4) => Level::Trace,
        Some(5..=8) => Level::Debug,
        Some(13..=16) => Level::Warn,
        Some(17..=20) => Level::Error,
        Some(21..=24) => Level::Fatal,
        Some(number) if number < 0 => Level::Trace,
        Some(_) => Level::Unknown,
    }
}

#[cfg(test)]
mod tests;
