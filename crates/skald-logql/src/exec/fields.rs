//! Reads the fields of a line that nobody described: as JSON, else as logfmt, under the names that these parsers give in a query.

use super::extract::{Extractor, PutBuffers};
use super::json::{self, JsonBuffers};
use super::logfmt::{self, LogfmtBuffers, LogfmtOptions};
use super::pipeline::Hints;
use super::row::{Category, RowLabels};
use serde_json::Value;
use skald_model::Labels;
use std::collections::HashMap;

/// What a line's fields were read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldParser {
    /// `| json`
    Json,
    /// `| logfmt`
    Logfmt,
}

impl FieldParser {
    /// Its name in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            FieldParser::Json => "json",
            FieldParser::Logfmt => "logfmt",
        }
    }
}

/// Reads lines with the parsers that queries use.
#[derive(Debug, Default)]
pub struct FieldReader {
    row: RowLabels,
    json: JsonBuffers,
    logfmt: LogfmtBuffers,
    put: PutBuffers,
    hints: Hints,
}

impl FieldReader {
    /// Calls `visit` with name and value of each field of `line`, an entry of `stream`; the parser that the line is for, if there is a field.
    ///
    /// A line that is not wholly a JSON object is read as logfmt. A name that the stream has gets a suffix.
    pub fn read(&mut self, stream: &Labels, line: &[u8], mut visit: impl FnMut(&str, &str)) -> Option<FieldParser> {
        let parser = self.parse(stream, line);
        let mut any = false;
        self.row.for_each(|name, value, category| {
            if category == Category::Parsed {
                any = true;
                visit(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
            }
        });
        any.then_some(parser)
    }

    fn parse(&mut self, stream: &Labels, line: &[u8]) -> FieldParser {
        self.row.begin(stream);
        let mut out = Extractor::new(&mut self.row, &self.hints, &mut self.put);
        if json::extract(line, &mut self.json, &mut out).is_ok() {
            return FieldParser::Json;
        }
        self.row.begin_next();
        let mut out = Extractor::new(&mut self.row, &self.hints, &mut self.put);
        let options = LogfmtOptions { strict: false, keep_empty: false };
        // It does not fail where it is not strict.
        let _ = logfmt::extract(line, options, &mut self.logfmt, &mut out);
        FieldParser::Logfmt
    }
}

/// The member names that lead to the values of a JSON line, by the labels that `| json` gives them.
#[derive(Debug, Default)]
pub struct JsonPaths(HashMap<Vec<u8>, Vec<String>>);

impl JsonPaths {
    /// Of a line that `| json` reads; none of other lines. Takes one walk through the line.
    pub fn of(line: &[u8]) -> Self {
        let mut paths = JsonPaths::default();
        let mut values = serde_json::Deserializer::from_slice(line).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            paths.add(&value, &mut Vec::new(), &mut Vec::new());
        }
        paths
    }

    /// The way to the value that `| json` calls `name`.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        let base = || self.0.get(name.strip_suffix(super::row::EXTRACTED)?.as_bytes());
        self.0.get(name.as_bytes()).or_else(base).map(Vec::as_slice)
    }

    /// Adds the texts, numbers and truth values below `value`; `label` is that of `value`, `path` the way there. Of one label the first stays.
    fn add(&mut self, value: &Value, label: &mut Vec<u8>, path: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, member)| {
                let len = label.len();
                json::push_path(label, key.as_bytes());
                path.push(key.clone());
                self.add(member, label, path);
                path.pop();
                label.truncate(len);
            }),
            Value::Array(_) | Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.0.entry(label.clone()).or_insert_with(|| path.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, parser: Option<FieldParser>, want: &[(&str, &str)]) {
        let stream = Labels::from_pairs([("app", "x")]).expect("one label");
        let mut fields = Vec::new();
        let found = FieldReader::default().read(&stream, line.as_bytes(), |name, value| fields.push((name.to_owned(), value.to_owned())));
        fields.sort();
        let want: Vec<_> = want.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!((found, fields), (parser, want), "{line}");
    }

    #[test]
    fn lines_are_read_as_json_and_else_as_logfmt() {
        let (json, logfmt) = (Some(FieldParser::Json), Some(FieldParser::Logfmt));
        check(r#"{"a":{"b-c":1},"app":"y","n":null,"l":[1]}"#, json, &[("a_b_c", "1"), ("app_extracted", "y")]);
        check("a=1 =x b=\"q r\" app=z c=", logfmt, &[("a", "1"), ("app_extracted", "z"), ("b", "q r")]);
        check(r#"{"a":1 b=2"#, logfmt, &[("b", "2")]);
        check("nothing here", None, &[]);
        check("{}", None, &[]);
    }

    #[test]
    fn paths_lead_to_what_a_label_is_made_of() {
        let line = br#"{"k8s.io/name":"n","user":{"id":7,"x":{}},"user_id":8,"app":"y","list":[1]} tail"#;
        let paths = JsonPaths::of(line);
        let path = |name| paths.get(name).map(|path| path.join("|"));
        assert_eq!(path("k8s_io_name").as_deref(), Some("k8s.io/name"));
        assert_eq!(path("user_id").as_deref(), Some("user|id"));
        assert_eq!(path("app_extracted").as_deref(), Some("app"));
        assert_eq!((path("list"), path("user"), path("none")), (None, None, None));
    }
}
