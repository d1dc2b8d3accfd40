//! Entries of the journal as `journalctl -o json` prints them.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use skald_model::{ErrorKind, Timestamp};
use skald_pipeline::LabelSet;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Field with the text.
const MESSAGE: &str = "MESSAGE";
const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its place, opaque.
    pub cursor: String,
    /// When the journal took it.
    pub timestamp: Timestamp,
    /// Its fields, without those that say where it is. One that comes several times has all its values, each with those before it in a line above.
    pub fields: BTreeMap<String, String>,
}

/// Why a line is no entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// It is not the JSON that it should be.
    #[error("not an entry as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It lacks its place or its time.
    #[error("it has no {0}")]
    Missing(&'static str),
}

impl EntryError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Json(_) | Self::Missing(_) => ErrorKind::InvalidInput,
        }
    }
}

impl JournalEntry {
    /// Reads one line.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn read(line: &[u8]) -> Result<Self, EntryError> {
        let Fields(mut fields) = serde_json::from_slice(line)?;
        let cursor = fields.remove("__CURSOR").filter(|cursor| !cursor.is_empty()).ok_or(EntryError::Missing("__CURSOR"))?;
        let micros: Option<i64> = fields.remove("__REALTIME_TIMESTAMP").and_then(|micros| micros.parse().ok());
        let micros = micros.ok_or(EntryError::Missing("__REALTIME_TIMESTAMP"))?;
        fields.retain(|name, _| !name.starts_with("__"));
        Ok(JournalEntry { cursor, timestamp: Timestamp(micros.saturating_mul(1000)), fields })
    }

    /// The line of its entry; `None` when it has no message.
    pub fn line(&mut self, as_json: bool) -> Option<String> {
        if as_json {
            return Some(serde_json::to_string(&self.fields).expect("texts can be written"));
        }
        self.fields.remove(MESSAGE)
    }

    /// Its labels, on top of those of every entry.
    pub fn labels(&self, configured: &LabelSet) -> LabelSet {
        let mut labels = configured.clone();
        for (name, value) in &self.fields {
            labels.set(format!("__journal_{}", name.to_ascii_lowercase()), value.as_str());
        }
        let priority = self.fields.get("PRIORITY").and_then(|priority| priority.parse().ok());
        if let Some(keyword) = priority.and_then(|priority: usize| PRIORITIES.get(priority)) {
            labels.set("__journal_priority_keyword", *keyword);
        }
        labels
    }
}

/// When the entry of a cursor was written, if the cursor says so.
pub fn cursor_time(cursor: &str) -> Option<Timestamp> {
    let micros = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    let micros = i64::from_str_radix(micros, 16).ok()?;
    Some(Timestamp(micros.saturating_mul(1000)))
}

/// Names and values of one line.
struct Fields(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if let Some(value) = map.next_value::<Value>()?.0 {
                fields.insert(name, value);
            }
        }
        Ok(Fields(fields))
    }
}

/// A value: text, the bytes of what is not printable, or a list of several; nothing where journalctl left it out.
struct Value(Option<String>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Value)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Option<String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, bytes, or a list of these")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<Option<String>, E> {
        Ok(Some(text))
    }
    fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Option<String>, S::Error> {
        let (mut bytes, mut values): (Vec<u8>, Vec<String>) = Default::default();
        while let Some(element) = seq.next_element::<Element<'de>>()? {
            match element {
                Element::Byte(byte) => bytes.push(byte),
                Element::Text(text) => values.push(text.into_owned()),
                Element::Bytes(inner) => values.push(String::from_utf8_lossy(&inner).into_owned()),
                Element::Other(_) => {}
            }
        }
        if !bytes.is_empty() {
            values.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(Some(values.join("\n")).filter(|_| !values.is_empty()))
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Element<'a> {
    Byte(u8),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = r#""__CURSOR":"s=1;i=2;t=64861e7e78001;x=9","__REALTIME_TIMESTAMP":"1768435200000001""#;

    fn entry(fields: &str) -> JournalEntry {
        JournalEntry::read(format!("{{{CURSOR},{fields}}}").as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_has_place_time_and_fields() {
        let mut read = entry(r#""__MONOTONIC_TIMESTAMP":"5","MESSAGE":"caf\u00e9","_PID":"7","PRIORITY":"3""#);
        assert_eq!(read.cursor, "s=1;i=2;t=64861e7e78001;x=9");
        assert_eq!(read.timestamp, Timestamp(1_768_435_200_000_001_000));
        let configured = [("job", "systemd")].into_iter().collect();
        let labels =
            r#"{__journal__pid="7", __journal_message="café", __journal_priority="3", __journal_priority_keyword="error", job="systemd"}"#;
        assert_eq!(read.labels(&configured).to_string(), labels);
        assert_eq!(read.line(true).unwrap(), r#"{"MESSAGE":"café","PRIORITY":"3","_PID":"7"}"#);
        assert_eq!(read.line(false).unwrap(), "café");
    }

    #[track_caller]
    fn check(value: &str, want: Option<&str>) {
        assert_eq!(entry(&format!(r#""MESSAGE":{value}"#)).line(false).as_deref(), want, "{value}");
    }

    #[test]
    fn values_come_in_many_forms() {
        check(r#""a""#, Some("a"));
        check(r#""""#, Some(""));
        check("null", None);
        check("[27,91,51,49,109,255]", Some("\u{1b}[31m\u{fffd}"));
        check(r#"["one","two\n"]"#, Some("one\ntwo\n"));
        check(r#"["one",[116,119,111],null]"#, Some("one\ntwo"));
        check("[]", None);
        check("5", Some("5"));
    }

    #[test]
    fn a_priority_has_a_keyword_only_when_there_is_one() {
        for (priority, keyword) in [("0", Some("emerg")), ("7", Some("debug")), ("8", None), ("x", None)] {
            let labels = entry(&format!(r#""PRIORITY":"{priority}""#)).labels(&LabelSet::new());
            assert_eq!(labels.get("__journal_priority_keyword"), keyword);
        }
    }

    #[test]
    fn a_line_that_is_no_entry_is_an_error() {
        let error = |line: &str| JournalEntry::read(line.as_bytes()).unwrap_err().to_string();
        assert!(error("").starts_with("not an entry as JSON"));
        assert!(error("-- No entries --").starts_with("not an entry as JSON"));
        assert!(error("[1]").contains("expected an object of fields"));
        assert_eq!(error(r#"{"MESSAGE":"a"}"#), "it has no __CURSOR");
        assert_eq!(error(r#"{"__CURSOR":"a","__REALTIME_TIMESTAMP":"now"}"#), "it has no __REALTIME_TIMESTAMP");
    }

    #[test]
    fn a_cursor_says_when() {
        assert_eq!(cursor_time("s=1;i=3f;b=2;m=3;t=64861e7e78000;x=1"), Some(Timestamp(1_768_435_200_000_000_000)));
        assert_eq!(cursor_time("anything"), None);
        assert_eq!(cursor_time("t=zz"), None);
    }
}
