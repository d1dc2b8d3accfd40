//! Bodies of pushes: protobuf and JSON, read in place and handed over piece by piece.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use skald_logql::ast::MatchOp;
use skald_logql::parse_matchers;
use skald_model::{ErrorKind, Timestamp};
use skald_pipeline::{LabelSet, Text};
use skald_proto::{PushStream, WireError, read_push};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A push as protobuf.
    Protobuf,
    /// A push as JSON.
    Json,
    /// Lines.
    Raw,
}

/// Takes what a body holds. Entries are of the stream that came last.
pub trait Receive {
    /// A stream begins; its labels may be no labels.
    fn stream(&mut self, labels: Result<LabelSet, BadStream>);
    /// An entry; without a time of its own it is one of [`Content::Raw`].
    fn entry(&mut self, timestamp: Option<Timestamp>, line: Cow<'_, str>, metadata: Vec<(Text, Text)>);
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the protobuf of a push.
    #[error("no push as protobuf: {0}")]
    Protobuf(#[from] WireError),
    /// Not the JSON of a push.
    #[error("no push as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl DecodeError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Protobuf(_) | Self::Json(_) => ErrorKind::InvalidInput,
        }
    }
}

/// A stream whose labels are none; what stands in its place, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {text}: {why}")]
pub struct BadStream {
    text: String,
    why: String,
}

/// Most bytes of a text that is no label set which an answer repeats.
const SHOWN_BYTES_MAX: usize = 200;

impl BadStream {
    fn new(text: &str, why: impl fmt::Display) -> Self {
        let shown = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
        let dots = if shown.len() < text.len() { "…" } else { "" };
        let why = why.to_string();
        BadStream { text: format!("{shown}{dots}"), why: why[..why.floor_char_boundary(SHOWN_BYTES_MAX)].to_owned() }
    }
}

/// Hands what `body` holds to `to`.
///
/// # Errors
/// See [`DecodeError`]; what stands before the error was handed over.
pub fn read(content: Content, body: &[u8], to: &mut dyn Receive) -> Result<(), DecodeError> {
    match content {
        Content::Protobuf => read_push(body).try_for_each(|stream| read_stream(&stream?, to)).map_err(DecodeError::Protobuf),
        Content::Json => {
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            Request(to).deserialize(&mut deserializer)?;
            Ok(deserializer.end()?)
        }
        Content::Raw => {
            to.stream(Ok(LabelSet::new()));
            for line in body.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if !line.is_empty() {
                    to.entry(None, String::from_utf8_lossy(line), Vec::new());
                }
            }
            Ok(())
        }
    }
}

fn read_stream(stream: &PushStream<'_>, to: &mut dyn Receive) -> Result<(), WireError> {
    to.stream(parse_labels(&String::from_utf8_lossy(stream.labels)));
    for entry in stream.entries() {
        let entry = entry?;
        let mut metadata = Vec::new();
        for pair in entry.metadata() {
            let (name, value) = pair?;
            metadata.push((String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into()));
        }
        to.entry(Some(entry.timestamp), String::from_utf8_lossy(entry.line), metadata);
    }
    Ok(())
}

/// `{name="value", …}`
fn parse_labels(text: &str) -> Result<LabelSet, BadStream> {
    let matchers = parse_matchers(text, true).map_err(|error| BadStream::new(text, error))?;
    let equal = |matcher: skald_logql::ast::Matcher| match matcher.op {
        MatchOp::Equal => Ok((matcher.name.to_string(), matcher.value.to_string())),
        _ => Err(BadStream::new(text, format_args!("label {} has another operator than =", matcher.name))),
    };
    matchers.into_iter().map(equal).collect()
}

/// Labels as a JSON object.
fn object_labels(text: Option<&RawValue>) -> Result<LabelSet, BadStream> {
    let Some(text) = text else { return Ok(LabelSet::new()) };
    let pairs: BTreeMap<Cow<'_, str>, Cow<'_, str>> =
        serde_json::from_str(text.get()).map_err(|error| BadStream::new(text.get(), error))?;
    match pairs.keys().find(|name| !is_label_name(name)) {
        Some(wrong) => Err(BadStream::new(text.get(), format_args!("\"{wrong}\" is no name of a label"))),
        None => Ok(pairs.into_iter().collect()),
    }
}

fn is_label_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_part)
}

/// The whole body: `{"streams": […]}`.
struct Request<'r>(&'r mut dyn Receive);

impl<'de> DeserializeSeed<'de> for Request<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with streams")
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "streams" {
                map.next_value_seed(Streams(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The streams, one after the other. Of each both parts are found before either is read, since the labels may come last.
struct Streams<'r>(&'r mut dyn Receive);

#[derive(serde::Deserialize)]
struct StreamParts<'a> {
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
}

impl<'de> DeserializeSeed<'de> for Streams<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Streams<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of streams")
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while let Some(parts) = seq.next_element::<StreamParts<'de>>()? {
            self.0.stream(object_labels(parts.stream));
            if let Some(values) = parts.values {
                let mut deserializer = serde_json::Deserializer::from_str(values.get());
                Values(self.0).deserialize(&mut deserializer).map_err(S::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// The entries of a stream: `[["nanoseconds", "line", {metadata}], …]`.
struct Values<'r>(&'r mut dyn Receive);

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entries")
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element_seed(Value(self.0))?.is_some() {}
        Ok(())
    }
}

struct Value<'r>(&'r mut dyn Receive);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry: [\"nanoseconds\", \"line\"] or [\"nanoseconds\", \"line\", {metadata}]")
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let at = seq.next_element::<Cow<'de, str>>()?.ok_or_else(|| S::Error::invalid_length(0, &self))?;
        let at = at.parse().map_err(|_| S::Error::custom(format_args!("{at:?} is not a number of nanoseconds since 1970")))?;
        let line = seq.next_element::<Cow<'de, str>>()?.ok_or_else(|| S::Error::invalid_length(1, &self))?;
        let metadata = seq.next_element::<BTreeMap<Cow<'de, str>, Cow<'de, str>>>()?.unwrap_or_default();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let metadata = metadata.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.0.entry(Some(Timestamp(at)), line, metadata);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use skald_proto::loki::v1::{Entry, LabelPair, PushRequest, Stream, Timestamp as ProtoTimestamp};

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Receive for Seen {
        fn stream(&mut self, labels: Result<LabelSet, BadStream>) {
            self.0.push(labels.map_or_else(|bad| bad.to_string(), |labels| labels.to_string()));
        }
        fn entry(&mut self, timestamp: Option<Timestamp>, line: Cow<'_, str>, metadata: Vec<(Text, Text)>) {
            let metadata: String = metadata.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            self.0.push(format!("{} {line}{metadata}", timestamp.map_or(-1, |at| at.0)));
        }
    }

    fn seen(content: Content, body: &[u8]) -> Vec<String> {
        let mut seen = Seen::default();
        if let Err(error) = read(content, body, &mut seen) {
            seen.0.push(error.to_string());
        }
        seen.0
    }

    #[test]
    fn json_is_read_whatever_the_order_of_its_keys() {
        let body = r#"{"x": [1], "streams": [
            {"values": [["5", "li\nne", {"b": "2", "a": "1"}], ["6", ""]], "stream": {"app": "a"}},
            {"stream": {}, "extra": null},
            {"stream": {"a-b": "1"}, "values": [["7", "bad"]]},
            {"stream": {"a": 1}},
            {"values": []}
        ]}"#;
        let want = [
            r#"{app="a"}"#,
            "5 li\nne a=1 b=2",
            "6 ",
            "{}",
            r#"stream {"a-b": "1"}: "a-b" is no name of a label"#,
            "7 bad",
            r#"stream {"a": 1}: invalid type: integer `1`, expected a borrowed string at line 1 column 6"#,
            "{}",
        ];
        let found = seen(Content::Json, body.as_bytes());
        assert_eq!(found[..6], want[..6]);
        assert!(found[6].starts_with(r#"stream {"a": 1}: invalid type: integer"#), "{}", found[6]);
        assert_eq!(found[7], want[7]);
    }

    #[test]
    fn json_that_is_no_push_is_an_error() {
        let error = |body: &str| seen(Content::Json, body.as_bytes()).pop().unwrap_or_default();
        assert!(error("").starts_with("no push as JSON: EOF"));
        assert!(error("[]").contains("expected an object with streams"));
        assert!(error(r#"{"streams": {}}"#).contains("expected an array of streams"));
        assert!(error(r#"{"streams": [{"values": [[5, "x"]]}]}"#).contains("invalid type: integer `5`"));
        assert!(error(r#"{"streams": [{"values": [["5"]]}]}"#).contains("invalid length 1"));
        assert!(error(r#"{"streams": [{"values": [["now", "x"]]}]}"#).contains("\"now\" is not a number of nanoseconds"));
        assert!(error(r#"{"streams": []} x"#).contains("trailing characters"));
        assert_eq!(error(r#"{"streams": []}"#), "");
    }

    #[test]
    fn protobuf_is_read_with_its_metadata() {
        let entry = |nanos, line: &[u8]| Entry {
            timestamp: Some(ProtoTimestamp { seconds: 1, nanos }),
            line: line.to_vec().into(),
            structured_metadata: vec![LabelPair { name: "k".into(), value: "v".into() }],
            ..Entry::default()
        };
        let stream = |labels: &str, entries| Stream { labels: labels.as_bytes().to_vec().into(), entries, ..Stream::default() };
        let streams = vec![
            stream(r#"{app="a", x="\"y\""}"#, vec![entry(5, b"line"), entry(6, b"\xff")]),
            stream(r#"{app=~"a"}"#, vec![entry(7, b"bad")]),
            stream("{app", vec![]),
        ];
        let body = PushRequest { streams, ..PushRequest::default() }.encode_to_vec();
        let found = seen(Content::Protobuf, &body);
        let want = [
            r#"{app="a", x="\"y\""}"#,
            "1000000005 line k=v",
            "1000000006 \u{fffd} k=v",
            r#"stream {app=~"a"}: label app has another operator than ="#,
            "1000000007 bad k=v",
        ];
        assert_eq!(found[..5], want);
        assert!(found[5].starts_with("stream {app: parse error at line 1, col 5"), "{}", found[5]);
        assert!(seen(Content::Protobuf, b"\xff").pop().unwrap().starts_with("no push as protobuf"));
    }

    #[test]
    fn raw_bodies_are_lines() {
        assert_eq!(seen(Content::Raw, b"one\r\n\n two \nthree\xff"), ["{}", "-1 one", "-1  two ", "-1 three\u{fffd}"]);
    }

    #[test]
    fn what_an_answer_repeats_is_short() {
        let long = format!("{{{}", "\u{e9}".repeat(500));
        let bad = parse_labels(&long).unwrap_err().to_string();
        assert!(bad.len() < 3 * SHOWN_BYTES_MAX, "{bad}");
    }
}
