//! Whole commands against a server of the test's own.

use super::console::{CliClock, Console};
use super::fake_server::{FakeServer, Reply, Seen};
use super::push::batch as wire;
use skald_model::Timestamp;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// 2026-01-19T10:00:00Z
const NOW: i64 = 1_768_816_800_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// Stands still; sleeping is noted and takes no time.
#[derive(Default, Clone)]
struct StillClock(Arc<Mutex<Vec<Duration>>>);

impl CliClock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(NOW)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) {
        self.0.lock().expect("one thread").push(duration);
    }
}

#[derive(Default, Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("one thread").clone()).expect("text")
    }
}

struct Ran {
    code: u8,
    out: String,
    /// Without the time in front of each line.
    err: String,
    slept: Vec<f64>,
}

fn run(address: &str, args: &[&str], stdin: &'static [u8]) -> Ran {
    let (stdout, stderr, clock) = (Sink::default(), Sink::default(), StillClock::default());
    let mut console = Console {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
        clock: Box::new(clock.clone()),
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        no_color: false,
    };
    let all = ["skald", "-z", "UTC"].into_iter().chain(args.iter().copied()).chain(["--addr", address]).map(Into::into);
    let cli = super::args::parse(all).expect("valid arguments");
    let super::args::Command::Ask(ask) = &cli.command else { panic!("a command for a server") };
    let code = super::run(&cli, ask, &mut console);
    let err = stderr.text().lines().map(|line| format!("{}\n", &line[20..])).collect();
    let slept = clock.0.lock().expect("one thread").iter().map(Duration::as_secs_f64).collect();
    Ran { code, out: stdout.text(), err, slept }
}

fn pushed(seen: &Seen) -> wire::PushedStream {
    let bytes = snap::raw::Decoder::new().decompress_vec(&seen.body).expect("snappy");
    let request: wire::PushRequest = prost::Message::decode(&bytes[..]).expect("protobuf");
    assert_eq!(request.streams.len(), 1);
    request.streams.into_iter().next().expect("one stream")
}

/// Times after [`NOW`] in nanoseconds, and lines.
fn entries(seen: &Seen) -> Vec<(i64, String)> {
    let at = |t: Option<wire::PushedTime>| t.map_or(0, |t| t.seconds * 1_000_000_000 + i64::from(t.nanos) - NOW);
    pushed(seen).entries.into_iter().map(|e| (at(e.timestamp), e.line)).collect()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    #[allow(clippy::disallowed_methods, reason = "a file of the test")]
    std::fs::write(&path, bytes).expect("a writable directory");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn push_sends_lines_as_they_are_with_times_of_their_own() {
    let server = FakeServer::start(|_, _| Reply::new(204, ""));
    let dir = tempfile::tempdir().expect("a directory");
    let one = file(dir.path(), "one.log", b"a\r\n\n  b\xff");
    let two = file(dir.path(), "two.log", b"c\n");
    let ran = run(&server.address, &["--org-id", "t1", "push", &one, &two], b"");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(ran.err.contains("sent 4 lines, 9 B, in 2 batches") && ran.err.contains("1 line was not UTF-8"), "{}", ran.err);
    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/loki/api/v1/push"));
    assert_eq!((seen[0].header("content-type"), seen[0].header("x-scope-orgid")), ("application/x-protobuf", "t1"));
    assert_eq!(pushed(&seen[0]).labels, format!("{{filename=\"{one}\", job=\"skald-push\"}}"));
    assert_eq!(entries(&seen[0]), [(0, "a\r".to_owned()), (1, String::new()), (2, "  b\u{fffd}".to_owned())]);
    assert_eq!(entries(&seen[1]), [(3, "c".to_owned())], "lines of one run never share a time");
}

#[test]
fn push_reads_standard_input_takes_labels_and_keeps_batches_small() {
    let server = FakeServer::start(|_, _| Reply::new(204, ""));
    let args = ["-q", "push", "-", "-l", "app=x", "--label", "env=a=b", "--batch-lines", "2"];
    let ran = run(&format!("{}/prefix/", server.address), &args, b"1\n2\n3\n4\n5");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let seen = server.seen();
    assert_eq!(seen.iter().map(|s| entries(s).len()).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(seen[0].path, "/prefix/loki/api/v1/push");
    assert_eq!(pushed(&seen[2]).labels, r#"{app="x", env="a=b"}"#);
    let ran = run(&server.address, &["-q", "push", "-", "--batch-bytes", "3"], b"12\n34\n567890\n1\n");
    assert_eq!(ran.code, 0);
    assert_eq!(server.seen()[3..].iter().map(|s| entries(s).len()).collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn push_takes_times_from_lines() {
    let server = FakeServer::start(|_, _| Reply::new(204, ""));
    let lines = b"header\n2026-01-19 09:00:00,250 a\n  more\n2026-01-19T10:00:01Z b\n";
    assert_eq!(run(&server.address, &["push", "--parse-time", "-"], lines).code, 0);
    let at = entries(&server.seen()[0]).into_iter().map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(at, [-HOUR + 250_000_000, -HOUR + 250_000_001, -HOUR + 250_000_002, 1_000_000_000]);
    let ran = run(&server.address, &["push", "--parse-time", "-", "-q"], b"no time\nhere\n");
    assert_eq!((ran.code, entries(&server.seen()[1])[1].0), (0, 1));
    assert!(ran.err.contains("2 lines have the time of reading"), "{}", ran.err);
}

#[test]
fn push_sends_the_same_bytes_again_after_429_and_5xx() {
    let server = FakeServer::start(|_, n| match n {
        0 => Reply::new(429, "slow down").with("Retry-After", "7"),
        1 => Reply::new(503, "not ready"),
        2 => Reply::new(500, "at least 2 live replicas required"),
        3 => Reply::new(0, ""),
        _ => Reply::new(204, ""),
    });
    let ran = run(&server.address, &["push", "-"], b"x\n");
    assert_eq!((ran.code, ran.slept), (0, vec![7.0, 1.0, 2.0, 4.0]));
    assert!(ran.err.contains("the server answered 429: slow down") && ran.err.contains("sent 1 line,"), "{}", ran.err);
    let seen = server.seen();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|s| s.body == seen[0].body));
}

#[test]
fn push_gives_up_after_its_retries() {
    let server = FakeServer::start(|_, _| Reply::new(503, "never"));
    let ran = run(&server.address, &["push", "-", "--retries", "2"], b"x\n");
    assert_eq!((ran.code, server.seen().len()), (1, 3));
    assert!(ran.err.ends_with("the server answered 503: never\n"), "{}", ran.err);
    let server = FakeServer::start(|_, _| Reply::new(429, "never"));
    assert_eq!(run(&server.address, &["push", "-"], b"x\n").code, 3);
    assert_eq!(server.seen().len(), 11);
}

#[test]
fn push_halves_a_batch_that_is_larger_than_a_limit() {
    let server = FakeServer::start(|seen, _| match entries(seen).len() {
        0..=2 => Reply::new(204, ""),
        _ => Reply::new(429, "ingestion rate limit exceeded"),
    });
    let ran = run(&server.address, &["push", "-"], b"1\n2\n3\n4\n5\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("sent 5 lines, 5 B, in 1 batch;"), "{}", ran.err);
    let taken: Vec<_> = server.seen().iter().map(entries).filter(|entries| entries.len() <= 2).flatten().map(|(_, line)| line).collect();
    assert_eq!(taken, ["1", "2", "3", "4", "5"]);
}

#[test]
fn push_goes_on_after_a_refused_batch_and_says_so() {
    let server = FakeServer::start(|seen, _| match entries(seen).iter().any(|(_, line)| line.len() > 100) {
        true => Reply::new(400, "max entry size '100' bytes exceeded\n"),
        false => Reply::new(204, ""),
    });
    let lines = vec![b'x'; 5000].leak();
    (lines[10], lines[4000]) = (b'\n', b'\n');
    lines[4010..].fill(b'\n');
    let ran = run(&server.address, &["push", "-", "--batch-bytes", "50"], lines);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("the server answered 400: max entry size '100' bytes exceeded\n"), "{}", ran.err);
    assert!(ran.err.contains("1 line in 1 batch was not taken"), "{}", ran.err);
    assert!(server.seen().len() >= 3);
}

#[test]
fn push_goes_on_when_every_batch_has_an_entry_that_is_refused() {
    let server = FakeServer::start(|seen, _| match entries(seen).iter().any(|(_, line)| line.len() > 5) {
        true => Reply::new(400, "too long\n"),
        false => Reply::new(204, ""),
    });
    let ran = run(&server.address, &["push", "-", "--batch-lines=2"], "short\nmuch too long\n".repeat(12).leak().as_bytes());
    assert_eq!((ran.code, ran.err.matches("answered 400: too long\n").count()), (3, 12), "{}", ran.err);
    assert_eq!(server.seen().len(), 14, "twelve batches, and after each five a line alone");
    let long = "y".repeat(5000) + "\n";
    let ran = run(&server.address, &["push", "-", "--batch-lines=1"], (long.repeat(12) + "short").leak().as_bytes());
    assert_eq!((ran.code, server.seen().len()), (3, 14 + 13));
    assert!(ran.err.contains("sent 1 line,"), "{}", ran.err);
}

#[test]
fn push_stops_where_the_rest_would_be_refused_too() {
    let check = |status: u16, requests: usize| {
        let server = FakeServer::start(move |_, _| Reply::new(status, "no org id\n"));
        let ran = run(&server.address, &["push", "-", "--batch-lines", "1"], b"1\n2\n3\n4\n5\n6\n7\n");
        assert!(ran.err.contains(&format!("the server answered {status}: no org id\n")), "{}", ran.err);
        assert_eq!((ran.code != 0, server.seen().len()), (true, requests), "{status}");
    };
    check(401, 1);
    check(404, 1);
    check(260, 1);
    check(400, 6);
}

#[test]
fn push_reads_what_it_can() {
    let server = FakeServer::start(|_, _| Reply::new(204, ""));
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("missing").to_str().expect("UTF-8").to_owned();
    let there = file(dir.path(), "there", b"x\n");
    let ran = run(&server.address, &["push", &missing, dir.path().to_str().expect("UTF-8"), &there], b"");
    assert_eq!((ran.code, server.seen().len()), (1, 1));
    assert!(ran.err.contains(&format!("read {missing}: ")) && ran.err.contains("2 files could not be read"), "{}", ran.err);
}

#[test]
fn a_server_that_is_not_there_is_a_transport_failure() {
    // Port 1 is reserved; nothing listens there.
    for args in [&["labels"][..], &["push", "-"], &["query", "{}"]] {
        let ran = run("http://127.0.0.1:1", args, b"x\n");
        assert_eq!((ran.code, ran.slept.len(), ran.out.as_str()), (4, 0, ""), "{args:?}");
        assert!(ran.err.contains("no answer from http://127.0.0.1:1: "), "{}", ran.err);
    }
    assert_eq!(run("http://127.0.0.1:1", &["push", "-", "--retries", "2", "--min-backoff", "3"], b"x\n").slept, [3.0, 6.0]);
}

#[test]
fn a_server_that_does_not_speak_tls_is_a_transport_failure() {
    let server = FakeServer::start(|_, _| Reply::new(200, ""));
    let ran = run(&server.address.replace("http://", "https://"), &["labels"], b"");
    assert_eq!((ran.code, server.seen()), (4, vec![]), "{}", ran.err);
}

#[test]
fn unusable_settings_are_usage_errors() {
    for args in [
        &["--cert", "/nonexistent/c", "labels"][..],
        &["--ca-cert", "/nonexistent/c", "labels"],
        &["--bearer-token", "a", "--username", "b", "labels"],
        &["--bearer-token", "a", "--bearer-token-file", "b", "labels"],
        &["--header", "no colon", "labels"],
        &["--proxy-url", "::", "labels"],
        &["labels", "--since", "1x"],
        &["labels", "--from", "yesterday"],
        &["query", "{}", "--step", "0.x"],
        &["push", "-", "--label", "novalue"],
        &["push", "-", "--label", "a=1", "--label", "a=2"],
    ] {
        let ran = run("http://127.0.0.1:1", args, b"");
        assert_eq!((ran.code, ran.err.is_empty()), (2, false), "{args:?}: {}", ran.err);
    }
    assert_eq!(run("localhost:3100", &["labels"], b"").code, 2);
}

const STREAMS: &str = r#"{"status":"success","warnings":["a store is slow"],"data":{"resultType":"streams","result":[
    {"stream":{"app":"a","env":"p","level":"error"},"values":[["1768816799000000000","  new \"x\"  "],["1768816700500000000","old"]]},
    {"stream":{"app":"bcd","env":"p"},"values":[["1768816750000000000","middle"]]}],
    "stats":{"summary":{"execTime":0.25},"ingester":{"totalReached":1}}}}"#;

fn query(args: &[&str], answer: &'static str) -> (Ran, Vec<Seen>) {
    let server = FakeServer::start(move |_, _| Reply::new(200, answer));
    (run(&server.address, args, b""), server.seen())
}

#[test]
fn query_prints_entries_by_time() {
    let (ran, seen) = query(&["query", r#"{app=~".+"}"#], STREAMS);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.out,
        "2026-01-19T09:59:59Z {app=\"a\", level=\"error\"} new \"x\"\n\
         2026-01-19T09:59:10Z {app=\"bcd\"}              middle\n\
         2026-01-19T09:58:20Z {app=\"a\", level=\"error\"} old\n"
    );
    assert_eq!(seen[0].path, "/loki/api/v1/query_range");
    let names: Vec<&str> = seen[0].parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["direction", "end", "limit", "query", "start"]);
    assert_eq!(
        (seen[0].parameter("query"), seen[0].parameter("direction"), seen[0].parameter("limit")),
        (r#"{app=~".+"}"#, "BACKWARD", "30")
    );
    assert_eq!(seen[0].parameter("start"), (NOW - HOUR).to_string());
    assert_eq!(seen[0].parameter("end"), NOW.to_string());
    let url = "/loki/api/v1/query_range?direction=BACKWARD&end=1768816800000000000&limit=30&query=%7Bapp%3D~%22.%2B%22%7D&start=1768813200000000000";
    assert!(ran.err.contains(url), "{}", ran.err);
    assert!(ran.err.ends_with("warning of the server: a store is slow\nCommon labels: {env=\"p\"}\n"), "{}", ran.err);
}

#[test]
fn query_has_three_output_modes() {
    let check = |args: &[&str], want: &str| assert_eq!(query(&[&["query", "{}", "-q"], args].concat(), STREAMS).0.out, want, "{args:?}");
    check(&["-o", "raw", "--forward"], "old\nmiddle\n  new \"x\"  \n");
    check(
        &["--output=jsonl", "--limit=2"],
        "{\"labels\":{\"app\":\"a\",\"level\":\"error\"},\"line\":\"  new \\\"x\\\"  \",\"timestamp\":\"2026-01-19T09:59:59Z\"}\n\
         {\"labels\":{\"app\":\"bcd\"},\"line\":\"middle\",\"timestamp\":\"2026-01-19T09:59:10Z\"}\n",
    );
    check(&["-ojsonl", "--no-labels", "--limit=1"], "{\"line\":\"  new \\\"x\\\"  \",\"timestamp\":\"2026-01-19T09:59:59Z\"}\n");
    check(&["--no-labels", "--limit=1", "--output-timestamp-format=rfc1123z"], "Mon, 19 Jan 2026 09:59:59 +0000 new \"x\"\n");
    check(&["--limit=1", "--include-label=env", "--labels-length=12"], "2026-01-19T09:59:59Z {env=\"p\"}    new \"x\"\n");
    check(
        &["--limit=1", "--exclude-label=level", "--exclude-label=app", "--include-common-labels"],
        "2026-01-19T09:59:59Z {env=\"p\"} new \"x\"\n",
    );
    check(&["--limit=1"], "2026-01-19T09:59:59Z {} new \"x\"\n");
}

#[test]
fn query_colours_only_on_request_here() {
    let (ran, _) = query(&["query", "-q", r#"{} |= "x""#, "--color=always", "--limit=1"], STREAMS);
    assert_eq!(ran.out, "\x1b[34m2026-01-19T09:59:59Z\x1b[0m \x1b[31m{}\x1b[0m \x1b[31mnew \"\x1b[1;7mx\x1b[22;27m\"\x1b[0m\n");
    let (ran, _) = query(&["query", "-q", "{}", "--color=always", "--colored-output"], STREAMS);
    assert!(ran.out.contains("\x1b[34m") && ran.out.contains("middle\n"));
}

#[test]
fn quiet_leaves_only_warnings_on_standard_error() {
    let (ran, _) = query(&["query", "{}", "-q", "--exclude-label=app"], STREAMS);
    assert_eq!(ran.err, "warning of the server: a store is slow\n");
    let (ran, _) = query(&["query", "{}", "-q", "--stats"], STREAMS);
    assert!(ran.err.ends_with("Ingester.TotalReached\t1\nSummary.ExecTime     \t0.25\n"), "{}", ran.err);
}

#[test]
fn query_pages_through_everything() {
    let server = FakeServer::start(|seen, _| {
        let number = |name: &str| seen.parameter(name).parse::<i64>().expect("a number");
        let (start, end, limit) = (number("start"), number("end"), number("limit") as usize);
        let values = (0..25).rev().map(|i| NOW - 1000 + i / 2).filter(|at| (start..end).contains(at));
        let values: Vec<String> = values.zip(0..limit).map(|(at, _)| at.to_string()).collect();
        let of = |parity: usize| values.iter().skip(parity).step_by(2).map(|at| serde_json::json!([at, "same"])).collect::<Vec<_>>();
        let result = serde_json::json!([{"stream": {"s": "0"}, "values": of(0)}, {"stream": {"s": "1"}, "values": of(1)}]);
        Reply::new(200, serde_json::json!({"status": "success", "data": {"resultType": "streams", "result": result}}).to_string())
    });
    let ran = run(
        &server.address,
        &["query", "{}", "-q", "-o", "jsonl", "--limit=0", "--batch=4", "--from=now-2h", "--to=2026-01-19T10:00:00Z"],
        b"",
    );
    assert_eq!((ran.code, ran.out.lines().count()), (0, 25), "{}", ran.err);
    let seen = server.seen();
    assert!(seen.len() > 6 && seen.iter().all(|s| s.parameter("limit") == "4"));
    assert!(seen.iter().all(|s| s.parameter("start") == (NOW - 2 * HOUR).to_string()));
}

#[test]
fn metric_results_are_indented_json() {
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"z":"1","a":"2"},"values":[[1768816800,"1.5"],[1768816800.5,"NaN"]]}]}}"#;
    let (ran, seen) = query(&["query", "rate({}[1m])", "--step=90s", "--interval=1.5s", "-o", "jsonl"], matrix);
    let want = "[\n  {\n    \"metric\": {\n      \"z\": \"1\",\n      \"a\": \"2\"\n    },\n    \"values\": [\n      [\n        1768816800,\n        \
                \"1.5\"\n      ],\n      [\n        1768816800.5,\n        \"NaN\"\n      ]\n    ]\n  }\n]";
    assert_eq!((ran.code, ran.out.as_str()), (0, want));
    assert_eq!((seen[0].parameter("step"), seen[0].parameter("interval")), ("90", "1.5"));
    let (ran, seen) = query(
        &["instant-query", "vector(1)", "--now", "now-1h", "-q"],
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
    );
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "[]", ""));
    assert_eq!((seen[0].path.as_str(), seen[0].parameter("time")), ("/loki/api/v1/query", (NOW - HOUR).to_string().as_str()));
}

#[test]
fn who_asks_is_in_the_headers() {
    let empty = r#"{"status":"success"}"#;
    let (ran, seen) =
        query(&["labels", "-q", "--org-id=a|b", "--query-tags=Source=x", "--nocache", "--compress", "--header", "X-One: 1: 2"], empty);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let header = |name: &str| seen[0].header(name).to_owned();
    assert_eq!(
        (header("x-scope-orgid"), header("x-query-tags"), header("cache-control")),
        ("a|b".into(), "Source=x".into(), "no-cache".into())
    );
    assert_eq!((header("accept-encoding"), header("x-one")), ("gzip".into(), "1: 2".into()));
    assert!(header("user-agent").starts_with("skald/"));
    assert_eq!(query(&["labels"], empty).1[0].header("accept-encoding"), "");
    let (_, seen) = query(&["labels", "--username=me", "--password=p:w"], empty);
    assert_eq!(seen[0].header("authorization"), "Basic bWU6cDp3");
    let (_, seen) = query(&["labels", "--bearer-token=abc", "--auth-header=X-Auth"], empty);
    assert_eq!((seen[0].header("x-auth"), seen[0].header("authorization")), ("Bearer abc", ""));
    let server = FakeServer::start(move |_, _| Reply::new(200, empty));
    let ran = run(&server.address.replace("http://", "http://me:secret@"), &["labels"], b"");
    assert_eq!(server.seen()[0].header("authorization"), "Basic bWU6c2VjcmV0");
    assert!(!ran.err.contains("secret"), "{}", ran.err);
}

#[test]
fn gzip_answers_are_read() {
    // gzip of {"status":"success","data":["app"]}
    const BODY: &[u8] = include_bytes!("tests/labels.json.gz");
    let server = FakeServer::start(|_, _| Reply::new(200, BODY).with("Content-Encoding", "gzip"));
    assert_eq!(run(&server.address, &["labels", "--compress"], b"").out, "app\n");
}

#[test]
fn labels_series_and_stats_print_one_thing_a_line() {
    let (ran, seen) = query(&["labels", "a/b", "--since=2h"], r#"{"status":"success","data":["1","2"]}"#);
    assert_eq!((ran.out.as_str(), seen[0].path.as_str()), ("1\n2\n", "/loki/api/v1/label/a%2Fb/values"));
    assert_eq!(seen[0].parameter("start"), (NOW - 2 * HOUR).to_string());
    let (ran, seen) = query(&["series", "{}"], r#"{"status":"success","data":[{"b":"2","a":"x\"y"},{"a":"1"}]}"#);
    assert_eq!((ran.out.as_str(), seen[0].path.as_str()), ("{a=\"1\"}\n{a=\"x\\\"y\", b=\"2\"}\n", "/loki/api/v1/series"));
    assert_eq!(seen[0].parameter("match"), "{}");
    let (ran, _) = query(&["series", "{}", "--analyze-labels"], r#"{"status":"success","data":[]}"#);
    assert!(ran.out.starts_with("Total Streams:  0\nUnique Labels:  0\n"));
    let (ran, seen) = query(&["stats", "{a=\"b\"}"], r#"{"streams":2,"chunks":3,"bytes":4200000,"entries":5}"#);
    assert_eq!(ran.out, "{\n  streams: 2\n  chunks: 3\n  bytes: 4.2 MB\n  entries: 5\n}\n");
    assert_eq!((seen[0].path.as_str(), seen[0].parameter("query")), ("/loki/api/v1/index/stats", "{a=\"b\"}"));
}

#[test]
fn volumes_are_indented_json() {
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"a"},"value":[1768816800,"12"]}]}}"#;
    let want = "[\n  {\n    \"metric\": {\n      \"app\": \"a\"\n    },\n    \"value\": [\n      1768816800,\n      \"12\"\n    ]\n  }\n]";
    let (ran, seen) = query(&["volume", "{app=~\".+\"}", "-o", "raw"], vector);
    assert_eq!((ran.code, ran.out.as_str(), seen[0].path.as_str()), (0, want, "/loki/api/v1/index/volume"));
    let sent: Vec<_> = seen[0].parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (start, end) = ((NOW - HOUR).to_string(), NOW.to_string());
    let plain = [("aggregateBy", "series"), ("end", &end), ("limit", "30"), ("query", "{app=~\".+\"}"), ("start", &start)];
    assert_eq!(sent, plain);
    let (ran, seen) = query(
        &["volume_range", "{}", "--aggregateByLabels", "--targetLabels", "a", "--targetLabels=b", "--limit=5", "--since=2h", "-q"],
        r#"{"status":"success","warnings":["entries are missing"],"data":{"resultType":"matrix","result":[]}}"#,
    );
    assert_eq!((ran.code, ran.out.as_str(), seen[0].path.as_str()), (0, "[]", "/loki/api/v1/index/volume_range"));
    assert_eq!(ran.err, "warning of the server: entries are missing\n");
    let sent = ["aggregateBy", "limit", "query", "step", "targetLabels"].map(|name| seen[0].parameter(name));
    assert_eq!(sent, ["labels", "5", "{}", "3600", "a,b"]);
    assert_eq!(seen[0].parameter("start"), (NOW - 2 * HOUR).to_string());
    let server = FakeServer::start(|_, _| Reply::new(400, "parse error at line 1, col 2: syntax error"));
    let ran = run(&server.address, &["volume", "{", "-q"], b"");
    assert_eq!((ran.code, ran.err.ends_with("  {\n   ^\n")), (3, true), "{}", ran.err);
}

#[test]
fn detected_fields_are_listed_by_name() {
    const FIELDS: &str = r#"{"fields":[{"label":"took","type":"duration","cardinality":7,"parsers":["logfmt"]},
        {"label":"code","type":"int","cardinality":3,"parsers":null}],"limit":100}"#;
    let (ran, seen) = query(&["detected-fields", "{a=\"b\"}", "--since", "2h"], FIELDS);
    assert_eq!(ran.out, "label: code  type: int  cardinality: 3\nlabel: took  type: duration  cardinality: 7\n");
    assert_eq!(seen[0].path, "/loki/api/v1/detected_fields");
    let sent = ["limit", "line_limit", "query", "step"].map(|name| seen[0].parameter(name));
    assert_eq!(sent, ["100", "1000", "{a=\"b\"}", "10"]);
    let (ran, _) = query(&["detected-fields", "{a=\"b\"}", "--color=always"], FIELDS);
    assert!(ran.out.starts_with("label: \x1b[1mcode\x1b[0m  type: \x1b[1mint\x1b[0m  cardinality: \x1b[1m3\x1b[0m\n"), "{}", ran.out);
    let (ran, _) = query(&["detected-fields", "{a=\"b\"}", "-o", "raw"], r#"{"fields":[],"limit":5}"#);
    assert_eq!(ran.out, "{\"fields\":[],\"limit\":5}\n");
    let (ran, seen) = query(&["detected-fields", "{a=\"b\"}", "a/b", "--limit=2"], r#"{"values":["1","2"],"limit":2}"#);
    assert_eq!((ran.out.as_str(), seen[0].path.as_str()), ("1\n2\n", "/loki/api/v1/detected_field/a%2Fb/values"));
    for nothing in [&["detected-fields", "{a=\"b\"}"][..], &["detected-fields", "{a=\"b\"}", "x"]] {
        assert_eq!(query(nothing, "{}").0.out, "");
    }
}

#[test]
fn a_refused_query_is_shown_at_its_place() {
    let server = FakeServer::start(|_, _| Reply::new(400, "parse error at line 1, col 9: syntax error: unexpected $end"));
    let ran = run(&server.address, &["query", "-q", "{app=\"a\""], b"");
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert_eq!(
        ran.err,
        "the server answered 400: parse error at line 1, col 9: syntax error: unexpected $end\n  {app=\"a\"\n          ^\n"
    );
}

#[test]
fn a_query_that_no_url_holds_is_not_sent() {
    let server = FakeServer::start(|_, _| Reply::new(200, "{}"));
    let ran = run(&server.address, &["query", "-q", "--retries=3", &"x".repeat(70_000)], b"");
    assert_eq!((ran.code, server.seen().len(), ran.slept.len()), (2, 0, 0));
    assert!(ran.err.starts_with("the request cannot be sent: "), "{}", ran.err);
}

#[test]
fn the_exit_code_says_who_failed() {
    let check = |status: u16, code: u8, text: &str| {
        let server = FakeServer::start(move |_, _| Reply::new(status, "why"));
        let ran = run(&server.address, &["labels", "-q"], b"");
        assert_eq!(ran.code, code);
        assert!(ran.err.starts_with(text), "{}", ran.err);
    };
    check(401, 3, "the server answered 401: why\n");
    check(429, 3, "the server answered 429: why (a limit was reached, try again later)\n");
    check(500, 1, "the server answered 500: why\n");
    let ran = run(&FakeServer::start(|_, _| Reply::new(404, "")).address, &["labels", "-q"], b"");
    assert_eq!((ran.code, ran.err.as_str()), (3, "the server answered 404: Not Found\n"));
    check(0, 4, "no answer from http://127.0.0.1:");
}

#[test]
fn queries_are_sent_again_as_often_as_the_user_wants() {
    let server =
        FakeServer::start(|_, n| if n < 2 { Reply::new(503, "later") } else { Reply::new(200, r#"{"status":"success","data":["x"]}"#) });
    let ran = run(&server.address, &["labels", "-q", "--retries=2", "--min-backoff=2"], b"");
    assert_eq!((ran.code, ran.out.as_str(), ran.slept), (0, "x\n", vec![2.0, 4.0]));
}
