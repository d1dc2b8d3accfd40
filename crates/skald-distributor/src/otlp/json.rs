//! OTLP as JSON, written as protobuf without building anything in between.
//!
//! Names are lower camel case, or as the messages declare them; unknown ones are ignored, and `null` is as if nothing was said. 64-bit numbers may be texts,
//! numbers of severities names, ids are hexadecimal digits, bytes base64.

use crate::error::PushFailure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// At most this many bytes of protobuf for each of JSON: `{},` says a message, which takes a tag and five bytes of length.
pub const GROWTH_MAX: u64 = 2;

/// The protobuf of a body.
///
/// # Errors
/// When it is no JSON, or not that of an export of logs.
pub fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, PushFailure> {
    let mut out = Vec::with_capacity(body.len());
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Body(&REQUEST, &mut out).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| PushFailure::Decode(error.to_string()))?;
    Ok(out)
}

/// A message: its fields.
struct Message(&'static [Field]);

struct Field {
    name: &'static str,
    /// As the message declares it.
    declared: &'static str,
    number: u32,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Base64,
    Hex,
    Bool,
    Severity,
    Uint32,
    Int64,
    Fixed32,
    Fixed64,
    Double,
    Message(&'static Message),
    List(&'static Message),
}

const fn field(name: &'static str, declared: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, declared, number, kind }
}

static REQUEST: Message = Message(&[field("resourceLogs", "resource_logs", 1, Kind::List(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Message =
    Message(&[field("resource", "resource", 1, Kind::Message(&RESOURCE)), field("scopeLogs", "scope_logs", 2, Kind::List(&SCOPE_LOGS))]);
static RESOURCE: Message = Message(&[field("attributes", "attributes", 1, Kind::List(&KEY_VALUE))]);
static SCOPE_LOGS: Message =
    Message(&[field("scope", "scope", 1, Kind::Message(&SCOPE)), field("logRecords", "log_records", 2, Kind::List(&LOG_RECORD))]);
static SCOPE: Message = Message(&[
    field("name", "name", 1, Kind::Text),
    field("version", "version", 2, Kind::Text),
    field("attributes", "attributes", 3, Kind::List(&KEY_VALUE)),
    field("droppedAttributesCount", "dropped_attributes_count", 4, Kind::Uint32),
]);
static LOG_RECORD: Message = Message(&[
    field("timeUnixNano", "time_unix_nano", 1, Kind::Fixed64),
    field("severityNumber", "severity_number", 2, Kind::Severity),
    field("severityText", "severity_text", 3, Kind::Text),
    field("body", "body", 5, Kind::Message(&ANY_VALUE)),
    field("attributes", "attributes", 6, Kind::List(&KEY_VALUE)),
    field("droppedAttributesCount", "dropped_attributes_count", 7, Kind::Uint32),
    field("flags", "flags", 8, Kind::Fixed32),
    field("traceId", "trace_id", 9, Kind::Hex),
    field("spanId", "span_id", 10, Kind::Hex),
    field("observedTimeUnixNano", "observed_time_unix_nano", 11, Kind::Fixed64),
    field("eventName", "event_name", 12, Kind::Text),
]);
static KEY_VALUE: Message = Message(&[field("key", "key", 1, Kind::Text), field("value", "value", 2, Kind::Message(&ANY_VALUE))]);
static ANY_VALUE: Message = Message(&[
    field("stringValue", "string_value", 1, Kind::Text),
    field("boolValue", "bool_value", 2, Kind::Bool),
    field("intValue", "int_value", 3, Kind::Int64),
    field("doubleValue", "double_value", 4, Kind::Double),
    field("arrayValue", "array_value", 5, Kind::Message(&ARRAY)),
    field("kvlistValue", "kvlist_value", 6, Kind::Message(&MAP)),
    field("bytesValue", "bytes_value", 7, Kind::Base64),
]);
static ARRAY: Message = Message(&[field("values", "values", 1, Kind::List(&ANY_VALUE))]);
static MAP: Message = Message(&[field("values", "values", 1, Kind::List(&KEY_VALUE))]);

/// Reads an object and appends its fields.
struct Body<'w>(&'static Message, &'w mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(field) = map.next_key_seed(Key(self.0))? {
            match field {
                Some(field) => map.next_value_seed(Value(field, self.1))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Finds the field of a name.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Field>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Field>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.iter().find(|field| field.name == name || field.declared == name))
    }
}

/// Reads the value of a field and appends the field.
struct Value<'w>(&'static Field, &'w mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Value(field, out) = self;
        match field.kind {
            Kind::Message(message) => nested(field.number, out, |out| Body(message, out).deserialize(deserializer)),
            Kind::List(message) => deserializer.deserialize_seq(List(field.number, message, out)),
            Kind::Text | Kind::Base64 | Kind::Hex => deserializer.deserialize_bytes(Scalar(field, out)),
            _ => deserializer.deserialize_any(Scalar(field, out)),
        }
    }
}

/// Reads a list of messages and appends them as a repeated field.
struct List<'w>(u32, &'static Message, &'w mut Vec<u8>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let List(number, message, out) = self;
        while nested(number, out, |out| seq.next_element_seed(Body(message, out)))?.is_some() {}
        Ok(())
    }
}

/// Bytes of a length that is not known before: five, of which the last may be needless.
const LEN_BYTES: usize = 5;

/// Appends a message that `write` writes; nothing where it says nothing.
fn nested<T: Said, E>(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>) -> Result<T, E> {
    let before = out.len();
    encode_key(number, WireType::LengthDelimited, out);
    let start = out.len() + LEN_BYTES;
    out.resize(start, 0);
    let said = write(out)?;
    if !said.is_something() {
        out.truncate(before);
        return Ok(said);
    }
    let len = (out.len() - start) as u64;
    for (i, byte) in out[start - LEN_BYTES..start].iter_mut().enumerate() {
        let more = if i + 1 < LEN_BYTES { 0x80 } else { 0 };
        *byte = (len >> (7 * i) & 0x7f) as u8 | more;
    }
    Ok(said)
}

/// Whether there was a message.
trait Said {
    fn is_something(&self) -> bool;
}

impl Said for () {
    fn is_something(&self) -> bool {
        true
    }
}

impl Said for Option<()> {
    fn is_something(&self) -> bool {
        self.is_some()
    }
}

/// Reads a value that is no message and appends its field.
struct Scalar<'w>(&'static Field, &'w mut Vec<u8>);

impl Scalar<'_> {
    fn bytes(self, bytes: &[u8]) {
        encode_key(self.0.number, WireType::LengthDelimited, self.1);
        encode_varint(bytes.len() as u64, self.1);
        self.1.extend_from_slice(bytes);
    }

    fn varint(self, number: u64) {
        encode_key(self.0.number, WireType::Varint, self.1);
        encode_varint(number, self.1);
    }

    fn integer<E: Error>(self, number: i128) -> Result<(), E> {
        let wrong = || E::custom(format_args!("{number} is out of range for {}", self.0.name));
        match self.0.kind {
            Kind::Severity => Ok(i32::try_from(number).map_err(|_| wrong())? as i64 as u64).map(|number| self.varint(number)),
            Kind::Uint32 => Ok(u32::try_from(number).map_err(|_| wrong())?.into()).map(|number| self.varint(number)),
            Kind::Int64 => Ok(i64::try_from(number).map_err(|_| wrong())? as u64).map(|number| self.varint(number)),
            Kind::Fixed32 => {
                let number = u32::try_from(number).map_err(|_| wrong())?;
                encode_key(self.0.number, WireType::ThirtyTwoBit, self.1);
                self.1.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            Kind::Fixed64 => {
                let number = u64::try_from(number).map_err(|_| wrong())?;
                self.fixed64(number);
                Ok(())
            }
            Kind::Double => {
                self.fixed64((number as f64).to_bits());
                Ok(())
            }
            _ => Err(E::custom(format_args!("{} is no number", self.0.name))),
        }
    }

    fn fixed64(self, bits: u64) {
        encode_key(self.0.number, WireType::SixtyFourBit, self.1);
        self.1.extend_from_slice(&bits.to_le_bytes());
    }
}

impl Visitor<'_> for Scalar<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what {} may be", self.0.name)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.0.kind {
            Kind::Bool => {
                self.varint(value.into());
                Ok(())
            }
            _ => Err(E::custom(format_args!("{} is no truth value", self.0.name))),
        }
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.integer(number.into())
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.integer(number.into())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        match self.0.kind {
            Kind::Double => {
                self.fixed64(number.to_bits());
                Ok(())
            }
            _ if number.fract() == 0.0 && number.abs() < 1e18 => self.integer(number as i128),
            _ => Err(E::custom(format_args!("{number} is no whole number, as {} is", self.0.name))),
        }
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let wrong = || E::custom(format_args!("'{}' is not what {} may be", text.escape_debug(), self.0.name));
        match self.0.kind {
            Kind::Severity if text.starts_with("SEVERITY") => {
                let number = severity(text).ok_or_else(wrong)?;
                self.integer(number.into())
            }
            Kind::Double => {
                let number: f64 = text.parse().map_err(|_| wrong())?;
                self.fixed64(number.to_bits());
                Ok(())
            }
            Kind::Bool => {
                let value: bool = text.parse().map_err(|_| wrong())?;
                self.varint(value.into());
                Ok(())
            }
            _ => {
                let number: i128 = text.parse().map_err(|_| wrong())?;
                self.integer(number)
            }
        }
    }
    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<(), E> {
        let wrong = |what| E::custom(format_args!("{} is not {what}", self.0.name));
        match self.0.kind {
            Kind::Base64 => {
                let bytes = STANDARD.decode(text).map_err(|_| wrong("base64"))?;
                self.bytes(&bytes);
            }
            Kind::Hex => {
                let bytes = hex(text).ok_or_else(|| wrong("an even number of hexadecimal digits"))?;
                self.bytes(&bytes);
            }
            _ => self.bytes(text),
        }
        Ok(())
    }
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

/// `SEVERITY_NUMBER_INFO2` is 10.
fn severity(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SEVERITY_NUMBER_")?;
    let level = name.trim_end_matches(['2', '3', '4']);
    let step = match &name[level.len()..] {
        "" => 0,
        digit => digit.parse::<i32>().ok().filter(|step| *step <= 4)? - 1,
    };
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    match levels.iter().position(|known| *known == level) {
        Some(at) => Some(4 * at as i32 + 1 + step),
        None => (name == "UNSPECIFIED").then_some(0),
    }
}

#[cfg(test)]
mod tests;
