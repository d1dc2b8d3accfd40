//! The same questions to two servers, and what differs in their answers.

use crate::golden::{Rules, Verdict, compare};
use crate::{Answer, Client, form};
use serde_json::{Value, json};

/// One request of a file of questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is called, for people.
    pub name: String,
    /// The HTTP method.
    pub method: String,
    /// The path, without parameters.
    pub path: String,
    /// Parameters in their order.
    pub params: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Whether samples come in an order that counts.
    pub ordered: bool,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum DifferentialError {
    /// A question cannot be read.
    #[error("question {number}: {why}")]
    Question {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A server does not answer.
    #[error("ask {url}")]
    Ask {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
}

/// What holds for all questions.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// Sent as `X-Scope-OrgID`, unless the question has one.
    pub tenant: Option<String>,
    /// Start of questions that have none.
    pub start: Option<String>,
    /// End, or instant, of questions that have none.
    pub end: Option<String>,
    /// When answers are equal.
    pub rules: Rules,
}

/// How two servers answered one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Equally.
    Equal,
    /// With the same status and other texts of the error.
    OtherText {
        /// Of the first server.
        one: String,
        /// Of the second.
        two: String,
    },
    /// Differently.
    Different {
        /// What differs first; the first server's answer is what is expected.
        why: String,
    },
}

/// Reads questions: JSON lines with `path`, `params` (pairs or an object), `headers`, `method`, `name` or `id`, `order`; or a JSON array in the
/// shape of benchmarks, with `name`, `kind` (`range`, `instant` or `labels`), `logql`, `limit` and `step`.
///
/// # Errors
/// The first question that is neither.
pub fn questions(text: &str) -> Result<Vec<Question>, DifferentialError> {
    let wrong = |number: usize, why: String| DifferentialError::Question { number, why };
    let values: Vec<Value> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| wrong(1, error.to_string()))?
    } else {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).enumerate();
        let read = lines.map(|(at, line)| serde_json::from_str(line).map_err(|error| wrong(at + 1, error.to_string())));
        read.collect::<Result<_, _>>()?
    };
    let read = values.iter().enumerate().map(|(at, value)| question(value).map_err(|why| wrong(at + 1, why)));
    read.collect()
}

fn question(value: &Value) -> Result<Question, String> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let named = |path: String, params: Vec<(String, String)>| Question {
        name: text("name").or_else(|| text("id")).unwrap_or_else(|| path.clone()),
        method: text("method").unwrap_or_else(|| "GET".to_owned()),
        path,
        params,
        headers: Vec::new(),
        ordered: value["order"] == true,
    };
    if let Some(path) = text("path") {
        return Ok(Question { headers: pairs(&value["headers"])?, ..named(path, pairs(&value["params"])?) });
    }
    let (Some(kind), Some(logql)) = (text("kind"), text("logql")) else { return Err("neither 'path' nor 'kind' and 'logql'".to_owned()) };
    let more = ["limit", "step"].into_iter().filter_map(|name| Some((name.to_owned(), plain(value.get(name)?))));
    let query = [("query".to_owned(), logql.clone())].into_iter().chain(more).collect();
    match kind.as_str() {
        "range" => Ok(named("/loki/api/v1/query_range".to_owned(), query)),
        "instant" => Ok(named("/loki/api/v1/query".to_owned(), query)),
        "labels" => Ok(named(format!("/loki/api/v1/label/{logql}/values"), Vec::new())),
        other => Err(format!("kind '{other}' is none of range, instant, labels")),
    }
}

/// Text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names and values from a list of pairs or an object.
fn pairs(value: &Value) -> Result<Vec<(String, String)>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(members) => Ok(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
        Value::Array(list) => {
            let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                Some([name, value]) => Ok((plain(name), plain(value))),
                _ => Err(format!("not a pair: {pair}")),
            };
            list.iter().map(pair).collect()
        }
        other => Err(format!("neither pairs nor an object: {other}")),
    }
}

impl Asking {
    /// Asks both servers one question.
    ///
    /// # Errors
    /// When one does not answer.
    pub fn ask_both(&self, one: &Client, two: &Client, question: &Question) -> Result<Outcome, DifferentialError> {
        let (one, two) = (self.ask(one, question)?, self.ask(two, question)?);
        let is_success = one.status / 100 == 2;
        // Of two failing servers neither says what is right.
        if one.status != two.status {
            let why = format!("status {} {}, expected {} {}", two.status, body_text(&two), one.status, body_text(&one));
            return Ok(Outcome::Different { why });
        }
        let json = serde_json::from_slice::<Value>(&one.body).ok().filter(|json| is_success && (json.is_object() || json.is_array()));
        let expected = match json {
            Some(json) => json!({"status": one.status, "body_json": without_stats(json)}),
            None => json!({"status": one.status, "body_text": body_text(&one)}),
        };
        let vector = json!({"path": question.path, "order": question.ordered, "expect": expected});
        let other = match serde_json::from_slice(&two.body) {
            Ok(json) if is_success => Answer { body: without_stats(json).to_string().into_bytes(), ..two.clone() },
            _ => two.clone(),
        };
        Ok(match compare(&vector, &other, self.rules) {
            Ok(Verdict::Equal) => Outcome::Equal,
            Ok(Verdict::OtherText) => Outcome::OtherText { one: body_text(&one), two: body_text(&two) },
            Err(why) => Outcome::Different { why },
        })
    }

    fn ask(&self, client: &Client, question: &Question) -> Result<Answer, DifferentialError> {
        let mut params: Vec<(&str, &str)> = question.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let is_instant = question.path.ends_with("/query");
        let defaults = if is_instant { [("time", &self.end), ("", &None)] } else { [("start", &self.start), ("end", &self.end)] };
        for (name, value) in defaults {
            if let Some(value) = value.as_deref().filter(|_| !params.iter().any(|(given, _)| *given == name)) {
                params.push((name, value));
            }
        }
        let mut headers: Vec<(&str, &str)> = question.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Some(tenant) = self.tenant.as_deref().filter(|_| !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-scope-orgid")))
        {
            headers.push(("x-scope-orgid", tenant));
        }
        let path = if params.is_empty() { question.path.clone() } else { format!("{}?{}", question.path, form(&params)) };
        let answer = client.call(&question.method, &path, &headers, b"");
        answer.map_err(|source| DifferentialError::Ask { url: format!("{}{path}", client.base()), source: Box::new(source) })
    }
}

fn body_text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// What an answer cost is no part of it.
fn without_stats(mut json: Value) -> Value {
    for holder in ["/data", ""] {
        if let Some(members) = json.pointer_mut(holder).and_then(Value::as_object_mut)
            && (members.contains_key("result") || members.contains_key("streams"))
            && members.get("stats").is_some_and(Value::is_object)
        {
            members.remove("stats");
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn questions_are_read_in_both_shapes() {
        let lines = "{\"path\":\"/a\",\"params\":[[\"query\",\"{}\"],[\"limit\",5]],\"headers\":{\"x\":\"y\"},\"order\":true}\n\n\
                     {\"id\":\"second\",\"method\":\"POST\",\"path\":\"/b\"}";
        let read = questions(lines).unwrap();
        assert_eq!(read[0].params, [pair("query", "{}"), pair("limit", "5")]);
        assert_eq!((&read[0].headers[..], read[0].ordered, read[0].name.as_str()), (&[pair("x", "y")][..], true, "/a"));
        assert_eq!((read[1].name.as_str(), read[1].method.as_str(), read.len()), ("second", "POST", 2));
        let array = "[{\"name\":\"n\",\"kind\":\"range\",\"logql\":\"{a=\\\"b\\\"}\",\"limit\":100,\"step\":\"60s\"},\n\
                     {\"name\":\"v\",\"kind\":\"labels\",\"logql\":\"pod\"}]";
        let read = questions(array).unwrap();
        assert_eq!(read[0].path, "/loki/api/v1/query_range");
        assert_eq!(read[0].params, [pair("query", "{a=\"b\"}"), pair("limit", "100"), pair("step", "60s")]);
        assert_eq!(read[1].path, "/loki/api/v1/label/pod/values");
    }

    #[test]
    fn what_is_no_question_is_named() {
        for (text, why) in [
            ("{\"path\":\"/a\"}\nnonsense", "question 2: expected"),
            ("{\"paths\":1}", "question 1: neither 'path' nor"),
            ("{\"path\":\"/a\",\"params\":[[1]]}", "question 1: not a pair: [1]"),
            ("[{\"kind\":\"odd\",\"logql\":\"x\"}]", "question 1: kind 'odd'"),
        ] {
            let error = questions(text).unwrap_err().to_string();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }

    #[test]
    fn statistics_are_no_part_of_an_answer() {
        let range = json!({"status": "success", "data": {"resultType": "streams", "result": [], "stats": {}}});
        assert_eq!(without_stats(range), json!({"status": "success", "data": {"resultType": "streams", "result": []}}));
        let other = json!({"stats": {}, "data": {"stats": 5}});
        assert_eq!(without_stats(other.clone()), other);
    }
}
