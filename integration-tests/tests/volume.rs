//! Volumes, index statistics, and requests of any size, on the real process.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on a real process and real sockets")]

use integration_tests::{GENEROUS, Server, entries, flip_byte, only_file_below};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// 2026-01-15T00:00:00Z.
const START: i64 = 1_768_435_200;
const VOLUME: &str = "/loki/api/v1/index/volume";
const VOLUME_RANGE: &str = "/loki/api/v1/index/volume_range";

/// Two streams with an entry every 10 s of an hour; entry `i` has a line of 10 + i % 7 bytes and, of app `web`, metadata of 4 + 2 bytes.
fn push(server: &Server, from: i64, to: i64) {
    let at = |i: i64| ((START + i * 10) * 1_000_000_000).to_string();
    let line = |i: i64| "x".repeat(10 + (i % 7) as usize);
    let web: Vec<Value> = (from..to).map(|i| json!([at(i), line(i), {"code": format!("{:02}", i % 50)}])).collect();
    let db: Vec<Value> = (from..to).map(|i| json!([at(i), line(i)])).collect();
    let body = json!({"streams": [
        {"stream": {"app": "web", "env": "prod"}, "values": web},
        {"stream": {"app": "db", "env": "prod"}, "values": db},
    ]});
    server.push("", &body.to_string());
}

/// Bytes of the entries from second `from` to second `to` (inside), `more` beside each line.
fn bytes(from: i64, to: i64, more: i64) -> i64 {
    (0..360).filter(|i| (from..=to).contains(&(i * 10))).map(|i| 10 + i % 7 + more).sum()
}

fn ask(server: &Server, path: &str, span: (i64, i64), more: &[(&str, &str)]) -> Value {
    let (start, end) = ((START + span.0).to_string(), (START + span.1).to_string());
    server.ask(path, &[&[("query", "{app=~\".+\"}"), ("start", &start), ("end", &end)], more].concat()).json()
}

/// Apps and values of a vector.
fn vector(answer: &Value) -> Vec<(String, i64)> {
    let of = |row: &Value| (row["metric"]["app"].as_str().unwrap().to_owned(), row["value"][1].as_str().unwrap().parse().unwrap());
    answer["data"]["result"].as_array().unwrap().iter().map(of).collect()
}

/// Entries from second `from` to second `to` (inside).
fn count(from: i64, to: i64) -> i64 {
    bytes(from, to, 1) - bytes(from, to, 0)
}

#[test]
fn volumes_and_statistics_are_exact_in_memory_and_split_evenly_in_objects() {
    let server = Server::start(GENEROUS);
    // Of what a border of time cuts, objects know the number of bytes, and not where they lie: lines have 10 to 16.
    let check = |when: &str, slack: i64| {
        let is_near = |found: i64, want: i64| (found - want).abs() <= slack;
        for span in [(0, 3600), (5, 1234), (600, 600), (1, 9)] {
            let found = vector(&ask(&server, VOLUME, span, &[]));
            let want = [("web", bytes(span.0, span.1, 8 + 6)), ("db", bytes(span.0, span.1, 8))];
            let want: Vec<_> = want.map(|(app, bytes)| (app.to_owned(), bytes)).into_iter().filter(|(_, bytes)| *bytes > 0).collect();
            let equal = found.iter().zip(&want).all(|(found, want)| found.0 == want.0 && is_near(found.1, want.1));
            assert!(found.len() == want.len() && equal, "{when} {span:?}: {found:?}, not {want:?}");
            let stats = ask(&server, "/loki/api/v1/index/stats", span, &[]);
            let entries = count(span.0, span.1);
            assert_eq!(stats["entries"], json!(2 * entries), "{when} {span:?}");
            assert!(is_near(stats["bytes"].as_i64().unwrap(), 2 * bytes(span.0, span.1, 0)), "{when} {span:?}: {stats}");
            assert_eq!(stats["streams"], json!(if entries > 0 { 2 } else { 0 }), "{when} {span:?}");
        }
        let found = ask(&server, VOLUME_RANGE, (0, 3600), &[("step", "1000"), ("targetLabels", "env")]);
        let edges = [(0, 799, 799.999), (800, 1799, 1799.999), (1800, 2799, 2799.999), (2800, 3600, 3600.0)];
        let points = found["data"]["result"][0]["values"].as_array().unwrap();
        assert_eq!(points.len(), edges.len(), "{when}: {found}");
        let mut sum = 0;
        for (point, (from, to, stamp)) in points.iter().zip(edges) {
            let value: i64 = point[1].as_str().unwrap().parse().unwrap();
            assert_eq!(point[0].as_f64(), Some(START as f64 + stamp), "{when}");
            assert!(is_near(value, bytes(from, to, 14) + bytes(from, to, 8)), "{when} {from}: {value}");
            sum += value;
        }
        assert_eq!(sum, bytes(0, 3600, 14) + bytes(0, 3600, 8), "{when}: what borders cut adds up to what there is");
    };
    push(&server, 0, 360);
    check("in memory", 0);
    push(&server, 100, 200);
    check("with repeated entries in memory", 0);
    server.flush();
    check("in an object", 24);
}

#[test]
fn entries_of_two_objects_that_overlap_count_in_each() {
    let server = Server::start(GENEROUS);
    push(&server, 0, 360);
    server.flush();
    push(&server, 100, 200);
    let again = [("web", bytes(0, 3600, 14) + bytes(1000, 1999, 14)), ("db", bytes(0, 3600, 8) + bytes(1000, 1999, 8))];
    let again = again.map(|(app, bytes)| (app.to_owned(), bytes));
    let found = ask(&server, VOLUME, (0, 3600), &[]);
    assert_eq!(vector(&found), again, "{}", found["data"]["stats"]);
    server.flush();
    assert_eq!(vector(&ask(&server, VOLUME, (0, 3600), &[])), again);
}

#[test]
fn a_volume_that_misses_entries_says_so() {
    let server = Server::start(GENEROUS);
    push(&server, 0, 360);
    server.flush();
    // In the directory, which stands before the trailer.
    let object = only_file_below(&server.data_dir().join("objects/fake"));
    flip_byte(&object, std::fs::metadata(&object).unwrap().len() as usize - 150);
    let found = ask(&server, VOLUME, (5, 1234), &[]);
    assert!(found["warnings"][0].as_str().unwrap().starts_with("entries are missing from this answer: "), "{found}");
    assert!(vector(&found).len() < 2);
    let stats = ask(&server, "/loki/api/v1/index/stats", (5, 1234), &[]);
    assert!(stats["warnings"][0].is_string(), "{stats}");
}

#[test]
fn the_command_line_shows_volumes() {
    let server = Server::start(GENEROUS);
    push(&server, 0, 360);
    let span = ["--from", "2026-01-15T00:00:00Z", "--to", "2026-01-15T01:00:00Z"];
    let run = |args: &[&str]| -> Value { serde_json::from_slice(&server.cli(&[args, &span].concat()).ok()).unwrap() };
    let want = json!([{"metric": {"env": "prod"}, "value": [START + 3600, (bytes(0, 3600, 14) + bytes(0, 3600, 8)).to_string()]}]);
    assert_eq!(run(&["volume", "{}", "--targetLabels", "env"]), want);
    let found = run(&["volume_range", "{app=\"db\"}", "--step", "30m"]);
    assert_eq!(found[0]["values"].as_array().unwrap().len(), 2, "{found}");
    let found = run(&["volume", "{}", "--aggregateByLabels", "--limit", "1"]);
    assert_eq!(found[0]["metric"], json!({"app": ""}));
}

/// Sends a whole request before it reads the answer.
fn raw(server: &Server, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address().strip_prefix("http://").unwrap()).unwrap();
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn long_urls_and_large_forms_are_answered_and_what_is_larger_is_refused_in_words() {
    let server = Server::start(GENEROUS);
    push(&server, 0, 360);
    let path = "/loki/api/v1/query_range";
    // As a variable of a dashboard with thousands of values makes them.
    let parameters = |len: usize| {
        let begin = format!("start={START}&end={}&limit=3&query=%7Bapp%3D~%22db", START + 3600);
        let mut values: String = (0..len / 10).map(|i| format!("%7Cv{i:06}")).collect();
        values.truncate(len - begin.len() - "%22%7D".len());
        let cut = values.trim_end_matches(|c| c != 'v').len();
        let parameters = format!("{begin}{}%22%7D", &values[..cut]);
        format!("{parameters}{}", "+".repeat(len - parameters.len()))
    };
    let get = |len: usize| {
        let request = format!("GET {path}?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", parameters(len - path.len() - 1));
        raw(&server, request.as_bytes())
    };
    let found = get(65_000);
    let body: Value = serde_json::from_str(found.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(entries(&body).len(), 3);
    for len in [65_535, 200_000, 3 << 20] {
        let found = get(len);
        assert!(found.starts_with("HTTP/1.1 414") && found.contains("\r\n\r\nthe URL is longer than 65534 bytes;"), "{len}: {found}");
    }
    let post = |len: usize| {
        let form = format!("{}&x={}", parameters(1000), "z".repeat(len - 1003));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n\r\n"
        );
        raw(&server, &[head.as_bytes(), form.as_bytes()].concat())
    };
    assert!(post(10 << 20).starts_with("HTTP/1.1 200"));
    for len in [(10 << 20) + 1, 40 << 20] {
        let found = post(len);
        assert!(found.starts_with("HTTP/1.1 413") && found.ends_with("\r\n\r\nthe request body is larger than 10485760 bytes"), "{found}");
    }
}
