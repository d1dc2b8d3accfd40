//! Patterns on the real process: their counts are those of the lines, from memory and from data objects.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on a real process")]

use integration_tests::{GENEROUS, Server, vector_values};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PATTERNS: &str = "/loki/api/v1/patterns";
/// 2026-01-15T00:00:00Z.
const START: i64 = 1_768_435_200;
const SECONDS: i64 = 1800;

/// Lines of several kinds, one of each kind each second.
fn lines(second: i64) -> Vec<String> {
    let user = ["ada", "bo", "cy", "di", "ed", "fay", "gus", "hal", "ida", "jo", "kay", "lee"][second as usize % 12];
    let path = ["/api/v1/orders", "/login", "/static/app.js"][second as usize % 3];
    let level = if second % 10 == 0 { "error" } else { "info" };
    vec![
        format!("level={level} request {second} took {}ms", second * 7 % 100),
        format!(r#"{{"level":"{level}","msg":"order placed","user":"{user}","total":{}}}"#, second * 31),
        format!(r#"10.0.0.{} - {user} [15/Jan/2026:00:00:00 +0000] "GET {path}?id={second} HTTP/1.1" 200 {}"#, second % 250, second * 3),
        format!("user {user} logged in from 10.1.{}.{}", second % 7, second % 250),
        format!("panic: worker {second} failed\n at line {}\n at <main> \"x\\y\" {}", second % 5, second + 1),
        format!("retry no {second} of <_> at Thu Jan 15 00:00:{:02} 2026 ", second % 60),
    ]
}

fn server() -> Server {
    let server = Server::start(GENEROUS);
    let mut values: Vec<Value> = Vec::new();
    for second in 0..SECONDS {
        let at = ((START + second) * 1_000_000_000).to_string();
        values.extend(lines(second).into_iter().map(|line| json!([at, line])));
    }
    // The rare ones are no patterns.
    values.extend((0..29).map(|n| json!([((START + n) * 1_000_000_000).to_string(), format!("rarely seen, {n}")])));
    for (app, values) in [("one", &values[..values.len() / 2]), ("two", &values[values.len() / 2..])] {
        server.push("", &json!({"streams": [{"stream": {"app": app}, "values": values}]}).to_string());
    }
    server
}

/// Lines by level and pattern.
fn counts(server: &Server, query: &str, step: &str) -> BTreeMap<(String, String), i64> {
    let (start, end) = (START.to_string(), (START + SECONDS).to_string());
    let answer = server.ask(PATTERNS, &[("query", query), ("start", &start), ("end", &end), ("step", step)]).json();
    assert_eq!((&answer["status"], answer.as_object().unwrap().len()), (&json!("success"), 2), "{answer}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut counts = BTreeMap::new();
    for pattern in answer["data"].as_array().unwrap() {
        let samples = pattern["samples"].as_array().unwrap();
        let times: Vec<i64> = samples.iter().map(|sample| sample[0].as_i64().unwrap()).collect();
        assert!(times.is_sorted() && times.iter().all(|at| at % 10 == 0 && (START..START + SECONDS).contains(at)), "{pattern}");
        let lines = samples.iter().map(|sample| sample[1].as_i64().unwrap()).sum();
        assert!(counts.insert((text(&pattern["level"]), text(&pattern["pattern"])), lines).is_none(), "twice: {pattern}");
    }
    counts
}

/// Number of entries of a level that a pattern matches as a line filter.
fn matching(server: &Server, level: &str, pattern: &str) -> i64 {
    let query = format!("sum(count_over_time({{app=~\".+\"}} | detected_level=\"{level}\" |> {} [{SECONDS}s]))", json!(pattern));
    let at = (START * 1000 + SECONDS * 1000 - 1).to_string() + "000000";
    vector_values(&server.ask("/loki/api/v1/query", &[("query", &query), ("time", &at)]).json()).iter().sum::<f64>() as i64
}

#[test]
fn patterns_count_the_lines_that_they_match() {
    let mut server = server();
    let all = counts(&server, "{app=~\".+\"}", "1m");
    let errors = SECONDS / 10;
    let of = |level: &str, pattern: &str| all.get(&(level.to_owned(), pattern.to_owned())).copied();
    assert_eq!(of("info", "level=info request <_> took <_>"), Some(SECONDS - errors), "{all:#?}");
    assert_eq!(of("error", "level=error request <_> took <_>"), Some(errors));
    assert_eq!(of("info", r#"{"level":"info","msg":"order placed","user":"<_>","total":<_>}"#), Some(SECONDS - errors));
    assert_eq!(of("unknown", "user <_> logged in from <_>"), Some(SECONDS));
    assert_eq!(all.values().sum::<i64>(), 6 * SECONDS, "each line once, without the rare ones: {all:#?}");
    for ((level, pattern), lines) in &all {
        assert_eq!(matching(&server, level, pattern), *lines, "{level} {pattern}");
    }
    assert_eq!(counts(&server, "{app=~\".+\"}", "10s"), all, "whatever the step");
    assert_eq!(counts(&server, "{app=~\".+\"} |= \"logged in\"", "1m").into_values().collect::<Vec<_>>(), [SECONDS]);
    server.flush();
    assert_eq!(counts(&server, "{app=~\".+\"}", "1m"), all, "from data objects");
    server.kill();
    server.restart();
    assert_eq!(counts(&server, "{app=~\".+\"}", "3600"), all, "after the next start");
}

#[test]
fn what_is_no_question_for_patterns_is_refused() {
    let server = Server::start(GENEROUS);
    let refused = |params: &[(&str, &str)]| {
        let answer = server.ask(PATTERNS, params);
        assert_eq!(answer.status, 400, "{}", answer.text());
        answer.text().to_owned()
    };
    assert_eq!(refused(&[("query", "rate({app=\"x\"}[1m])")]), "only log selector is supported");
    assert_eq!(refused(&[("query", "{app=\"x\"}"), ("step", "bogus")]), "cannot parse \"bogus\" to a valid duration");
    assert_eq!(
        refused(&[("query", "{app=\"x\"}"), ("start", "2"), ("end", "1")]),
        "end timestamp must not be before or equal to start time"
    );
    assert_eq!(server.post_form(PATTERNS, &[("query", "{app=\"x\"}")]).json(), json!({"status": "success", "data": []}));
}
