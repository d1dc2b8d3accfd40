//! What limits say to a stream or an entry: reasons and texts.

use crate::identity::{Identity, SERVICE_NAME, pairs_text};
use crate::metadata::{MetadataNameError, NAMES_MAX, Pairs};
use jiff::tz::TimeZone;
use skald_config::Limits;
use skald_model::{Labels, TenantId, Timestamp};

/// Why a stream or an entry was refused: the reason that metrics name, and the text for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Reason.
    pub reason: &'static str,
    /// Text.
    pub message: String,
}

fn refused(reason: &'static str, message: String) -> Result<(), Refused> {
    Err(Refused { reason, message })
}

/// Checks a stream's labels: number, then lengths and repetition label by label.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_labels(identity: &Identity, limits: &Limits) -> Result<(), Refused> {
    match identity {
        Identity::Stream(labels) => check_pairs(labels.iter(), None, limits, || labels.to_string()),
        Identity::Duplicate { pairs, name } => {
            let borrowed = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            check_pairs(borrowed, Some(name), limits, || pairs_text(pairs))
        }
    }
}

fn check_pairs<'a>(
    pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
    twice: Option<&str>,
    limits: &Limits,
    stream: impl Fn() -> String,
) -> Result<(), Refused> {
    if pairs.len() == 0 {
        return refused("missing_labels", "error at least one label pair is required per stream".to_owned());
    }
    if pairs.len() > limits.max_label_names_per_series {
        let counted = pairs.clone().filter(|(name, _)| *name != SERVICE_NAME).count();
        let limit = limits.max_label_names_per_series;
        if counted > limit {
            let message = format!("entry for stream '{}' has {counted} label names; limit {limit}", stream());
            return refused("max_label_names_per_series", message);
        }
    }
    let mut last = None;
    for (name, value) in pairs {
        if name.len() > limits.max_label_name_length {
            return refused("label_name_too_long", format!("stream '{}' has label name too long: '{name}'", stream()));
        }
        if value.len() > limits.max_label_value_length {
            return refused("label_value_too_long", format!("stream '{}' has label value too long: '{value}'", stream()));
        }
        if twice.is_some() && last == Some(name) {
            return refused("duplicate_label_names", format!("stream '{}' has duplicate label name: '{name}'", stream()));
        }
        last = Some(name);
    }
    Ok(())
}

/// Checks that a stream has the labels that the tenant asks for.
///
/// # Errors
/// When some are missing.
pub fn check_enforced(labels: &Labels, tenant: &TenantId, limits: &Limits) -> Result<(), Refused> {
    let missing: Vec<&str> = limits.enforced_labels.iter().map(String::as_str).filter(|name| labels.get(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(",");
    refused(
        "missing_enforced_labels",
        format!("missing required labels '{missing}' for user '{tenant}' for stream '{labels}' (policy: '')"),
    )
}

/// When an entry may have happened.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    oldest: Timestamp,
    newest: Timestamp,
}

impl Window {
    /// By the limits at `now`; backfill may be of any age.
    pub fn new(limits: &Limits, now: Timestamp, is_backfill: bool) -> Self {
        let oldest = if limits.reject_old_samples && !is_backfill { now.minus(limits.reject_old_samples_max_age) } else { Timestamp::MIN };
        Window { oldest, newest: now.plus(limits.creation_grace_period) }
    }
}

/// Checks an entry: age, line, metadata.
///
/// # Errors
/// The first thing that is wrong.
#[inline]
pub fn check_entry(
    labels: &Labels,
    timestamp: Timestamp,
    line_len: usize,
    pairs: &Pairs<'_>,
    window: Window,
    limits: &Limits,
) -> Result<(), Refused> {
    let line_max = limits.max_line_size.0;
    let fine = timestamp >= window.oldest
        && timestamp <= window.newest
        && (line_max == 0 || line_len as u64 <= line_max)
        && (pairs.count == 0
            || limits.allow_structured_metadata
                && pairs.bytes as u64 <= limits.max_structured_metadata_size.0
                && pairs.count <= limits.max_structured_metadata_entries_count);
    if fine { Ok(()) } else { explain(labels, timestamp, line_len, pairs, window, limits) }
}

/// What [`check_entry`] found, in words.
#[cold]
fn explain(
    labels: &Labels,
    timestamp: Timestamp,
    line_len: usize,
    pairs: &Pairs<'_>,
    window: Window,
    limits: &Limits,
) -> Result<(), Refused> {
    if timestamp < window.oldest {
        let (at, oldest) = (rfc3339(timestamp), rfc3339(window.oldest));
        let message = format!("entry for stream '{labels}' has timestamp too old: {at}, oldest acceptable timestamp is: {oldest}");
        return refused("greater_than_max_sample_age", message);
    }
    if timestamp > window.newest {
        return refused("too_far_in_future", format!("entry for stream '{labels}' has timestamp too new: {}", rfc3339(timestamp)));
    }
    let line_max = limits.max_line_size.0;
    if line_max != 0 && line_len as u64 > line_max {
        let message = format!(
            "max entry size '{line_max}' bytes exceeded for stream '{labels}' while adding an entry with length '{line_len}' bytes"
        );
        return refused("line_too_long", message);
    }
    if !limits.allow_structured_metadata {
        let message = format!(
            "stream '{labels}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
        );
        return refused("disallowed_structured_metadata", message);
    }
    if pairs.bytes as u64 > limits.max_structured_metadata_size.0 {
        let (bytes, limit) = (pairs.bytes, limits.max_structured_metadata_size.0);
        let message = format!(
            "stream '{labels}' has structured metadata too large: '{bytes}' bytes, limit: '{limit}' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it"
        );
        return refused("structured_metadata_too_large", message);
    }
    let (count, limit) = (pairs.count, limits.max_structured_metadata_entries_count);
    let message = format!(
        "stream '{labels}' has too many structured metadata labels: '{count}', limit: '{limit}'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it"
    );
    refused("structured_metadata_too_many", message)
}

/// The entry would give its stream more metadata names than columns are kept for.
pub fn too_many_names(labels: &Labels) -> Refused {
    let message = format!("stream '{labels}' has more than {NAMES_MAX} distinct structured metadata names in one push");
    Refused { reason: "structured_metadata_too_many", message }
}

/// The entry has a metadata name that no query could say.
pub fn bad_name(labels: &Labels, error: &MetadataNameError) -> Refused {
    Refused { reason: "invalid_labels", message: format!("stream '{labels}' has structured metadata with an invalid name: {error}") }
}

/// Whole seconds in UTC.
pub fn rfc3339(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000_000_000);
    let at = jiff::Timestamp::from_second(seconds).expect("all that 64 bits of nanoseconds can say lies in jiff's range");
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Until when a tenant may not push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Status to answer; 200 stands for silence.
    pub status: u16,
    /// Text.
    pub message: String,
}

/// Whether the tenant may not push at `now`. A time that cannot be read blocks nothing: it is checked with the configuration.
pub fn blocked(tenant: &TenantId, limits: &Limits, now: Timestamp) -> Option<Blocked> {
    let until = limits.block_ingestion_until.as_ref()?.parse::<jiff::Timestamp>().ok()?;
    let nanos = i64::try_from(until.as_nanosecond()).unwrap_or(if until.as_second() < 0 { i64::MIN } else { i64::MAX });
    let status = limits.block_ingestion_status_code;
    let text = rfc3339(Timestamp(nanos));
    let message = format!("ingestion blocked for user '{tenant}' until '{text}' with status code '{status}'");
    (now < Timestamp(nanos)).then_some(Blocked { status, message })
}

/// What was refused in one push, for its answer: distinct texts and how often each came.
#[derive(Debug, Default)]
pub struct Refusals {
    messages: Vec<(String, usize)>,
    more: usize,
}

/// Distinct texts that an answer has at most.
const MESSAGES_MAX: usize = 64;

impl Refusals {
    /// Adds a text; once there are too many, others are only counted.
    pub fn add(&mut self, message: String) {
        let is_full = self.messages.len() >= MESSAGES_MAX;
        match self.messages.iter_mut().find(|(known, _)| *known == message) {
            Some((_, count)) => *count += 1,
            None if is_full => self.more += 1,
            None => self.messages.push((message, 1)),
        }
    }

    /// The answer, `None` when nothing was refused.
    pub fn into_text(self) -> Option<String> {
        if let [(message, 1)] = &self.messages[..]
            && self.more == 0
        {
            return Some(message.clone());
        }
        let mut parts: Vec<String> = self.messages.iter().map(|(message, count)| format!("{count} errors like: {message}")).collect();
        if self.more > 0 {
            parts.push(format!("{} more errors", self.more));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// `bytes` as an integer with the largest unit that divides it.
pub fn exact_size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes, "B");
    for next in ["KB", "MB", "GB", "TB"] {
        if number == 0 || number % 1024 != 0 {
            break;
        }
        (number, unit) = (number / 1024, next);
    }
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact() {
        let found = [0, 12345, 1536 << 10, 3 << 20, 1 << 40].map(exact_size);
        assert_eq!(found, ["0B", "12345B", "1536KB", "3MB", "1TB"]);
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(rfc3339(Timestamp::MAX), "2262-04-11T23:47:16Z");
        assert_eq!(rfc3339(Timestamp::MIN), "1677-09-21T00:12:43Z");
        assert_eq!(rfc3339(Timestamp(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn texts_are_joined() {
        let of = |messages: &[&str]| {
            let mut refusals = Refusals::default();
            messages.iter().for_each(|message| refusals.add((*message).to_owned()));
            refusals.into_text()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a"]).as_deref(), Some("a"));
        assert_eq!(of(&["a", "a"]).as_deref(), Some("2 errors like: a"));
        assert_eq!(of(&["a", "b", "a"]).as_deref(), Some("2 errors like: a; 1 errors like: b"));
        let many: Vec<String> = (0..MESSAGES_MAX + 3).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(of(&many).expect("some").ends_with("; 1 errors like: 63; 3 more errors"));
    }

    #[test]
    fn a_tenant_is_blocked_until_the_time_given() {
        let tenant = TenantId::parse("a").expect("valid");
        let limits = Limits { block_ingestion_until: Some("1970-01-01T00:00:10Z".into()), ..Limits::default() };
        let message = "ingestion blocked for user 'a' until '1970-01-01T00:00:10Z' with status code '260'".to_owned();
        assert_eq!(blocked(&tenant, &limits, Timestamp::from_secs(9)), Some(Blocked { status: 260, message }));
        assert_eq!(blocked(&tenant, &limits, Timestamp::from_secs(10)), None);
        assert_eq!(blocked(&tenant, &Limits::default(), Timestamp::from_secs(9)), None);
    }
}
