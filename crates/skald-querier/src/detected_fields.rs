//! Which fields lines have: structured metadata, what the query's own stages made, and what JSON and logfmt lines hold.

use skald_logql::exec::{FieldParser, FieldReader, JsonPaths, LabelSet, LogEntry, LogStream};
use skald_logql::units::{parse_float, parse_go_duration, parse_size};
use skald_model::Labels;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Labels that tell of an error.
const ERRORS: [&str; 2] = ["__error__", "__error_details__"];

/// A field of lines.
#[derive(Debug, Default)]
pub(crate) struct Field {
    kind: Kind,
    /// In order of appearance.
    values: Vec<String>,
    seen: HashSet<String>,
    parsers: BTreeSet<FieldParser>,
    json_path: Vec<String>,
    /// Number of the stream that decided the type.
    typed_by: Option<usize>,
}

/// What the values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    #[default]
    String,
}

impl Kind {
    fn of(value: &str) -> Self {
        let is_boolean = matches!(value, "t" | "T" | "true" | "TRUE" | "True" | "f" | "F" | "false" | "FALSE" | "False");
        if value.parse::<i64>().is_ok() {
            Kind::Int
        } else if parse_float(value).is_ok() {
            Kind::Float
        } else if is_boolean {
            Kind::Boolean
        } else if parse_go_duration(value).is_ok() {
            Kind::Duration
        } else if parse_size(value).is_ok() {
            Kind::Bytes
        } else {
            Kind::String
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Boolean => "boolean",
            Kind::Duration => "duration",
            Kind::Bytes => "bytes",
            Kind::String => "string",
        }
    }
}

/// The fields of lines, found one by one.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    names: Vec<String>,
    fields: HashMap<String, Field>,
}

/// The fields of all entries, those of the first lines first.
pub(crate) fn detect(streams: &[LogStream]) -> Fields {
    let (mut fields, mut reader) = (Fields::default(), FieldReader::default());
    for (number, stream) in streams.iter().enumerate() {
        let labels = own_labels(&stream.labels);
        stream.entries.iter().for_each(|entry| fields.add(number, &labels, entry, &mut reader));
    }
    fields
}

fn own_labels(labels: &LabelSet) -> Labels {
    Labels::from_pairs(labels.iter()).expect("a label set has each name once, and fits in memory")
}

impl Fields {
    fn add(&mut self, stream: usize, labels: &Labels, entry: &LogEntry, reader: &mut FieldReader) {
        for (name, value) in entry.metadata.iter().chain(&entry.parsed) {
            self.add_value(stream, name, value);
        }
        let mut found = Vec::new();
        let parser = reader.read(labels, &entry.line, |name, value| {
            found.push(name.to_owned());
            self.add_value(stream, name, value);
        });
        let paths = OnceCell::new();
        for name in found {
            let Some(field) = self.fields.get_mut(&name) else { continue };
            field.parsers.extend(parser);
            if parser == Some(FieldParser::Json) && field.json_path.is_empty() {
                field.json_path = paths.get_or_init(|| JsonPaths::of(&entry.line)).get(&name).unwrap_or_default().to_vec();
            }
        }
    }

    fn add_value(&mut self, stream: usize, name: &str, value: &str) {
        if ERRORS.contains(&name) {
            return;
        }
        if !self.fields.contains_key(name) {
            self.names.push(name.to_owned());
        }
        let field = self.fields.entry(name.to_owned()).or_default();
        let kind = Kind::of(value);
        // The first value of a stream decides, and the last stream over those before.
        if field.typed_by != Some(stream) {
            (field.typed_by, field.kind) = (Some(stream), kind);
        }
        let value = if kind == Kind::Bytes { value.replace(' ', "") } else { value.to_owned() };
        if field.seen.insert(value.clone()) {
            field.values.push(value);
        }
    }

    /// At most `limit` fields as members of the answer.
    pub(crate) fn to_json(&self, limit: usize) -> Vec<serde_json::Value> {
        self.names.iter().take(limit).map(|name| self.fields[name].to_json(name)).collect()
    }

    /// At most `limit` values of the field `name`; none when there is no such field.
    pub(crate) fn values(&self, name: &str, limit: usize) -> &[String] {
        self.fields.get(name).map_or(&[], |field| &field.values[..field.values.len().min(limit)])
    }
}

impl Field {
    fn to_json(&self, name: &str) -> serde_json::Value {
        let parsers: Vec<_> = self.parsers.iter().map(|parser| parser.as_str()).collect();
        let mut json = serde_json::json!({ "label": name, "type": self.kind.as_str(), "cardinality": self.values.len() });
        json["parsers"] = if parsers.is_empty() { serde_json::Value::Null } else { parsers.into() };
        if !self.json_path.is_empty() {
            json["jsonPath"] = self.json_path.as_slice().into();
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::Timestamp;

    #[track_caller]
    fn check_kind(want: &str, values: &[&str]) {
        values.iter().for_each(|value| assert_eq!(Kind::of(value).as_str(), want, "{value}"));
    }

    #[test]
    fn values_have_the_first_type_that_they_can_be() {
        check_kind("int", &["0", "-5", "+17"]);
        check_kind("float", &["1.5", "1e3", "NaN"]);
        check_kind("boolean", &["true", "F"]);
        check_kind("duration", &["5s", "1h2m", "1.5ms"]);
        check_kind("bytes", &["512B", "1.5 kB", "2GiB"]);
        check_kind("string", &["", "x", "5 apples", "10.0.0.1", "5d"]);
    }

    fn entry(line: &str, metadata: &[(&str, &str)]) -> LogEntry {
        let metadata = metadata.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        LogEntry { timestamp: Timestamp(0), line: line.as_bytes().to_vec(), metadata, parsed: Vec::new() }
    }

    fn stream(app: &str, entries: Vec<LogEntry>) -> LogStream {
        LogStream { labels: LabelSet::from_pairs(vec![("app".to_owned(), app.to_owned())]), entries }
    }

    #[test]
    fn fields_come_from_metadata_and_lines() {
        let one = vec![
            entry(r#"{"http":{"x-id":7},"app":"inner","size":"1.5 kB","size2":"1.5kB"}"#, &[("id", "a"), ("__error__", "e")]),
            entry("http_x_id=8 took=5s id=b", &[("id", "a")]),
        ];
        let fields = detect(&[stream("x", one)]);
        let json = serde_json::Value::Array(fields.to_json(100));
        let of = |name: &str| json.as_array().and_then(|all| all.iter().find(|field| field["label"] == name)).cloned().unwrap_or_default();
        assert_eq!(of("id").to_string(), r#"{"label":"id","type":"string","cardinality":2,"parsers":["logfmt"]}"#);
        let http = r#"{"label":"http_x_id","type":"int","cardinality":2,"parsers":["json","logfmt"],"jsonPath":["http","x-id"]}"#;
        assert_eq!(of("http_x_id").to_string(), http);
        assert_eq!(of("app_extracted")["jsonPath"].to_string(), r#"["app"]"#);
        assert_eq!((of("took")["type"].as_str(), of("__error__")), (Some("duration"), serde_json::Value::Null));
        assert_eq!(fields.values("size", 9), ["1.5kB"]);
        assert_eq!((fields.values("id", 1), fields.values("none", 9).len(), fields.to_json(2).len()), (&["a".to_owned()][..], 0, 2));
    }

    #[test]
    fn metadata_alone_has_no_parser() {
        let fields = detect(&[stream("x", vec![entry("plain", &[("trace", "1")])])]);
        assert_eq!(fields.to_json(9)[0].to_string(), r#"{"label":"trace","type":"int","cardinality":1,"parsers":null}"#);
    }

    #[test]
    fn the_first_value_of_the_last_stream_decides_the_type() {
        let streams = [stream("x", vec![entry("n=1", &[]), entry("n=x", &[])]), stream("y", vec![entry("n=1.5", &[]), entry("n=2", &[])])];
        assert_eq!(detect(&streams).to_json(1)[0]["type"], "float");
    }

    /// It would take long if the line were read anew for each field.
    #[test]
    fn a_line_of_many_fields_is_walked_through_once() {
        let members: Vec<String> = (0..5_000).map(|at| format!("\"f.{at}\":{at}")).collect();
        let fields = detect(&[stream("x", vec![entry(&format!("{{{}}}", members.join(",")), &[])])]);
        assert_eq!(fields.to_json(usize::MAX).len(), 5_000);
        assert_eq!(fields.fields["f_4999"].json_path, ["f.4999"]);
    }
}
