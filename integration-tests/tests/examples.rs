//! Small worked examples of the query language, end to end: each is pushed, asked and answered from memory, and once more from data objects.
//! They lie in `examples/`, a JSON object on each line.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on a real process and files")]

use integration_tests::{Answer, GENEROUS, Server};
use serde_json::{Value, json};
use std::path::Path;

const SECOND: i64 = 1_000_000_000;

fn examples(name: &str, at_least: usize) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(all.len() >= at_least, "only {} examples", all.len());
    all
}

/// A server that adds no label to what is pushed.
fn server() -> Server {
    Server::start(&format!("auth_enabled: true\n{GENEROUS}  discover_log_levels: false\n  discover_service_name: []\n"))
}

fn ask(server: &Server, tenant: &str, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("x-scope-orgid", tenant)], headers].concat();
    server.ask_with(&format!("/loki/api/v1/{path}"), params, &headers)
}

fn push(server: &Server, tenant: &str, labels: &Value, entries: &[(i64, String)]) {
    let values: Vec<Value> = entries.iter().map(|(at, line)| json!([at.to_string(), line])).collect();
    server.push(tenant, &json!({"streams": [{"stream": labels, "values": values}]}).to_string());
}

/// The text of the example's query.
fn query(example: &Value) -> &str {
    example["query"].as_str().unwrap()
}

#[test]
fn log_queries_give_the_streams_of_the_examples() {
    let (server, examples) = (server(), examples("log.jsonl", 55));
    for (i, example) in examples.iter().enumerate() {
        let lines = example["lines"].as_array().unwrap().iter().enumerate();
        let entries: Vec<(i64, String)> = lines.map(|(i, line)| ((i as i64 + 1) * SECOND, line.as_str().unwrap().to_owned())).collect();
        push(&server, &format!("example-{i}"), &json!({"job": "web"}), &entries);
    }
    for when in ["in memory", "flushed"] {
        for (i, example) in examples.iter().enumerate() {
            let params = [("query", query(example)), ("start", "0"), ("end", "1000"), ("direction", "forward")];
            let answer = ask(&server, &format!("example-{i}"), "query_range", &params, &[]).json();
            let lines = |stream: &Value| stream["values"].as_array().unwrap().iter().map(|value| value[1].clone()).collect::<Value>();
            let streams = answer["data"]["result"].as_array().unwrap().iter();
            let found: Value = streams.map(|stream| json!({"labels": stream["stream"], "lines": lines(stream)})).collect();
            assert_eq!(found, example["streams"], "{} {when}", query(example));
        }
        server.flush();
    }
}

#[test]
fn metric_queries_give_the_samples_of_the_examples() {
    let (server, examples) = (server(), examples("metric.jsonl", 59));
    let logfmt = |values: &[(i64, i64)]| values.iter().map(|(value, at)| (at * SECOND, format!("v={value}"))).collect::<Vec<_>>();
    push(&server, "values", &json!({"app": "a", "z": "1"}), &logfmt(&[(1, 1000), (2, 1010), (4, 1020), (3, 1030), (10, 1060)]));
    push(&server, "values", &json!({"app": "b", "z": "2"}), &logfmt(&[(7, 1005), (5, 1030)]));
    push(&server, "values", &json!({"app": "c", "z": "1"}), &logfmt(&[(1, 1050)]));
    let broken = [(1010, "{\"l\":\"x\"}"), (1020, "bad"), (1030, "{\"l\":\"y\"} z")];
    push(&server, "broken", &json!({"app": "a"}), &broken.map(|(at, line)| (at * SECOND, line.to_owned())));
    for when in ["in memory", "flushed"] {
        for example in &examples {
            let number = |of: &Value| of.as_i64().unwrap().to_string();
            let tenant = example["data"].as_str().unwrap();
            let answer = match &example["range"] {
                Value::Null => ask(&server, tenant, "query", &[("query", query(example)), ("time", &number(&example["at"]))], &[]),
                range => {
                    let (start, end, step) = (number(&range[0]), number(&range[1]), number(&range[2]));
                    let params = [("query", query(example)), ("start", &*start), ("end", &end), ("step", &step)];
                    ask(&server, tenant, "query_range", &params, &[])
                }
            };
            check(example, &answer, when);
        }
        server.flush();
    }
}

#[track_caller]
fn check(example: &Value, answer: &Answer, when: &str) {
    let told = format!("{} {when}: {}", query(example), answer.text());
    if let Some(error) = example["error"].as_str() {
        assert!(answer.status == 400 && answer.text().starts_with(error), "{told}");
        return;
    }
    let data = &answer.json()["data"];
    if let Some(want) = example.get("scalar") {
        assert!(data["resultType"] == "scalar" && data["result"][1] == *want, "{told}");
        return;
    }
    let kind = if example["range"].is_null() { "vector" } else { "matrix" };
    assert_eq!(data["resultType"], kind, "{told}");
    let (want, found) = (example[kind].as_array().unwrap(), data["result"].as_array().unwrap());
    assert_eq!(want.len(), found.len(), "{told}");
    for (want, found) in want.iter().zip(found) {
        assert_eq!(want["metric"], found["metric"], "{told}");
        let points = |of: &Value| of["values"].as_array().cloned().unwrap_or_else(|| vec![of["value"].clone()]);
        let at = example["at"].clone();
        for (want, found) in points(want).into_iter().zip(points(found)) {
            let want = if kind == "vector" { json!([at, want]) } else { want };
            assert!(want[0] == found[0] && near(&want[1], &found[1]), "{want} {told}");
        }
        assert_eq!(points(want).len(), points(found).len(), "{told}");
    }
}

fn near(want: &Value, found: &Value) -> bool {
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    want == found || (number(want) - number(found)).abs() <= 1e-9 * number(want).abs()
}

#[test]
fn structured_metadata_is_named_and_categorised_as_in_the_examples() {
    let (server, examples) = (server(), examples("metadata.jsonl", 9));
    let entry = json!([SECOND.to_string(), "{\"sl\":\"p\",\"md\":\"p\",\"x\":\"p\"}", {"md": "m", "sl": "m2"}]);
    server.push("t", &json!({"streams": [{"stream": {"job": "web", "sl": "s"}, "values": [entry]}]}).to_string());
    for when in ["in memory", "flushed"] {
        for example in &examples {
            let flags = example.get("entry").map(|_| ("x-loki-response-encoding-flags", "categorize-labels"));
            let params = [("query", query(example)), ("start", "0"), ("end", "1000")];
            let answer = ask(&server, "t", "query_range", &params, flags.as_slice()).json();
            let stream = &answer["data"]["result"][0];
            assert_eq!(stream["stream"], example["stream"], "{} {when}", query(example));
            assert_eq!(stream["values"][0].get(2), example.get("entry"), "{} {when}", query(example));
        }
        server.flush();
    }
}
