//! JSON bodies: `{"streams": […]}` in the two forms that Loki has had.
//!
//! Nothing is built of a body but one stream's entries, end to end, because a stream's labels may come after them.

use crate::error::PushFailure;
use crate::intake::{ENTRIES_MAX, Intake, too_many_entries};
use crate::metadata::Pairs;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use skald_model::{Timestamp, quote};
use std::borrow::Cow;
use std::fmt;

/// Form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `{"stream": {…}, "values": [["ns", "line", {…}], …]}`
    V1,
    /// `{"labels": "{…}", "entries": [{"ts": "RFC 3339", "line": "…"}, …]}`
    V0,
}

/// Reads a body into `intake`.
///
/// # Errors
/// When the body is malformed, or the intake refuses it as a whole.
pub fn read(body: &[u8], schema: Schema, intake: &mut Intake<'_>) -> Result<(), PushFailure> {
    if body.trim_ascii().is_empty() {
        return Err(PushFailure::Decode("EOF".to_owned()));
    }
    let mut reader = Reader { schema, intake, stream: Scratch::default(), failure: None };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Request(&mut reader).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (reader.failure, read) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(PushFailure::Decode(error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}

struct Reader<'r, 'a> {
    schema: Schema,
    intake: &'r mut Intake<'a>,
    stream: Scratch,
    /// Why the intake refused; serde's error is only a messenger then.
    failure: Option<PushFailure>,
}

/// The stream at hand; kept from one to the next for its memory.
#[derive(Default)]
struct Scratch {
    labels: String,
    /// Of each entry the line, then names and values of its metadata.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Ends of names and values in `bytes`.
    pairs: Vec<(usize, usize)>,
}

struct Entry {
    timestamp: i64,
    line_end: usize,
    /// Number of pairs up to the end of this entry.
    pairs_end: usize,
}

impl Scratch {
    fn clear(&mut self) {
        self.labels.clear();
        self.bytes.clear();
        self.entries.clear();
        self.pairs.clear();
    }

    fn hand_over(&self, intake: &mut Intake<'_>) -> Result<(), PushFailure> {
        let labels = if self.labels.is_empty() { "{}" } else { &self.labels };
        intake.stream(labels.as_bytes(), self.entries.len(), self.bytes.len())?;
        let mut pairs = Pairs::new(intake.metadata_len_max());
        let (mut at, mut pair) = (0, 0);
        for entry in &self.entries {
            let line = &self.bytes[at..entry.line_end];
            at = entry.line_end;
            pairs.clear();
            for (name_end, value_end) in &self.pairs[pair..entry.pairs_end] {
                pairs.push(&self.bytes[at..*name_end], &self.bytes[*name_end..*value_end]);
                at = *value_end;
            }
            pair = entry.pairs_end;
            intake.entry(Timestamp(entry.timestamp), line, &pairs)?;
        }
        Ok(())
    }
}

/// Declares a seed over a [`Reader`] that takes one kind of value.
macro_rules! seed {
    ($(#[$doc:meta])* $name:ident, $ask:ident, $expecting:literal, { $($visit:tt)* }) => {
        $(#[$doc])*
        struct $name<'s, 'r, 'a>(&'s mut Reader<'r, 'a>);

        impl<'de> DeserializeSeed<'de> for $name<'_, '_, '_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.$ask(self)
            }
        }

        impl<'de> Visitor<'de> for $name<'_, '_, '_> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }
            $($visit)*
        }
    };
}

seed!(
    /// The whole body.
    Request, deserialize_map, "an object with streams", {
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "streams" => map.next_value_seed(Streams(self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
});

seed!(
    /// The streams, or `null`.
    Streams, deserialize_option, "an array of streams", {
    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element_seed(Stream(self.0))?.is_some() {}
        Ok(())
    }
});

seed!(
    /// One stream, in the form of the schema.
    Stream, deserialize_map, "a stream", {
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let reader = self.0;
        reader.stream.clear();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match (reader.schema, &*key) {
                (Schema::V1, "stream") => map.next_value_seed(LabelObject(reader))?,
                (Schema::V0, "labels") => reader.stream.labels = map.next_value::<Cow<'de, str>>()?.into_owned(),
                (Schema::V1, "values") | (Schema::V0, "entries") => map.next_value_seed(Entries(reader))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        reader.stream.hand_over(reader.intake).map_err(|failure| {
            reader.failure = Some(failure);
            M::Error::custom("refused")
        })
    }
});

seed!(
    /// Labels as an object. Values that are no strings count as their text. Written down as a selector, so that bad names are told as everywhere.
    LabelObject, deserialize_map, "an object of labels", {
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut pairs: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            let text = value.get();
            let value = if text.starts_with('"') { serde_json::from_str(text).map_err(M::Error::custom)? } else { text.into() };
            pairs.push((name, value));
        }
        // Of a name that comes twice the last value counts.
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, kept| later.0 == kept.0);
        let out = &mut self.0.stream.labels;
        out.clear();
        out.push('{');
        for (i, (name, value)) in pairs.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            out.push_str(name);
            out.push('=');
            quote(out, value);
        }
        out.push('}');
        Ok(())
    }
});

seed!(
    /// The entries of a stream, or `null`.
    Entries, deserialize_option, "an array of entries", {
    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element_seed(OneEntry(self.0))?.is_some() {
            if self.0.stream.entries.len() > ENTRIES_MAX {
                self.0.failure = Some(too_many_entries());
                return Err(S::Error::custom("refused"));
            }
        }
        Ok(())
    }
});

seed!(
    /// An entry in the form of the schema, or `null`, which is skipped.
    OneEntry, deserialize_option, "an entry", {
    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0.schema {
            Schema::V1 => deserializer.deserialize_seq(self),
            Schema::V0 => deserializer.deserialize_map(self),
        }
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let stream = &mut self.0.stream;
        let timestamp = seq.next_element_seed(Nanoseconds)?.ok_or_else(|| S::Error::custom("an entry has no timestamp"))?;
        // A line that is left out is empty.
        seq.next_element_seed(Append(&mut stream.bytes))?;
        let line_end = stream.bytes.len();
        seq.next_element_seed(Metadata(stream))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        stream.entries.push(Entry { timestamp, line_end, pairs_end: stream.pairs.len() });
        Ok(())
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let stream = &mut self.0.stream;
        let (mut timestamp, mut line, mut metadata) = (None, Vec::new(), Scratch::default());
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "ts" => timestamp = Some(rfc3339(&map.next_value::<Cow<'de, str>>()?).map_err(M::Error::custom)?),
                "line" => {
                    line.clear();
                    map.next_value_seed(Append(&mut line))?;
                }
                "structuredMetadata" => map.next_value_seed(Metadata(&mut metadata))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let timestamp = timestamp.ok_or_else(|| M::Error::missing_field("ts"))?;
        stream.bytes.extend_from_slice(&line);
        let line_end = stream.bytes.len();
        stream.bytes.extend_from_slice(&metadata.bytes);
        stream.pairs.extend(metadata.pairs.iter().map(|(name, value)| (line_end + name, line_end + value)));
        stream.entries.push(Entry { timestamp, line_end, pairs_end: stream.pairs.len() });
        Ok(())
    }
});

fn rfc3339(text: &str) -> Result<i64, String> {
    let at: jiff::Timestamp = text.parse().map_err(|error| format!("parsing time {text:?}: {error}"))?;
    Ok(at.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

/// A string of nanoseconds since 1970.
struct Nanoseconds;

impl<'de> DeserializeSeed<'de> for Nanoseconds {
    type Value = i64;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i64, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Nanoseconds {
    type Value = i64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of nanoseconds since 1970")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        text.parse().map_err(|_| E::custom(format_args!("parsing {text:?} as nanoseconds since 1970")))
    }
}

/// A string, put at the end of the bytes. What is no UTF-8 is taken as it is.
struct Append<'s>(&'s mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// An object of strings, put behind the entry's line.
struct Metadata<'s>(&'s mut Scratch);

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let stream = self.0;
        while map.next_key_seed(Append(&mut stream.bytes))?.is_some() {
            let name_end = stream.bytes.len();
            map.next_value_seed(Append(&mut stream.bytes))?;
            stream.pairs.push((name_end, stream.bytes.len()));
        }
        Ok(())
    }
}
