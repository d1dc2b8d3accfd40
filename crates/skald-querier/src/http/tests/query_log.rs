//! What the log says of requests.

use super::*;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

/// The one line that a request leaves.
async fn line_of(world: &World, path: &str, parameters: &str) -> serde_json::Value {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone()).finish();
    let listening = tracing::subscriber::set_default(subscriber);
    ask(world, path, parameters).await;
    drop(listening);
    let bytes = log.0.lock().expect("nobody panics").clone();
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path}: {error}: {}", String::from_utf8_lossy(&bytes)))
}

#[tokio::test]
async fn the_line_of_a_request_says_what_it_read_and_returned() {
    let world = world(Limits::default());
    let all = r#"{app=~".+"}"#;
    let query = format!("query={}", escaped(all));
    let in_turn = [
        // Its kind, lines read, bytes read, entries or the like in the answer.
        ("query_range", "log", 3, 64, 3),
        ("labels", "metadata", 0, 0, 2),
        ("label/app/values", "metadata", 0, 0, 2),
        ("series", "metadata", 0, 0, 2),
        ("index/stats", "metadata", 3, 64, 0),
        ("index/volume", "metadata", 3, 64, 2),
        ("index/volume_range", "metadata", 3, 64, 2),
        ("patterns", "patterns", 6, 128, 0),
        ("detected_labels", "metadata", 0, 0, 2),
        ("detected_fields", "log", 3, 64, 3),
    ];
    for (path, kind, lines, bytes, returned) in in_turn {
        let parameters = if path == "series" { format!("match[]={}", escaped(all)) } else { query.clone() };
        let line = line_of(&world, &format!("/loki/api/v1/{path}"), &parameters).await;
        let found = ["status", "lines", "bytes", "returned"].map(|name| line[name].as_u64().expect("a number"));
        assert_eq!(found, [200, lines, bytes, returned], "{path}");
        let found = ["kind", "tenant", "query", "error", "range"].map(|name| line[name].as_str().expect("text"));
        assert_eq!(found, [kind, "t", all, "", "3600s"], "{path}");
        assert_eq!((&line["complete"], &line["message"]), (&true.into(), &"query ended".into()), "{path}");
    }
}

#[tokio::test]
async fn the_line_of_a_request_that_fails_says_why() {
    let world = world(Limits { max_query_length: std::time::Duration::from_secs(60), ..Limits::default() });
    let too_long = "the query time range exceeds the limit (query length: 1h0m0s, limit: 1m)";
    for path in ["query_range", "labels", "series", "index/stats", "index/volume", "patterns", "detected_fields"] {
        let line = line_of(&world, &format!("/loki/api/v1/{path}"), &format!("query={}", escaped(r#"{app="a"}"#))).await;
        assert_eq!((&line["status"], &line["error"], &line["complete"]), (&400.into(), &too_long.into(), &false.into()), "{path}");
    }
    let line = line_of(&world, "/loki/api/v1/query_range", "query=anything&limit=-1").await;
    assert_eq!((&line["error"], &line["query"]), (&"limit must be a positive value".into(), &"anything".into()));
    let line = line_of(&world, "/loki/api/v1/tail", "query=nonsense").await;
    let why = "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER";
    assert_eq!((&line["status"], &line["error"], &line["kind"]), (&400.into(), &why.into(), &"tail".into()));
}

#[tokio::test]
async fn an_answer_with_a_warning_is_not_complete() {
    let mut world = world(Limits::default());
    let streams = [(labels(&[("app", "c")]), rows(&[(START * 1_000_000_000, "three")]))];
    world.store(&tenant("t"), &streams, 1 << 20);
    world.damage_objects();
    for path in ["query_range", "labels", "series", "index/stats", "index/volume", "patterns", "detected_labels"] {
        let line = line_of(&world, &format!("/loki/api/v1/{path}"), &format!("query={}", escaped(r#"{app=~".+"}"#))).await;
        let found = (&line["status"], &line["complete"], &line["warnings"]);
        assert_eq!(found, (&200.into(), &false.into(), &1.into()), "{path}");
    }
}
