//! Live tails of the real process, by websocket and by command line.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes and sockets")]

use integration_tests::{Forwarder, Frame, GENEROUS, Server, Tail, Tailed, now_ns, push_body, start_skald, tailed, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ALL: &str = "{job=\"t\"}";
const BATCH: usize = 20;

fn unlimited() -> String {
    format!("{GENEROUS}  max_entries_limit_per_query: 0\n")
}

/// Pushes lines of one stream of the job, each a nanosecond after the one before.
#[track_caller]
fn push(server: &Server, lines: &[&str]) -> i64 {
    let now = now_ns();
    let entries: Vec<(i64, &str)> = lines.iter().enumerate().map(|(i, line)| (now + i as i64, *line)).collect();
    server.push("", &push_body(&[("job", "t")], &entries));
    now
}

fn lines(entries: &[Tailed]) -> Vec<&str> {
    entries.iter().map(|entry| entry.line.as_str()).collect()
}

/// A tail that is read by a thread of its own until the line `end` came.
fn follow(mut tail: Tail) -> std::thread::JoinHandle<Vec<Tailed>> {
    std::thread::spawn(move || {
        let mut entries = Vec::new();
        while entries.last().is_none_or(|last: &Tailed| last.line != "end") {
            entries.extend(tail.entries(1));
        }
        tail.leave();
        entries
    })
}

#[test]
fn history_and_live_entries_come_once_and_without_a_gap_under_load() {
    let server = Server::start(&unlimited());
    let (acknowledged, batches, done) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0), AtomicBool::new(false));
    let all = std::thread::scope(|scope| {
        for thread in 0..3 {
            let (server, acknowledged, batches, done) = (&server, &acknowledged, &batches, &done);
            scope.spawn(move || {
                for batch in 0..10_000 {
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                    let (now, stream) = (now_ns(), (batch % 3).to_string());
                    let new: Vec<(i64, String)> = (0..BATCH).map(|i| (now + i as i64, format!("{thread}.{batch}.{i}"))).collect();
                    server.push("", &push_body(&[("job", "t"), ("stream", &stream)], &new));
                    acknowledged.lock().unwrap().extend(new.into_iter().map(|(_, line)| line));
                    batches.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut tails = Vec::new();
        for round in 1..=4 {
            until("more is pushed", || (batches.load(Ordering::SeqCst) >= round * 30).then_some(()));
            if round == 3 {
                // Not waited for: what is pushed meanwhile is in memory again.
                assert_eq!(server.post("/flush", &[], b"").status, 204);
            }
            for _ in 0..2 {
                tails.push(follow(Tail::open(&server, &[("query", ALL), ("limit", "10000000")])));
            }
        }
        until("more is pushed", || (batches.load(Ordering::SeqCst) >= 200).then_some(()));
        done.store(true, Ordering::SeqCst);
        tails
    });
    push(&server, &["end"]);
    let mut want = acknowledged.into_inner().unwrap();
    want.insert("end".to_owned());
    for tail in all {
        let entries = tail.join().unwrap();
        let found: BTreeSet<String> = entries.iter().map(|entry| entry.line.clone()).collect();
        assert_eq!(found.len(), entries.len(), "entries came twice");
        assert!(found == want, "{} of {} came", found.len(), want.len());
    }
    assert_eq!(server.metric("skald_ingester_tail_missed_entries_total"), 0.0);
}

#[test]
fn a_tail_leaves_a_line_in_the_log_when_it_ends() {
    let mut server = Server::start(GENEROUS);
    push(&server, &["one"]);
    let mut tail = Tail::open(&server, &[("query", ALL)]);
    assert_eq!(lines(&tail.entries(1)), ["one"]);
    push(&server, &["two", "three"]);
    assert_eq!(lines(&tail.entries(2)), ["two", "three"]);
    tail.leave();
    let lines_of_tails = |server: &Server| {
        let log = server.log();
        log.lines().filter(|line| line.contains("endpoint=/loki/api/v1/tail")).map(str::to_owned).collect::<Vec<_>>()
    };
    let line = until("the tail has ended", || lines_of_tails(&server).pop());
    for part in ["status=101", "error=\"\"", "kind=tail", "lines=1", "returned=3", "complete=true"] {
        assert!(line.contains(&format!(" {part} ")), "{part}: {line}");
    }
    let mut tail = Tail::open(&server, &[("query", ALL)]);
    assert_eq!(tail.entries(3).len(), 3);
    server.terminate();
    let lines = lines_of_tails(&server);
    let last = lines.last().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(last.contains(" error=\"the server is shutting down\" ") && last.contains(" complete=false "), "{last}");
}

#[test]
fn the_newest_entries_come_first_in_order_and_then_what_is_pushed() {
    let server = Server::start(&unlimited());
    let old: Vec<String> = (0..250).map(|i| format!("old {i}")).collect();
    push(&server, &old.iter().map(String::as_str).collect::<Vec<_>>());
    let start = push(&server, &["after"]);
    let mut tail = Tail::open(&server, &[("query", ALL), ("limit", "120")]);
    let history = tail.entries(120);
    assert_eq!(lines(&history), old[131..].iter().map(String::as_str).chain(["after"]).collect::<Vec<_>>());
    assert!(history.is_sorted_by_key(|entry| entry.at));
    push(&server, &["one", "two"]);
    assert_eq!(lines(&tail.entries(2)), ["one", "two"]);
    let mut from = Tail::open(&server, &[("query", ALL), ("start", &start.to_string())]);
    assert_eq!(lines(&from.entries(3)), ["after", "one", "two"]);
    // A line that is pushed again is the same entry.
    let body = push_body(&[("job", "t")], &[(start, "after")]);
    server.push("", &body);
    push(&server, &["three"]);
    assert_eq!((lines(&tail.entries(1)), lines(&from.entries(1))), (vec!["three"], vec!["three"]));
}

#[test]
fn entries_that_come_late_are_put_in_order_within_the_delay() {
    let server = Server::start("");
    let mut tail = Tail::open(&server, &[("query", ALL), ("delay_for", "1")]);
    server.wait_for_tails(1);
    let now = now_ns();
    for (at, line) in [(now + 2, "third"), (now, "first"), (now + 1, "second")] {
        server.push("", &push_body(&[("job", "t")], &[(at, line)]));
    }
    assert_eq!(lines(&tail.entries(3)), ["first", "second", "third"]);
}

#[test]
fn entries_pass_the_stages_and_their_labels_are_told_as_asked() {
    let server = Server::start("");
    let query = "{job=\"t\"} | logfmt n | n > 1 | line_format \"<{{.n}}>\"";
    let mut merged = Tail::open(&server, &[("query", query)]);
    let flags = [("X-Loki-Response-Encoding-Flags", "categorize-labels")];
    let mut categorised = Tail::open_with(&server, "/loki/api/v1/tail", &[("query", query)], &flags);
    let mut legacy = Tail::open_with(&server, "/api/prom/tail", &[("query", query)], &flags);
    let now = now_ns();
    let value = |n: u8| json!([(now + i64::from(n)).to_string(), format!("n={n}"), {"trace": "x"}]);
    server.push("", &json!({"streams": [{"stream": {"job": "t"}, "values": [value(1), value(2)]}]}).to_string());
    let at = (now + 2).to_string();
    let (stream, all) = (json!({"job": "t", "service_name": "t"}), ["detected_level", "job", "n", "service_name", "trace"]);
    let found = merged.message();
    assert_eq!(found["streams"][0]["stream"].as_object().unwrap().keys().collect::<Vec<_>>(), all);
    assert_eq!((&found["streams"][0]["values"], found["streams"].as_array().unwrap().len()), (&json!([[at, "<2>"]]), 1));
    assert!(found.get("encodingFlags").is_none());
    let extra = json!({"structuredMetadata": {"detected_level": "unknown", "trace": "x"}, "parsed": {"n": "2"}});
    assert_eq!(
        categorised.message(),
        json!({"streams": [{"stream": stream, "values": [[at, "<2>", extra]]}], "encodingFlags": ["categorize-labels"]})
    );
    let found = legacy.message();
    assert_eq!(found["streams"][0]["entries"][0]["line"], "<2>");
    assert!(found["streams"][0]["labels"].as_str().unwrap().starts_with("{detected_level=\"unknown\", job=\"t\""), "{found}");
    assert!(found["streams"][0]["entries"][0]["ts"].as_str().unwrap().ends_with('Z'), "{found}");
}

#[track_caller]
fn check_refused(server: &Server, params: &[(&str, &str)], says: &str) {
    let answer = server.ask("/loki/api/v1/tail", params);
    assert_eq!((answer.status, answer.text()), (400, says));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[track_caller]
fn check_closed(server: &Server, params: &[(&str, &str)], says: &str) {
    assert_eq!(Tail::open(server, params).closed(), (1011, says.to_owned()));
}

#[test]
fn wrong_requests_are_refused_before_the_upgrade_or_closed_after_it() {
    let server = Server::start("");
    check_refused(&server, &[("query", ALL)], "Bad Request");
    check_refused(&server, &[("query", ALL), ("delay_for", "6")], "delay_for can't be greater than 5");
    check_refused(&server, &[("query", ALL), ("limit", "0")], "limit must be a positive value");
    check_refused(&server, &[], "parse error : syntax error: unexpected $end");
    assert_eq!(server.post("/loki/api/v1/tail?query=%7Ba%3D%22b%22%7D", &[], b"").text(), "Bad Request");
    check_closed(&server, &[("query", "rate({job=\"t\"}[1m])")], "only log selector is supported");
    let text = "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)";
    check_closed(&server, &[("query", ALL), ("limit", "5001")], text);
    assert_eq!(server.ask("/loki/api/v2alpha/tail", &[("query", ALL)]).status, 404);
    let tenants = Server::start("auth_enabled: true\nquerier:\n  multi_tenant_queries_enabled: true\n");
    let answer = tenants.ask_with("/loki/api/v1/tail", &[("query", ALL)], &[("X-Scope-OrgID", "a|b")]);
    assert_eq!((answer.status, answer.text()), (400, "multiple org IDs present"));
    assert_eq!(tenants.ask("/loki/api/v1/tail", &[("query", ALL)]).status, 401);
}

#[test]
fn a_tenant_sees_its_own_entries_alone() {
    let server = Server::start("auth_enabled: true\n");
    let mut tail = Tail::open_with(&server, "/loki/api/v1/tail", &[("query", ALL)], &[("X-Scope-OrgID", "a")]);
    server.wait_for_tails(1);
    for (tenant, line) in [("b", "of b"), ("a", "of a")] {
        server.push(tenant, &push_body(&[("job", "t")], &[(now_ns(), line)]));
    }
    assert_eq!(lines(&tail.entries(1)), ["of a"]);
}

#[test]
fn a_tenant_has_a_bounded_number_of_tails() {
    let server = Server::start("limits_config:\n  max_concurrent_tail_requests: 2\n");
    let one = Tail::open(&server, &[("query", ALL)]);
    let _two = Tail::open(&server, &[("query", ALL)]);
    server.wait_for_tails(2);
    check_closed(&server, &[("query", ALL)], "max concurrent tail requests limit exceeded, count > limit (3 > 2)");
    one.leave();
    server.wait_for_tails(1);
    let mut three = Tail::open(&server, &[("query", ALL)]);
    server.wait_for_tails(2);
    push(&server, &["line"]);
    assert_eq!(lines(&three.entries(1)), ["line"]);
}

#[test]
fn an_idle_tail_is_pinged_whatever_else_the_client_offers() {
    let server = Server::start("");
    let offers =
        [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"), ("Accept-Encoding", "gzip"), ("Origin", "http://x")];
    let mut tail = Tail::open_with(&server, "/loki/api/v1/tail", &[("query", ALL)], &offers);
    for _ in 0..3 {
        assert_eq!(tail.frame(), Frame::Ping);
    }
    push(&server, &["line"]);
    assert_eq!(lines(&tail.entries(1)), ["line"]);
    tail.leave();
    server.wait_for_tails(0);
}

#[test]
fn a_tail_has_a_longest_time() {
    let server = Server::start("querier:\n  tail_max_duration: 1s\n");
    assert_eq!(Tail::open(&server, &[("query", ALL)]).closed(), (1011, "reached tail max duration limit".to_owned()));
}

#[test]
fn a_client_that_does_not_read_is_told_what_it_missed_and_delays_nobody() {
    let server = Server::start(&unlimited());
    let (mut slow, mut fast) = (Tail::open(&server, &[("query", ALL)]), Tail::open(&server, &[("query", ALL)]));
    server.wait_for_tails(2);
    let (large, mut pushed) = ("x".repeat(100_000), 0);
    let dropped = || server.metric("skald_querier_tail_dropped_entries_total");
    until("entries are dropped", || {
        let begun: Vec<String> = (0..10).map(|i| format!("{} {large}", pushed + i)).collect();
        push(&server, &begun.iter().map(String::as_str).collect::<Vec<_>>());
        pushed += 10;
        assert_eq!(fast.entries(10).len(), 10);
        (dropped() > 0.0).then_some(())
    });
    // Now it reads: what waited comes, and word of what did not.
    let (mut received, mut told) = (0, None);
    while told.is_none() {
        let message = slow.message();
        received += tailed(&message).len();
        told = message.get("dropped_entries").cloned();
    }
    let told: Vec<Value> = told.unwrap().as_array().unwrap().clone();
    assert_eq!(told[0]["labels"], json!({"job": "t", "service_name": "t"}));
    assert!(told[0]["timestamp"].as_str().unwrap().parse::<i64>().unwrap() > 0);
    push(&server, &["end"]);
    let mut last = String::new();
    while last != "end" {
        let entries = tailed(&slow.message());
        received += entries.len();
        last = entries.last().map_or(last, |entry| entry.line.clone());
    }
    assert_eq!(received as f64 + dropped(), pushed as f64 + 1.0);
    assert_eq!(lines(&fast.entries(1)), ["end"]);
}

#[test]
fn a_server_that_stops_says_goodbye_and_does_not_wait_for_those_who_do_not_listen() {
    let mut server = Server::start("");
    let mut polite = Tail::open(&server, &[("query", ALL)]);
    let _deaf = Tail::open(&server, &[("query", ALL)]);
    server.wait_for_tails(2);
    server.signal("-TERM");
    assert_eq!(polite.closed(), (1001, "the server is shutting down".to_owned()));
    assert!(server.ended().success());
    assert!(server.log().ends_with("msg=stopped\n"), "{}", server.log());
}

/// The command line against a server, as a user runs it.
fn tail_cli(forwarder: &Forwarder, args: &[&str]) -> integration_tests::Running {
    start_skald(["--addr", forwarder.address(), "-o", "raw"].iter().chain(args))
}

#[test]
fn the_command_line_follows_across_kills_and_restarts_and_repeats_nothing() {
    let mut server = Server::start("");
    let forwarder = Forwarder::to(&server);
    push(&server, &["history"]);
    let tail = tail_cli(&forwarder, &["tail", ALL]);
    let mut want = vec!["history".to_owned()];
    let comes = |line: &str, want: &mut Vec<String>| {
        want.push(line.to_owned());
        until("the line comes", || (tail.stdout().lines().collect::<Vec<_>>() == *want).then_some(()));
    };
    until("the history comes", || (tail.stdout() == "history\n").then_some(()));
    push(&server, &["live"]);
    comes("live", &mut want);
    server.kill();
    server.restart();
    forwarder.now_to(&server);
    push(&server, &["after a kill"]);
    comes("after a kill", &mut want);
    assert!(tail.stderr().contains("connecting again in 1 s"), "{}", tail.stderr());
    assert!(server.terminate().success());
    server.restart();
    forwarder.now_to(&server);
    push(&server, &["after a stop"]);
    comes("after a stop", &mut want);
    assert!(tail.stderr().contains("the server is shutting down; connecting again"), "{}", tail.stderr());
    tail.signal("-INT");
    let ran = tail.ended();
    assert_eq!((ran.code, String::from_utf8(ran.stdout).unwrap().lines().count()), (0, want.len()), "{}", ran.stderr);
    server.wait_for_tails(0);
}

#[test]
fn query_follows_too_and_prints_as_query_does() {
    let server = Server::start("");
    let forwarder = Forwarder::to(&server);
    for flag in ["-t", "--tail", "-f", "--follow"] {
        let tail =
            start_skald(["--addr", forwarder.address(), "-q", "-o", "jsonl", "query", ALL, flag, "--exclude-label", "detected_level"]);
        server.wait_for_tails(1);
        let at = push(&server, &[flag]);
        let line = until("the line comes", || tail.stdout().lines().last().filter(|line| line.contains(flag)).map(str::to_owned));
        let entry: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&entry["labels"], &entry["line"]), (&json!({"job": "t", "service_name": "t"}), &json!(flag)), "{at}");
        assert_eq!(tail.stderr(), "");
        tail.signal("-INT");
        assert_eq!(tail.ended().code, 0);
        server.wait_for_tails(0);
    }
}

#[test]
fn the_command_line_says_why_there_is_no_tail() {
    let server = Server::start("limits_config:\n  max_concurrent_tail_requests: 0\n");
    let refused = server.cli(&["tail", "{job="]);
    assert!(refused.code == 3 && refused.stderr.contains("the server answered 400: parse error"), "{refused:?}");
    let closed = server.cli(&["tail", ALL]);
    assert_eq!(closed.code, 3);
    assert!(closed.stderr.contains("max concurrent tail requests limit exceeded, count > limit (1 > 0)"), "{closed:?}");
    let nobody = integration_tests::run_skald(["--addr", "http://127.0.0.1:1", "tail", ALL]);
    assert!(nobody.code == 4 && nobody.stderr.contains("no answer from 127.0.0.1:1"), "{nobody:?}");
    let proxied = server.cli(&["tail", ALL, "--proxy-url", "http://127.0.0.1:1"]);
    assert_eq!((proxied.code, proxied.stderr.contains("does not go through a proxy")), (2, true));
}

#[test]
fn dropped_entries_are_told_on_standard_error() {
    // A server of the test's own: a real one drops nothing that is read.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(String::new()));
    let of_thread = seen.clone();
    std::thread::spawn(move || {
        use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
        let (stream, _) = listener.accept().unwrap();
        #[allow(clippy::result_large_err, reason = "the type of the library")]
        let note = |request: &Request, response: Response| {
            let text = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            *of_thread.lock().unwrap() = format!("{} {} {}", request.uri().path(), text("x-scope-orgid"), text("authorization"));
            Ok(response)
        };
        let mut socket = tokio_tungstenite::tungstenite::accept_hdr(stream, note).unwrap();
        let dropped = json!({"streams": null, "dropped_entries": [{"timestamp": "1000000000", "labels": {"a": "b"}}]});
        socket.send(dropped.to_string().into()).unwrap();
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
    let args = ["--addr", &address, "--org-id", "me", "--bearer-token", "secret", "-q", "tail", ALL];
    let tail = start_skald(args);
    let notice = "the server dropped 1 entries or more, from 1970-01-01T00:00:01Z to 1970-01-01T00:00:01Z, of {a=\"b\"}";
    until("the notice comes", || tail.stderr().contains(notice).then_some(()));
    assert_eq!((tail.stdout(), seen.lock().unwrap().as_str()), (String::new(), "/loki/api/v1/tail me Bearer secret"));
    tail.signal("-INT");
    assert_eq!(tail.ended().code, 0);
}
