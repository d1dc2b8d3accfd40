//! Answers of the query API.

use super::client::ClientError;
use serde::Deserialize;
use serde_json::Value;
use skald_model::{Labels, Timestamp};
use std::collections::BTreeMap;

/// Answer to a query.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    warnings: Vec<String>,
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
    #[serde(default)]
    stats: Value,
}

#[derive(Debug, Deserialize)]
struct Stream {
    stream: BTreeMap<String, String>,
    values: Vec<Vec<Value>>,
}

/// Answer to a query.
#[derive(Debug)]
pub struct QueryAnswer {
    /// What the server wants to be known about the answer.
    pub warnings: Vec<String>,
    /// The answer itself.
    pub result: QueryResult,
    /// What it cost.
    pub stats: Value,
}

/// The result of a query.
#[derive(Debug)]
pub enum QueryResult {
    /// Entries in the server's order, stream by stream.
    Entries(Vec<Entry>),
    /// Samples as the server wrote them: matrix, vector or scalar.
    Samples(Value),
}

/// An entry of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// All labels that the answer gives it.
    pub labels: Labels,
    /// Its time.
    pub at: Timestamp,
    /// Its line.
    pub line: String,
}

impl QueryAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`ClientError::Answer`].
    pub fn read(answer: Value) -> Result<Self, ClientError> {
        let Answer { warnings, data } = read(answer)?;
        let result = match data.result_type.as_str() {
            "streams" => QueryResult::Entries(read_streams(data.result)?),
            _ => QueryResult::Samples(data.result),
        };
        Ok(QueryAnswer { warnings, result, stats: data.stats })
    }
}

/// The entries of an array of streams.
///
/// # Errors
/// [`ClientError::Answer`].
pub fn read_streams(result: Value) -> Result<Vec<Entry>, ClientError> {
    let mut entries = Vec::new();
    for Stream { stream, values } in read::<Vec<Stream>>(result)? {
        let labels = labels(stream)?;
        for value in values {
            let mut value = value.into_iter();
            let (at, line) = match (value.next(), value.next()) {
                (Some(Value::String(at)), Some(Value::String(line))) => (at, line),
                _ => return Err(malformed("an entry that is not a time and a line")),
            };
            let at = at.parse().map(Timestamp).map_err(|_| malformed("a time that is not a number of nanoseconds"))?;
            entries.push(Entry { labels: labels.clone(), at, line });
        }
    }
    Ok(entries)
}

/// A label set of an answer.
///
/// # Errors
/// [`ClientError::Answer`].
pub fn labels(pairs: BTreeMap<String, String>) -> Result<Labels, ClientError> {
    Labels::from_pairs(pairs).map_err(|error| malformed(&error.to_string()))
}

/// Reads a JSON value as a `T`.
///
/// # Errors
/// [`ClientError::Answer`].
pub fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value).map_err(ClientError::Answer)
}

fn malformed(what: &str) -> ClientError {
    ClientError::Answer(serde::de::Error::custom(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn malformed_answers_are_errors() {
        for answer in [
            json!(null),
            json!({"status": "success"}),
            json!({"data": {"resultType": "streams", "result": [{"stream": {}, "values": [[1, "x"]]}]}}),
            json!({"data": {"resultType": "streams", "result": [{"stream": {}, "values": [["x", "x"]]}]}}),
            json!({"data": {"resultType": "streams", "result": [{"stream": {}, "values": [["1"]]}]}}),
        ] {
            assert!(matches!(QueryAnswer::read(answer.clone()), Err(ClientError::Answer(_))), "{answer}");
        }
    }

    #[test]
    fn entries_may_carry_more_than_a_line() {
        let answer = json!({"data": {"resultType": "streams", "result": [{"stream": {"a": "b"}, "values": [["5", "x", {}]]}]}});
        let Ok(QueryAnswer { result: QueryResult::Entries(entries), .. }) = QueryAnswer::read(answer) else { panic!("entries") };
        assert_eq!((entries[0].at, entries[0].line.as_str()), (Timestamp(5), "x"));
    }
}
