//! Recorded requests get the recorded answers: from memory, from data objects, and after another start. See `golden/README.md`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on a real process and files")]

use integration_tests::golden::{Rules, Verdict, compare};
use integration_tests::{Answer, Server, files_below};
use serde_json::Value;
use skald_testkit::S3Server;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Vectors of errors that are told in other words than the recorded ones: mostly what a JSON library says of bad JSON.
const OTHER_TEXTS: [&str; 9] = [
    "dev-limits-023",
    "dev-otlp-009",
    "dev-push-007",
    "dev-push-008",
    "dev-push-009",
    "dev-push-011",
    "dev-push-012",
    "dev-push-013",
    "dev-push-015",
];

/// Whether a vector changes what is stored, or depends on those of its group that do and were just asked: it is asked once.
fn is_push(vector: &Value) -> bool {
    vector["group"] == "push" || vector["path"] == "/otlp/v1/logs"
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn json_lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn vectors() -> Vec<Value> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder().join("vectors")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| json_lines(path)).collect()
}

fn body(vector: &Value) -> Vec<u8> {
    let hex = vector["body_hex"].as_str().unwrap_or_default().as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    match vector["body"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect(),
    }
}

fn ask(server: &Server, vector: &Value) -> Answer {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pairs = vector["params"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1])));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let path = text(&vector["path"]) + if query.is_empty() { "" } else { "?" } + &query;
    let headers: Vec<(&str, &str)> =
        vector["headers"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    server.call(vector["method"].as_str().unwrap(), &path, &headers, &body(vector)).unwrap()
}

/// Asks all vectors that `wanted` names and compares all answers before it fails.
#[track_caller]
fn check(server: &Server, vectors: &[Value], wanted: impl Fn(&Value) -> bool, when: &str) {
    let (mut wrong, mut asked, mut other_texts) = (Vec::new(), 0, BTreeSet::new());
    for vector in vectors.iter().filter(|vector| wanted(vector)) {
        asked += 1;
        let (id, query) = (vector["id"].as_str().unwrap(), &vector["params"]);
        match compare(vector, &ask(server, vector), Rules::default()) {
            Ok(Verdict::Equal) => {}
            Ok(Verdict::OtherText) => {
                other_texts.insert(id);
            }
            Err(why) => wrong.push(format!("{id} {query}: {why}")),
        }
    }
    assert!(asked > 100, "only {asked} vectors");
    assert!(wrong.is_empty(), "{} of {asked} {when}:\n{}", wrong.len(), wrong.join("\n"));
    let new: Vec<_> = other_texts.iter().filter(|id| !OTHER_TEXTS.contains(id)).collect();
    assert!(new.is_empty(), "texts that were the recorded ones before, {when}: {new:?}");
}

/// A server with the recorded configuration and this before it, which holds the dataset.
fn filled(storage: &str, prepare: impl Fn(Server) -> Server) -> Server {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let mut server = prepare(Server::stopped(&format!("{storage}{}", read("skald.yaml"))));
    std::fs::write(server.path().join("overrides.yaml"), read("overrides.yaml")).unwrap();
    server.restart();
    for push in json_lines(&folder().join("dataset.jsonl")) {
        server.push(push["tenant"].as_str().unwrap(), &push["body"].to_string());
    }
    server
}

#[test]
fn recorded_requests_get_the_recorded_answers() {
    let mut server = filled("", |server| server);
    let vectors = vectors();
    check(&server, &vectors, |_| true, "in memory");
    server.flush();
    check(&server, &vectors, |vector| !is_push(vector), "after a flush");
    server.kill();
    server.restart();
    check(&server, &vectors, |vector| !is_push(vector), "after the next start");
}

#[test]
fn recorded_requests_get_the_recorded_answers_from_a_bucket() {
    let remote = S3Server::start();
    remote.create_bucket("logs");
    let storage = format!("storage:\n  url: s3://logs/golden\n  s3:\n    endpoint: {}\n", remote.endpoint());
    let keys =
        |server: Server| server.variable("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY).variable("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
    let mut server = filled(&storage, keys);
    let vectors = vectors();
    // Pushes among them change what later ones are answered.
    check(&server, &vectors, |_| true, "in memory");
    server.flush();
    assert!(server.terminate().success());
    assert!(files_below(&server.data_dir().join("objects")).iter().all(|file| !file.to_string_lossy().contains("/incoming/")));
    std::fs::remove_dir_all(server.data_dir().join("cache")).unwrap();
    server.restart();
    check(&server, &vectors, |vector| !is_push(vector), "from the bucket");
    assert!(server.metric("skald_store_s3_received_bytes_total") > 0.0);
}
