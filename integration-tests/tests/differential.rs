//! Two servers with the same entries answer alike, whatever lies in memory and what on disk; a difference between them is found.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes and files")]

use integration_tests::{GENEROUS, Server, push_body};
use std::process::{Command, Output};

/// 2026-01-15T00:00:00Z.
const START: i64 = 1_768_435_200_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// The questions, as both kinds of files have them.
const LINES: &str = r#"
{"name":"lines","path":"/loki/api/v1/query_range","params":{"query":"{app=~\".+\"}","limit":"5000","direction":"forward"}}
{"name":"categorised","path":"/loki/api/v1/query_range","params":[["query","{app=\"b\"} | logfmt"],["limit","50"]],"headers":{"X-Loki-Response-Encoding-Flags":"categorize-labels"}}
{"name":"range","path":"/loki/api/v1/query_range","params":{"query":"sum by (app) (rate({app=~\".+\"} |= \"n=\"[1m]))","step":"30s"}}
{"name":"instant","path":"/loki/api/v1/query","params":{"query":"sum by (app) (count_over_time({app=~\".+\"}[1h]))"}}
{"name":"labels","path":"/loki/api/v1/labels"}
{"name":"stats","path":"/loki/api/v1/index/stats","params":{"query":"{app=\"a\"}"}}
{"name":"refused","path":"/loki/api/v1/query_range","params":{"query":"{app="}}
"#;
const ARRAY: &str = r#"[
{"name":"needle","kind":"range","logql":"{app=~\".+\"} |= \"n=17\"","limit":100},
{"name":"sum","kind":"instant","logql":"sum(sum_over_time({app=\"a\"} | logfmt | unwrap n [1h]))"},
{"name":"values","kind":"labels","logql":"app"}
]"#;

fn compare(questions: &str, servers: [&Server; 2], more: &[&str]) -> (i32, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), questions).unwrap();
    let (start, end) = ((START - SECOND_NS).to_string(), (START + 600 * SECOND_NS).to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.arg(file.path()).args(servers.map(Server::address)).args(["--start", &start, "--end", &end]).args(more);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn servers_with_equal_entries_answer_alike_and_a_planted_difference_is_found() {
    let (memory, flushed) = (Server::start(GENEROUS), Server::start(GENEROUS));
    for server in [&memory, &flushed] {
        for app in ["a", "b"] {
            let entries: Vec<(i64, String)> = (0..300).map(|i| (START + i / 2 * SECOND_NS, format!("level=info n={i}"))).collect();
            server.push("", &push_body(&[("app", app)], &entries));
        }
    }
    flushed.flush();
    let pair = [&memory, &flushed];
    assert_eq!(compare(LINES, pair, &[]), (0, "7 questions: 7 equal, 0 different, 0 with another error text\n".to_owned()));
    assert_eq!(compare(LINES, pair, &["--strict-ties", "--tolerance", "0"]).0, 0);
    assert_eq!(
        compare(ARRAY, pair, &["--tenant", "anyone"]),
        (0, "3 questions: 3 equal, 0 different, 0 with another error text\n".to_owned())
    );

    flushed.push("", &push_body(&[("app", "a")], &[(START + 17 * SECOND_NS, "level=info n=1700")]));
    let (code, told) = compare(LINES, pair, &["--width", "80"]);
    assert_eq!(code, 1, "{told}");
    for name in ["lines ", "range ", "instant ", "stats "] {
        assert!(told.lines().any(|line| line.starts_with(name)), "{name}: {told}");
    }
    for name in ["categorised ", "labels ", "refused "] {
        assert!(!told.lines().any(|line| line.starts_with(name)), "{name}: {told}");
    }
    assert!(told.ends_with("7 questions: 3 equal, 4 different, 0 with another error text\n"), "{told}");
    let (code, told) = compare(ARRAY, pair, &[]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("needle /loki/api/v1/query_range {app=~\".+\"} |= \"n=17\"\n") && !told.contains("values /"), "{told}");

    // The order of entries of one nanosecond counts only when asked for.
    let tied = [("app", "c")];
    memory.push("", &push_body(&tied, &[(START, "one"), (START, "two")]));
    flushed.push("", &push_body(&tied, &[(START, "two"), (START, "one")]));
    let question = "{\"path\":\"/loki/api/v1/query_range\",\"params\":{\"query\":\"{app=\\\"c\\\"}\"}}";
    assert_eq!(compare(question, pair, &[]).0, 0);
    assert_eq!(compare(question, pair, &["--strict-ties"]).0, 1);

    assert_eq!(compare("nonsense", pair, &[]).0, 2);
    let mut gone = Server::start("");
    gone.kill();
    let (code, told) = compare(LINES, [&memory, &gone], &[]);
    assert!(code == 2 && told.contains("ask http://127.0.0.1:"), "{code} {told}");
}
