//! When an answer equals a recorded one.

use integration_tests::Answer;
use serde_json::Value;
use std::collections::BTreeMap;

/// What an answer is that is not wrong.
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

/// Compares `answer` with what `vector` expects.
pub fn compare(vector: &Value, answer: &Answer) -> Result<Verdict, String> {
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
    json_equal(vector["path"].as_str().unwrap(), vector["order"] == true, body, &json)?;
    Ok(Verdict::Equal)
}

/// The text of an error, what depends on the time of the request taken out.
fn without_times(text: &str) -> String {
    let split = if text.contains("too old") { text.split_once("oldest acceptable timestamp is: ") } else { None };
    let Some((before, after)) = split else { return text.to_owned() };
    let rest = after.find([' ', '\n']).map_or("", |at| &after[at..]);
    format!("{before}oldest acceptable timestamp is: <time>{rest}")
}

fn json_equal(path: &str, ordered: bool, want: &Value, got: &Value) -> Compared {
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
            let values = if path.contains("/index/volume") { about_equal } else { number_equal };
            data_equal(ordered, values, want, got)?;
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

fn data_equal(ordered: bool, equal: Values, want: &Value, got: &Value) -> Compared {
    must(want["resultType"] == got["resultType"], || format!("resultType {}", got["resultType"]))?;
    must(want.get("encodingFlags") == got.get("encodingFlags"), || format!("encodingFlags {:?}", got.get("encodingFlags")))?;
    let (wants, gots) = (&want["result"], &got["result"]);
    let single = |row: &Value| vec![row["value"].clone()];
    match want["resultType"].as_str().unwrap() {
        "scalar" => points_equal("scalar", equal, std::slice::from_ref(wants), std::slice::from_ref(gots)),
        "streams" => rows_equal("stream", wants, gots, |name, want, got| entries_equal(name, list(want), list(got))),
        "vector" => {
            if ordered {
                let values = |rows: &Value| list_of(rows).iter().map(|row| row["value"].clone()).collect::<Vec<_>>();
                points_equal("in order", equal, &values(wants), &values(gots))?;
            }
            rows_equal("metric", wants, gots, |name, want, got| points_equal(name, equal, &single(want), &single(got)))
        }
        _ => rows_equal("metric", wants, gots, |name, want, got| points_equal(name, equal, list(want), list(got))),
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
fn points_equal(what: &str, equal: Values, want: &[Value], got: &[Value]) -> Compared {
    must(want.len() == got.len(), || format!("{what}: {} points, expected {}", got.len(), want.len()))?;
    want.iter().zip(got).try_for_each(|(want, got)| {
        let time = want[0].as_f64().is_some() && want[0].as_f64() == got[0].as_f64();
        must(time && equal(&want[1], &got[1]), || format!("{what}: {got}, expected {want}"))
    })
}

/// Whether a value is as good as the recorded one.
type Values = fn(&Value, &Value) -> bool;

fn number(value: &Value) -> Option<f64> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// Volumes: how bytes are kept is the server's own business.
fn about_equal(want: &Value, got: &Value) -> bool {
    matches!((number(want), number(got)), (Some(want), Some(got)) if (want - got).abs() <= 0.05 * want + 1024.0)
}

fn number_equal(want: &Value, got: &Value) -> bool {
    match (number(want), number(got)) {
        (Some(want), Some(got)) => {
            let near = (want - got).abs() <= (1e-9 * want.abs().max(got.abs())).max(1e-12);
            want == got || near || (want.is_nan() && got.is_nan())
        }
        _ => false,
    }
}

/// Entries in order; those of one nanosecond in any.
fn entries_equal(what: &str, want: &[Value], got: &[Value]) -> Compared {
    let settled = |entries: &[Value]| {
        let runs = entries.chunk_by(|a, b| a[0] == b[0]);
        let sorted = runs.flat_map(|run| {
            let mut run: Vec<String> = run.iter().map(canonical).collect();
            run.sort();
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
