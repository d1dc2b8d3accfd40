//! Lines around a line, and scrolling: nothing is missing and nothing comes twice, down to the nanosecond.

use crate::shop::{Grafana, HOUR, Row, START, rows};
use std::collections::BTreeSet;

fn ids(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().map(|row| row.id.clone()).collect()
}

#[test]
fn context_both_ways_has_every_other_line_once() {
    let grafana = Grafana::start();
    let t = START + HOUR + 123_456_789;
    let app = |at: i64, line: &str| (at, line.to_owned());
    let mut entries: Vec<(i64, String)> =
        (1..=15).flat_map(|i| [app(t - i, &format!("before {i}")), app(t + i, &format!("after {i}"))]).collect();
    entries.extend((0..5).map(|i| app(t, &format!("level=info same instant {i}"))));
    grafana.push_lines("x", &entries);
    // The client tried again, and so did another.
    grafana.push_lines("x", &entries[10..34]);
    grafana.push_lines("other", &[(t, "level=info same instant 2")]);
    let selector = "{app=\"x\", service_name=\"x\"}";
    for when in ["in memory", "flushed", "pushed again"] {
        let all = rows(&grafana.logs(selector, (t - HOUR, t + HOUR), "backward", 1000));
        assert_eq!((all.len(), ids(&all).len()), (35, 35), "{when}");
        for clicked in all.iter().filter(|row| row.at == t) {
            let newer = rows(&grafana.logs(selector, (t, t + 2 * HOUR), "forward", 1000));
            let older = rows(&grafana.logs(selector, (t - 2 * HOUR, t), "backward", 1000));
            assert!(newer.iter().all(|row| row.at >= t) && older.iter().all(|row| row.at < t), "{when}");
            // The forward answer has the line itself, which is known by its id.
            assert!(ids(&newer).contains(&clicked.id), "{when}: the id of {clicked:?} is another");
            let around: BTreeSet<String> = ids(&newer).union(&ids(&older)).cloned().collect();
            assert_eq!((around, newer.len() + older.len()), (ids(&all), 35), "{when}");
        }
        // With parsers the ids are those of the lines with their parsed labels, in both calls.
        let parsed = format!("{selector} | logfmt | level=\"info\"");
        let newer = rows(&grafana.logs(&parsed, (t, t + 1), "forward", 50));
        let older = rows(&grafana.logs(&parsed, (t - HOUR, t + 1), "backward", 50));
        assert_eq!((newer.len(), ids(&newer)), (5, ids(&older)), "{when}");
        assert!(newer[0].labels.starts_with(r#"{"app":"x","service_name":"x","detected_level":"info""#), "{}", newer[0].labels);
        // A page smaller than the lines of one instant is the same page each time.
        let page = || rows(&grafana.logs(selector, (t, t + HOUR), "forward", 3));
        assert_eq!((page(), page().len()), (page(), 3), "{when}");
        match when {
            "in memory" => grafana.server.flush(),
            _ => grafana.push_lines("x", &entries),
        }
    }
}

#[test]
fn scrolling_over_ten_thousand_lines_of_one_instant_ends_with_all_of_them() {
    let grafana = Grafana::start();
    let t = START + HOUR;
    let lines: Vec<(i64, String)> = (0..10_000).map(|i| (t + i / 2500, format!("line {i:05} of many"))).collect();
    for part in lines.chunks(2000) {
        grafana.push_lines("many", part);
    }
    for when in ["in memory", "flushed"] {
        for direction in ["backward", "forward"] {
            let (mut start, mut end) = (t - HOUR, t + HOUR);
            let mut seen = BTreeSet::new();
            // A page holds more than the lines of one nanosecond; the next begins with the last of them.
            for page in 0.. {
                assert!(page < 10, "{direction} {when}");
                let found = rows(&grafana.logs("{app=\"many\"}", (start, end), direction, 3000));
                assert!(found.len() <= 3000);
                let last = found.last().map(|row| row.at);
                let new = found.iter().filter(|row| seen.insert(row.id.clone())).count();
                assert!(page == 0 || new == 0 || new >= 500, "{new} new of {} {direction} {when}", found.len());
                if found.len() < 3000 {
                    break;
                }
                if direction == "backward" { end = last.unwrap() + 1 } else { start = last.unwrap() }
            }
            assert_eq!(seen.len(), 10_000, "{direction} {when}");
        }
        // All of one nanosecond, in the order of arrival and in the reverse of it.
        let order = |direction: &str| {
            rows(&grafana.logs("{app=\"many\"}", (t, t + 1), direction, 5000)).into_iter().map(|row| row.line).collect::<Vec<_>>()
        };
        let mut backward = order("backward");
        backward.reverse();
        let want: Vec<String> = lines[..2500].iter().map(|(_, line)| line.clone()).collect();
        assert_eq!((order("forward") == want, backward == want), (true, true), "{when}");
        grafana.server.flush();
    }
}
