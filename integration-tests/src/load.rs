//! Pushes of unique lines, and whether all of them are there.

use crate::{GENEROUS, Server, entries, now_ns, push_body};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const HOUR_NS: i64 = 3_600_000_000_000;
const THREADS: usize = 4;
/// Entries of one push.
pub const BATCH: usize = 25;

/// A configuration without limits on rates and on the entries of an answer.
pub fn unlimited() -> String {
    format!("{GENEROUS}  max_entries_limit_per_query: 0\n")
}

/// Everything in the streams of `job`, by line. Lines are unique, so that one that comes twice is seen.
#[track_caller]
pub fn lines(server: &Server, job: &str, start: i64) -> BTreeSet<String> {
    let answer = select_all(server, &format!("{{job=\"{job}\"}}"), start);
    let entries = entries(&answer);
    let lines: BTreeSet<String> = entries.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(lines.len(), entries.len(), "entries come twice");
    assert!(answer.get("warnings").is_none(), "{}", answer["warnings"]);
    assert_eq!(server.total(&format!("sum(count_over_time({{job=\"{job}\"}}[2h]))")), lines.len() as f64);
    assert_eq!(server.total(&format!("sum(count_over_time({{job=\"{job}\"}} |= \"entry\" [2h]))")), lines.len() as f64);
    lines
}

/// Every entry that `query` finds in the two hours from `start`.
#[track_caller]
pub fn select_all(server: &Server, query: &str, start: i64) -> serde_json::Value {
    let (start, end) = (start.to_string(), (start + 2 * HOUR_NS).to_string());
    let params = [("query", query), ("start", &start), ("end", &end), ("limit", "1000000"), ("direction", "forward")];
    server.ask("/loki/api/v1/query_range", &params).json()
}

/// Pushes from several threads until the server is gone; calls `at` with the number of batches acknowledged so far.
/// Returns the lines of acknowledged batches.
pub fn push_until_gone(server: &Server, round: usize, at: impl Fn(usize) + Sync) -> BTreeSet<String> {
    let (acknowledged, batches) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (acknowledged, batches, at) = (&acknowledged, &batches, &at);
            scope.spawn(move || {
                for batch in 0.. {
                    let stream = format!("{}", batch % 3);
                    let now = now_ns();
                    let new: Vec<(i64, String)> =
                        (0..BATCH).map(|i| (now + i as i64, format!("entry {round}.{thread}.{batch}.{i}"))).collect();
                    let body = push_body(&[("job", "load"), ("stream", &stream)], &new);
                    match server.call("POST", "/loki/api/v1/push", &[("content-type", "application/json")], body.as_bytes()) {
                        Ok(answer) if answer.status == 204 => {
                            acknowledged.lock().unwrap().extend(new.into_iter().map(|(_, line)| line));
                            at(batches.fetch_add(1, Ordering::SeqCst) + 1);
                        }
                        // A process that stops refuses before it is gone.
                        Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                        Err(_) => return,
                    }
                }
            });
        }
    });
    acknowledged.into_inner().unwrap()
}

/// Every acknowledged line is there, and no line twice.
#[track_caller]
pub fn check_acknowledged(server: &Server, acknowledged: &BTreeSet<String>, start: i64, when: &str) {
    let found = lines(server, "load", start);
    let lost: Vec<_> = acknowledged.difference(&found).take(5).collect();
    assert!(lost.is_empty(), "acknowledged and not there {when}: {lost:?}");
}
