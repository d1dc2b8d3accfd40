//! The Live button: a tail through the data source's proxy, which is opened again after an abnormal end.

use crate::shop::{Grafana, QUERY_RANGE, rows};
use integration_tests::{Frame, Tail, now_ns};
use serde_json::json;

const TAIL: &str = "/loki/api/v1/tail";

fn open(grafana: &Grafana, query: &str) -> Tail {
    let headers = [
        ("x-scope-orgid", "tenant-1"),
        ("user-agent", "Grafana/12.3.1"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
    ];
    Tail::open_with(&grafana.server, TAIL, &[("query", query)], &headers)
}

#[test]
fn live_lines_are_those_that_explore_shows_and_come_again_after_a_restart() {
    let mut grafana = Grafana::start();
    let (query, now) = ("{app=\"live\"} |= \"line\" | logfmt", now_ns());
    grafana.push_lines("live", &[(now - 2, "line n=1"), (now - 1, "other n=2")]);
    let mut tail = open(&grafana, query);
    let mut found = tail.entries(1);
    grafana.push(&json!({"streams": [{"stream": {"app": "live"}, "values": [[now.to_string(), "line n=3", {"pod": "p"}]]}]}));
    found.extend(tail.entries(1));
    assert_eq!(found.iter().map(|entry| (entry.at, entry.line.as_str())).collect::<Vec<_>>(), [(now - 2, "line n=1"), (now, "line n=3")]);
    // All labels stand on the stream, where no one asks for categories.
    let labels = json!({"app": "live", "detected_level": "unknown", "n": "3", "pod": "p", "service_name": "live"});
    assert_eq!(found[1].stream["stream"], labels);
    assert_eq!(found[1].stream["values"], json!([[now.to_string(), "line n=3"]]));
    let (start, end) = ((now - 10).to_string(), (now + 10).to_string());
    let shown = rows(&grafana.backend(QUERY_RANGE, &[("query", query), ("start", &start), ("end", &end)], "").json());
    assert_eq!(shown.len(), found.len());

    grafana.server.kill();
    while tail.frame() != Frame::Lost {}
    grafana.server.restart();
    let mut tail = open(&grafana, query);
    let again: Vec<(i64, String)> = tail.entries(2).into_iter().map(|entry| (entry.at, entry.line)).collect();
    assert_eq!(again, [(now - 2, "line n=1".to_owned()), (now, "line n=3".to_owned())]);
    tail.leave();
}
