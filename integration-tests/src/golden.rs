//! When an answer equals a recorded one.

use crate::Answer;
use serde_json::Value;
use std::collections::BTreeMap;

/// How strictly answers are compared.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How far values may lie apart, relative to the larger.
    pub tolerance: f64,
    /// How far values may lie apart beyond that.
    pub slack: f64,
    /// Whether entries of one nanosecond may come in any order.
    pub ties_in_any_order: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { tolerance: 1e-9, slack: 1e-12, ties_in_any_order: true }
    }
}

impl Rules {
    /// How bytes are kept is the server's own business.
    fn of_volumes(self) -> Self {
        Rules { tolerance: self.tolerance.max(0.05), slack: self.slack.max(1024.0), ..self }
    }
}

/// What an answer is that is not wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Equal, the text of an error too.
    Equal,
    /// An error with the right status and another text.
    OtherText,
}

type Compared = Result<(), String>;

fn must(holds: bool, why: impl FnOnce() -> String) -> Compared {
    if holds { Ok(()) } else { Err(why()) }
}

/// Compares `answer` with what `vector` expects: `path`, `order`, `text_varies`, and in `expect` a status and a `body_json` or `body_text`.
///
/// # Errors
/// What differs first.
pub fn compare(vector: &Value, answer: &Answer, rules: Rules) -> Result<Verdict, String> {
    let want = &vector["expect"];
    let status = want["status"].as_u64().unwrap() as u16;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let is_server_error = status >= 500 && answer.status >= 400;
    must(status == answer.status || is_server_error, || format!("status {}, expected {status}; {text}", answer.status))?;
    let json: Option<Value> = if text.starts_with(['{', '[']) { serde_json::from_str(&text).ok() } else { None };
    if status / 100 != 2 {
        let equal = match want.get("body_json") {
            Some(want) => json.as_ref() == Some(want),
            None => want["body_text"] == without_times(&text),
        };
        return Ok(if equal || vector["text_varies"] == true { Verdict::Equal } else { Verdict::OtherText });
    }
    let Some(body) = want.get("body_json") else {
        must(want["body_text"] == text.as_str(), || format!("body {text:?}, expected {}", want["body_text"]))?;
        return Ok(Verdict::Equal);
    };
    let json = json.ok_or_else(|| format!("the body is not JSON: {text}"))?;
    json_equal(vector["path"].as_str().unwrap(), vector["order"] == true, body, &json, rules)?;
    Ok(Verdict::Equal)
}

/// The text of an error, what depends on the time of the request taken out.
fn without_times(text: &str) -> String {
    let split = if text.contains("too old") { text.split_once("oldest acceptable timestamp is: ") } else { None };
    let Some((before, after)) = split else { return text.to_owned() };
    let rest = after.find([' ', '\n']).map_or("", |at| &after[at..]);
    format!("{before}oldest acceptable timestamp is: <time>{rest}")
}

fn json_equal(path: &str, ordered: bool, want: &Value, got: &Value, rules: Rules) -> Compared {
    let (Some(wants), Some(gots)) = (want.as_object(), got.as_object()) else {
        return same_set("answer", want, got);
    };
    if path.ends_with("/buildinfo") {
        return wants.keys().try_for_each(|name| must(gots.contains_key(name), || format!("no {name}")));
    }
    if path.ends_with("/index/stats") {
        return index_stats_equal(want, got);
    }
    let is_nothing = |value: &Value| matches!(value, Value::Null) || value.as_array().is_some_and(Vec::is_empty);
    let is_cost = |name: &&String| *name == "stats" && path.starts_with("/api/prom/");
    for name in wants.keys().chain(gots.keys()).filter(|name| !is_cost(name)) {
        let (want, got) = (&want[name], &got[name]);
        if name == "data" && want["resultType"].is_string() {
            let is_volume = path.contains("/index/volume");
            data_equal(ordered, want, got, if is_volume { rules.of_volumes() } else { rules })?;
        } else if matches!(name.as_str(), "fields" | "detectedLabels") {
            rows_equal("label", want, got, detected_equal)?;
        } else if !(is_nothing(want) && is_nothing(got)) {
            same_set(name, want, got)?;
        }
    }
    Ok(())
}

fn index_stats_equal(want: &Value, got: &Value) -> Compared {
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap_or(-1.0);
    let exact = ["streams", "entries"].iter().all(|name| want[name] == got[name]);
    let chunks = (number(want, "chunks") > 0.0) == (number(got, "chunks") > 0.0);
    let slack = 0.1 * number(want, "bytes") + 1024.0 * number(want, "streams");
    let bytes = (number(want, "bytes") - number(got, "bytes")).abs() <= slack;
    must(exact && chunks && bytes, || format!("{got}, expected about {want}"))
}

/// A detected field or label. The recorded number of many values is an estimate; parsers come in any order.
fn detected_equal(name: &str, want: &Value, got: &Value) -> Compared {
    let without_number = |row: &Value| {
        let mut row = row.clone();
        let number = row.as_object_mut().and_then(|row| row.remove("cardinality")).and_then(|number| number.as_f64());
        if let Some(parsers) = row["parsers"].as_array_mut() {
            parsers.sort_by_key(canonical);
        }
        (number.unwrap_or(-1.0), canonical(&row))
    };
    let ((want_number, want_rest), (got_number, got_rest)) = (without_number(want), without_number(got));
    let slack = if want_number.max(got_number) > 64.0 { 0.03 * want_number.max(got_number) } else { 0.0 };
    let equal = want_rest == got_rest && (want_number - got_number).abs() <= slack;
    must(equal, || format!("{name}: {got}, expected {want}"))
}

/// Lists are sets here, in which equal elements count.
fn same_set(what: &str, want: &Value, got: &Value) -> Compared {
    let sorted = |value: &Value| {
        let mut texts: Vec<String> = value.as_array().into_iter().flatten().map(canonical).collect();
        texts.sort();
        texts
    };
    let equal = if want.is_array() && got.is_array() { sorted(want) == sorted(got) } else { want == got };
    must(equal, || format!("{what} is {got}, expected {want}"))
}

fn data_equal(ordered: bool, want: &Value, got: &Value, rules: Rules) -> Compared {
    must(want["resultType"] == got["resultType"], || format!("resultType {}", got["resultType"]))?;
    must(want.get("encodingFlags") == got.get("encodingFlags"), || format!("encodingFlags {:?}", got.get("encodingFlags")))?;
    let (wants, gots) = (&want["result"], &got["result"]);
    let single = |row: &Value| vec![row["value"].clone()];
    match want["resultType"].as_str().unwrap() {
        "scalar" => points_equal("scalar", std::slice::from_ref(wants), std::slice::from_ref(gots), rules),
        "streams" => rows_equal("stream", wants, gots, |name, want, got| entries_equal(name, list(want), list(got), rules)),
        "vector" => {
            if ordered {
                let values = |rows: &Value| list_of(rows).iter().map(|row| row["value"].clone()).collect::<Vec<_>>();
                points_equal("in order", &values(wants), &values(gots), rules)?;
            }
            rows_equal("metric", wants, gots, |name, want, got| points_equal(name, &single(want), &single(got), rules))
        }
        _ => rows_equal("metric", wants, gots, |name, want, got| points_equal(name, list(want), list(got), rules)),
    }
}

fn list(row: &Value) -> &[Value] {
    list_of(&row["values"])
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Compares rows by their labels, which `key` holds.
fn rows_equal(key: &str, want: &Value, got: &Value, equal: impl Fn(&str, &Value, &Value) -> Compared) -> Compared {
    let by_labels = |rows: &Value| {
        let mut map = BTreeMap::<String, Vec<Value>>::new();
        for row in list_of(rows) {
            map.entry(canonical(&row[key])).or_default().push(row.clone());
        }
        map.values_mut().for_each(|rows| rows.sort_by_key(canonical));
        map
    };
    let (want, got) = (by_labels(want), by_labels(got));
    let missing = want.keys().find(|labels| !got.contains_key(*labels));
    let extra = got.keys().find(|labels| !want.contains_key(*labels));
    must(missing.is_none() && extra.is_none(), || format!("{key} missing {missing:?}, unexpected {extra:?}"))?;
    for (labels, wants) in &want {
        let gots = &got[labels];
        must(wants.len() == gots.len(), || format!("{key} {labels} comes {} times, expected {}", gots.len(), wants.len()))?;
        wants.iter().zip(gots).try_for_each(|(want, got)| equal(labels, want, got))?;
    }
    Ok(())
}

/// Points of time and value; the values are numbers as text.
fn points_equal(what: &str, want: &[Value], got: &[Value], rules: Rules) -> Compared {
    must(want.len() == got.len(), || format!("{what}: {} points, expected {}", got.len(), want.len()))?;
    want.iter().zip(got).try_for_each(|(want, got)| {
        let time = want[0].as_f64().is_some() && want[0].as_f64() == got[0].as_f64();
        must(time && number_equal(&want[1], &got[1], rules), || format!("{what}: {got}, expected {want}"))
    })
}

fn number_equal(want: &Value, got: &Value, rules: Rules) -> bool {
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    match (number(want), number(got)) {
        (Some(want), Some(got)) => {
            let near = (want - got).is_finite() && (want - got).abs() <= rules.tolerance * want.abs().max(got.abs()) + rules.slack;
            want == got || near || (want.is_nan() && got.is_nan())
        }
        _ => false,
    }
}

/// Entries in order; those of one nanosecond in any, unless ties count.
fn entries_equal(what: &str, want: &[Value], got: &[Value], rules: Rules) -> Compared {
    let settled = |entries: &[Value]| {
        let runs = entries.chunk_by(|a, b| a[0] == b[0]);
        let sorted = runs.flat_map(|run| {
            let mut run: Vec<String> = run.iter().map(canonical).collect();
            if rules.ties_in_any_order {
                run.sort();
            }
            run
        });
        sorted.collect::<Vec<_>>()
    };
    let (want, got) = (settled(want), settled(got));
    must(want.len() == got.len(), || format!("{what}: {} entries, expected {}", got.len(), want.len()))?;
    want.iter().zip(&got).try_for_each(|(want, got)| must(want == got, || format!("{what}: {got}, expected {want}")))
}

/// Text that equal values share, however their members are ordered.
fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(path: &str, want: Value, got: Value, rules: Rules, equal: bool) {
        let answer = Answer { status: 200, headers: Vec::new(), body: got.to_string().into_bytes() };
        let vector = json!({"path": path, "expect": {"status": 200, "body_json": want}});
        assert_eq!(compare(&vector, &answer, rules).is_ok(), equal, "{want} and {got}");
    }

    fn vector_of(value: &str) -> Value {
        json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [5, value]}]}})
    }

    #[test]
    fn values_are_equal_within_the_tolerance_of_their_kind() {
        let exact = Rules::default();
        for (one, two, equal) in [
            ("1", "1.0000000001", true),
            ("1", "1.00001", false),
            ("NaN", "NaN", true),
            ("+Inf", "5", false),
            ("+Inf", "+Inf", true),
            ("+Inf", "-Inf", false),
            ("NaN", "0", false),
        ] {
            check("/query", vector_of(one), vector_of(two), exact, equal);
        }
        check("/query", vector_of("100"), vector_of("101"), Rules { tolerance: 0.01, ..exact }, true);
        check("/index/volume", vector_of("100000"), vector_of("105000"), exact, true);
        check("/index/volume", vector_of("100000"), vector_of("120000"), exact, false);
    }

    #[test]
    fn entries_of_one_nanosecond_have_an_order_only_when_ties_count() {
        let streams = |entries: [[&str; 2]; 3]| json!({"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}, "values": entries}]}});
        let (one, tied) = (streams([["1", "a"], ["1", "b"], ["2", "c"]]), streams([["1", "b"], ["1", "a"], ["2", "c"]]));
        check("/query_range", one.clone(), tied.clone(), Rules::default(), true);
        check("/query_range", one.clone(), tied, Rules { ties_in_any_order: false, ..Rules::default() }, false);
        check("/query_range", one.clone(), streams([["2", "c"], ["1", "a"], ["1", "b"]]), Rules::default(), false);
        check("/query_range", one, streams([["1", "a"], ["1", "a"], ["2", "c"]]), Rules::default(), false);
    }
}
