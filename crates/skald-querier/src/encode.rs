//! Answers as JSON, written straight into one buffer in the member order that clients read as a stream.

use crate::budget::Held;
use crate::error::QueryError;
use crate::stats::QueryStats;
use crate::work::Work;
use axum::body::Body;
use bytes::Bytes;
use skald_logql::exec::{LabelSet, LogEntry, LogStream, MetricResult, format_sample};
use skald_model::{Labels, Timestamp};
use std::collections::BTreeSet;
use std::io::Write;

/// The name of the encoding flag that splits labels by category.
pub const CATEGORIZE_LABELS: &str = "categorize-labels";

/// The answer to a log query. `flags` are echoed; with [`CATEGORIZE_LABELS`] among them every value has a third member.
pub fn streams(
    streams: &[LogStream],
    flags: &[String],
    warnings: &[String],
    stats: &QueryStats,
    work: &Work,
) -> Result<Encoded, QueryError> {
    let categorise = flags.iter().any(|flag| flag == CATEGORIZE_LABELS);
    let size: usize = streams.iter().flat_map(|s| &s.entries).map(|entry| entry.line.len() + 48).sum();
    let mut growing = Growing::new(work, size + 4096)?;
    let mut out = Vec::with_capacity(size + 4096);
    open(&mut out, "streams", warnings);
    if !flags.is_empty() {
        out.extend_from_slice(b",\"encodingFlags\":");
        list(&mut out, flags, |out, flag| text(out, flag.as_bytes(), Html::Keep));
    }
    out.extend_from_slice(b",\"result\":");
    checked_list(&mut out, streams, |out, stream| {
        out.extend_from_slice(b"{\"stream\":");
        label_set(out, &stream.labels);
        out.extend_from_slice(b",\"values\":");
        checked_list(out, &stream.entries, |out, entry| {
            log_entry(out, entry, categorise);
            growing.check(out)
        })?;
        out.push(b'}');
        Ok(())
    })?;
    close(&mut out, stats);
    // Log answers end with a newline, metric answers do not.
    out.push(b'\n');
    growing.finish(out)
}

/// An answer while it is written: counted, and given up when nobody waits for it.
struct Growing<'a> {
    work: &'a Work,
    held: Held,
}

impl<'a> Growing<'a> {
    fn new(work: &'a Work, capacity: usize) -> Result<Self, QueryError> {
        Ok(Growing { work, held: work.budget().hold(capacity as u64)? })
    }

    fn check(&mut self, out: &Vec<u8>) -> Result<(), QueryError> {
        if out.capacity() as u64 > self.held.bytes() {
            self.held.resize(out.capacity() as u64)?;
        }
        self.work.check()
    }

    fn finish(mut self, out: Vec<u8>) -> Result<Encoded, QueryError> {
        self.check(&out)?;
        Ok(Encoded { bytes: out, _held: self.held })
    }
}

/// An answer as it is sent: counted until the last byte of it has gone.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Encoded> for Body {
    fn from(encoded: Encoded) -> Body {
        Bytes::from_owner(encoded).into()
    }
}

/// A stream and its entries.
pub fn log_stream(out: &mut Vec<u8>, stream: &LogStream, categorise: bool) {
    out.extend_from_slice(b"{\"stream\":");
    label_set(out, &stream.labels);
    out.extend_from_slice(b",\"values\":");
    list(out, &stream.entries, |out, entry| log_entry(out, entry, categorise));
    out.push(b'}');
}

/// The answer to a log query in its first form: label sets as text, times in RFC 3339, no envelope.
pub fn legacy_streams(streams: &[LogStream], warnings: &[String], stats: &QueryStats, work: &Work) -> Result<Encoded, QueryError> {
    let mut growing = Growing::new(work, 0)?;
    let mut out = b"{\"streams\":".to_vec();
    checked_list(&mut out, streams, |out, stream| {
        out.extend_from_slice(b"{\"labels\":");
        text(out, stream.labels.to_string().as_bytes(), Html::Keep);
        out.extend_from_slice(b",\"entries\":");
        checked_list(out, &stream.entries, |out, entry| {
            legacy_entry(out, entry);
            growing.check(out)
        })?;
        out.push(b'}');
        Ok(())
    })?;
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        list(&mut out, warnings, |out, warning| text(out, warning.as_bytes(), Html::Keep));
    }
    let _ = writeln!(out, ",\"stats\":{}}}", stats.to_json());
    growing.finish(out)
}

/// A stream and its entries in the first form.
pub fn legacy_stream(out: &mut Vec<u8>, stream: &LogStream) {
    out.extend_from_slice(b"{\"labels\":");
    text(out, stream.labels.to_string().as_bytes(), Html::Keep);
    out.extend_from_slice(b",\"entries\":");
    list(out, &stream.entries, legacy_entry);
    out.push(b'}');
}

fn legacy_entry(out: &mut Vec<u8>, entry: &LogEntry) {
    let _ = write!(out, "{{\"ts\":\"{}\",\"line\":", rfc3339(entry.timestamp));
    text(out, &entry.line, Html::Escape);
    out.push(b'}');
}

fn log_entry(out: &mut Vec<u8>, entry: &LogEntry, categorise: bool) {
    let _ = write!(out, "[\"{}\",", entry.timestamp.0);
    text(out, &entry.line, Html::Escape);
    if categorise {
        out.extend_from_slice(b",{");
        let categories = [("structuredMetadata", &entry.metadata), ("parsed", &entry.parsed)];
        let present: Vec<_> = categories.into_iter().filter(|(_, pairs)| !pairs.is_empty()).collect();
        for (i, (name, pairs)) in present.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let _ = write!(out, "\"{name}\":");
            object(out, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        out.push(b'}');
    }
    out.push(b']');
}

/// The answer to a metric query.
pub fn metric(result: &MetricResult, warnings: &[String], stats: &QueryStats, work: &Work) -> Result<Encoded, QueryError> {
    let mut growing = Growing::new(work, 4096)?;
    let mut out = Vec::with_capacity(4096);
    match result {
        MetricResult::Scalar { at, value } => {
            open(&mut out, "scalar", warnings);
            // Milliseconds, unlike everywhere else: clients know it so.
            let _ = write!(out, ",\"result\":[{},\"{}\"]", at.0.div_euclid(1_000_000), format_sample(*value));
        }
        MetricResult::Vector(samples) => {
            open(&mut out, "vector", warnings);
            out.extend_from_slice(b",\"result\":");
            checked_list(&mut out, samples, |out, sample| {
                metric_labels(out, &sample.labels);
                out.extend_from_slice(b",\"value\":");
                point(out, sample.at, sample.value);
                out.push(b'}');
                growing.check(out)
            })?;
        }
        MetricResult::Matrix(series) => {
            open(&mut out, "matrix", warnings);
            out.extend_from_slice(b",\"result\":");
            checked_list(&mut out, series, |out, series| {
                metric_labels(out, &series.labels);
                out.extend_from_slice(b",\"values\":");
                list(out, &series.points, |out, (at, value)| point(out, *at, *value));
                out.push(b'}');
                growing.check(out)
            })?;
        }
    }
    close(&mut out, stats);
    growing.finish(out)
}

fn metric_labels(out: &mut Vec<u8>, labels: &LabelSet) {
    out.extend_from_slice(b"{\"metric\":");
    label_set(out, labels);
}

fn point(out: &mut Vec<u8>, at: Timestamp, value: f64) {
    let millis = at.0.div_euclid(1_000_000);
    let (secs, rest) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    if rest == 0 {
        let _ = write!(out, "[{secs},\"{}\"]", format_sample(value));
    } else {
        let fraction = format!("{rest:03}");
        let _ = write!(out, "[{secs}.{},\"{}\"]", fraction.trim_end_matches('0'), format_sample(value));
    }
}

/// `{"status":"success","data":[…]}`; without `data` when there is nothing.
pub fn names(names: &BTreeSet<String>, warnings: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out, warnings);
    if !names.is_empty() {
        out.extend_from_slice(b",\"data\":");
        list(&mut out, names, |out, name| text(out, name.as_bytes(), Html::Keep));
    }
    out.extend_from_slice(b"}\n");
    out
}

/// `{"status":"success","data":[{…},…]}`
pub fn series<'a>(series: impl IntoIterator<Item = &'a Labels>, warnings: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out, warnings);
    out.extend_from_slice(b",\"data\":");
    list(&mut out, series, |out, labels| object(out, labels.iter()));
    out.extend_from_slice(b"}\n");
    out
}

/// Every answer begins with its status, and with what is missing from it.
fn begin(out: &mut Vec<u8>, warnings: &[String]) {
    out.extend_from_slice(b"{\"status\":\"success\"");
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        list(out, warnings, |out, warning| text(out, warning.as_bytes(), Html::Keep));
    }
}

fn open(out: &mut Vec<u8>, result_type: &str, warnings: &[String]) {
    begin(out, warnings);
    let _ = write!(out, ",\"data\":{{\"resultType\":\"{result_type}\"");
}

fn close(out: &mut Vec<u8>, stats: &QueryStats) {
    let _ = write!(out, ",\"stats\":{}}}}}", stats.to_json());
}

fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn checked_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    out.push(b']');
    Ok(())
}

fn label_set(out: &mut Vec<u8>, labels: &LabelSet) {
    object(out, labels.iter());
}

fn object<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        text(out, name.as_bytes(), Html::Keep);
        out.push(b':');
        text(out, value.as_bytes(), Html::Keep);
    }
    out.push(b'}');
}

/// A message of a tail: `streams` are stream objects with commas between, `flags` are echoed.
pub fn tail_message(streams: &[u8], missed: &[(Labels, Timestamp)], flags: &[String], warnings: &[String], legacy: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(streams.len() + 64 + 128 * missed.len());
    out.extend_from_slice(b"{\"streams\":[");
    out.extend_from_slice(streams);
    out.push(b']');
    if !missed.is_empty() {
        out.extend_from_slice(b",\"dropped_entries\":");
        list(&mut out, missed, |out, (labels, at)| {
            out.extend_from_slice(b"{\"timestamp\":");
            let at = if legacy { rfc3339(*at).to_string() } else { at.0.to_string() };
            text(out, at.as_bytes(), Html::Keep);
            out.extend_from_slice(b",\"labels\":");
            if legacy {
                text(out, labels.to_string().as_bytes(), Html::Keep)
            } else {
                object(out, labels.iter())
            }
            out.push(b'}');
        });
    }
    for (name, texts) in [("encodingFlags", flags), ("warnings", warnings)] {
        if !texts.is_empty() {
            let _ = write!(out, ",\"{name}\":");
            list(&mut out, texts, |out, value| text(out, value.as_bytes(), Html::Keep));
        }
    }
    out.push(b'}');
    out
}

/// A time as RFC 3339, with as many decimals as it needs.
fn rfc3339(at: Timestamp) -> jiff::Timestamp {
    // Every number of nanoseconds is a time in the years that jiff knows.
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default()
}

/// Whether `<`, `>` and `&` are escaped: in lines they are, in labels they are not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Html {
    Escape,
    Keep,
}

/// A JSON string; bytes that are not UTF-8 become U+FFFD.
fn text(out: &mut Vec<u8>, bytes: &[u8], html: Html) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escape(out, chunk.valid(), html);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, valid: &str, html: Html) {
    let bytes = valid.as_bytes();
    let mut plain_from = 0;
    for (i, byte) in bytes.iter().enumerate() {
        let special = match byte {
            b'"' | b'\\' | 0..=0x1f => true,
            b'<' | b'>' | b'&' => html == Html::Escape,
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xa8 | 0xa9 => html == Html::Escape && i >= 2 && bytes[i - 2..i] == [0xe2, 0x80],
            _ => false,
        };
        if !special {
            continue;
        }
        let end = if *byte >= 0x80 { i - 2 } else { i };
        out.extend_from_slice(&bytes[plain_from..end]);
        plain_from = i + 1;
        let _ = match byte {
            b'"' => out.write_all(b"\\\""),
            b'\\' => out.write_all(b"\\\\"),
            b'\n' => out.write_all(b"\\n"),
            b'\r' => out.write_all(b"\\r"),
            b'\t' => out.write_all(b"\\t"),
            0xa8 => out.write_all(b"\\u2028"),
            0xa9 => out.write_all(b"\\u2029"),
            other => write!(out, "\\u{other:04x}"),
        };
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], html: Html, want: &str) {
        let mut out = Vec::new();
        text(&mut out, bytes, html);
        assert_eq!(String::from_utf8(out).expect("JSON is UTF-8"), want);
    }

    #[test]
    fn lines_are_escaped_for_html_and_labels_are_not() {
        check(b"a<b>&\"\\\n\x01", Html::Escape, r#""a\u003cb\u003e\u0026\"\\\n\u0001""#);
        check(b"a<b>&", Html::Keep, "\"a<b>&\"");
        check("é\u{2028}x\u{2029}".as_bytes(), Html::Escape, r#""é\u2028x\u2029""#);
        check("¨©".as_bytes(), Html::Escape, "\"¨©\"");
        check(b"bad \xff\xfe end", Html::Escape, r#""bad \ufffd\ufffd end""#);
    }

    #[test]
    fn points_have_seconds_with_up_to_three_decimals() {
        let mut out = Vec::new();
        point(&mut out, Timestamp(1_000_750_999_999), 0.5);
        point(&mut out, Timestamp(1_060_000_000_000), 1e21);
        assert_eq!(String::from_utf8(out).expect("JSON"), r#"[1000.75,"0.5"][1060,"1000000000000000000000"]"#);
    }

    #[test]
    fn a_tail_message_names_what_is_missing_only_where_something_is() {
        let message =
            |missed: &[_], flags: &[String], legacy| String::from_utf8(tail_message(b"{},{}", missed, flags, &[], legacy)).expect("JSON");
        assert_eq!(message(&[], &[], false), r#"{"streams":[{},{}]}"#);
        let missed = [(Labels::from_pairs([("app", "a")]).expect("one name"), Timestamp(1_500_000_000))];
        assert_eq!(
            message(&missed, &["f".to_owned()], false),
            r#"{"streams":[{},{}],"dropped_entries":[{"timestamp":"1500000000","labels":{"app":"a"}}],"encodingFlags":["f"]}"#
        );
        assert_eq!(
            message(&missed, &[], true),
            r#"{"streams":[{},{}],"dropped_entries":[{"timestamp":"1970-01-01T00:00:01.5Z","labels":"{app=\"a\"}"}]}"#
        );
    }

    #[test]
    fn the_first_form_of_log_answers_has_labels_as_text_and_times_in_rfc_3339() {
        let labels = LabelSet::from_pairs(vec![("app".to_owned(), "a\"b".to_owned())]);
        let at = Timestamp(1_768_441_817_000_000_000);
        let entry = |timestamp, line: &[u8]| LogEntry { timestamp, line: line.to_vec(), metadata: Vec::new(), parsed: Vec::new() };
        let stream = LogStream { labels, entries: vec![entry(at, b"tick"), entry(Timestamp(at.0 + 120_000), b"<x>")] };
        let work = crate::work::tests::work(1 << 20);
        let answer = legacy_streams(&[stream], &["w".to_owned()], &QueryStats::default(), &work).expect("it is small");
        let text = String::from_utf8(answer.bytes).expect("JSON is UTF-8");
        let want = concat!(
            r#"{"streams":[{"labels":"{app=\"a\\\"b\"}","entries":[{"ts":"2026-01-15T01:50:17Z","line":"tick"},"#,
            r#"{"ts":"2026-01-15T01:50:17.00012Z","line":"\u003cx\u003e"}]}],"warnings":["w"],"stats":{"summary":{"#
        );
        assert!(text.starts_with(want) && text.ends_with("}\n"), "{text}");
        let empty = legacy_streams(&[], &[], &QueryStats::default(), &work).expect("it is small");
        assert!(empty.bytes.starts_with(b"{\"streams\":[],\"stats\":{"));
    }

    #[test]
    fn empty_names_leave_data_out_and_empty_series_do_not() {
        assert_eq!(names(&BTreeSet::new(), &[]), b"{\"status\":\"success\"}\n");
        assert_eq!(series([], &[]), b"{\"status\":\"success\",\"data\":[]}\n");
    }
}
