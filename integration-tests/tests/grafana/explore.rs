//! Save and test, Explore, dashboards, variables.

use crate::shop::{
    DAY, Grafana, HOUR, MINUTES, QUERY, QUERY_RANGE, Row, SECOND, START, at, checkout, level, result, rows, scheduler, series,
};
use integration_tests::strings;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn save_and_test_gets_two_without_any_data() {
    let grafana = Grafana::start();
    let params = [("direction", "backward"), ("query", "vector(1)+vector(1)"), ("time", "4000000000")];
    let answer = grafana.backend(QUERY, &params, "");
    let want = r#"{"status":"success","data":{"resultType":"vector","encodingFlags":["categorize-labels"],"result":[{"metric":{},"value":[4000000000,"2"]}]"#;
    let plain = want.replace("\"encodingFlags\":[\"categorize-labels\"],", "");
    assert!(answer.text().starts_with(want) || answer.text().starts_with(&plain), "{}", answer.text());
    assert_eq!(result(&answer.json()), [json!({"metric": {}, "value": [4_000_000_000_i64, "2"]})]);
    for time in ["4000000000000000000", "2026-01-15T00:00:00.123Z"] {
        let answer = grafana.backend(QUERY, &[("query", "vector(1)+vector(1)"), ("time", time)], "").json();
        assert_eq!(result(&answer)[0]["value"][1], "2", "{time}");
    }
}

/// Explore: the lines, their volume by level, the size of the query, and the parts of the label browser; in memory and flushed.
#[test]
fn explore_gets_lines_and_their_volume_and_size_and_labels() {
    let grafana = Grafana::with_shop();
    let window = (at(60), at(180));
    for when in ["in memory", "flushed"] {
        let lines = rows(&grafana.logs("{app=\"checkout\"} |= \"GET\"", window, "backward", 1000));
        let want: Vec<(i64, String)> = (60..180).rev().map(|i| (at(i), checkout(i))).collect();
        assert_eq!(lines.iter().map(|row| (row.at, row.line.clone())).collect::<Vec<_>>(), want, "{when}");

        // Each step counts what lies behind the one before it, itself included.
        let query = "sum by (level, detected_level) (count_over_time({app=\"checkout\"} |= \"GET\" | drop __error__[10m]))";
        let volume = grafana.metric(query, (at(60) / (600 * SECOND) * 600 * SECOND, at(180)), 600_000, "Source=logvolhist");
        let mut counts = BTreeMap::<(i64, &str), f64>::new();
        (0..MINUTES).for_each(|i| {
            let step = 600 * SECOND;
            let end = (at(i) + step - 1) / step * step;
            if (at(60)..=at(180)).contains(&end) {
                *counts.entry((end / SECOND, level(i))).or_default() += 1.0;
            }
        });
        let found = series(&volume, "detected_level");
        assert_eq!(found.iter().map(|(level, _)| level.as_str()).collect::<Vec<_>>(), ["error", "info", "warn"], "{when}");
        for (level, points) in &found {
            assert_eq!(points.len(), 13, "{when}");
            points.iter().for_each(|(at, count)| assert_eq!(counts.get(&(*at, level.as_str())), Some(count), "{level} at {at} {when}"));
        }

        let range = [("start", &*at(60).to_string()), ("end", &*(at(180) - 1).to_string())].map(|(name, value)| (name, value.to_owned()));
        let range: Vec<(&str, &str)> = range.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stats = grafana.resource("index/stats", &[&[("query", "{app=\"checkout\"}")], &range[..]].concat()).json();
        let bytes: usize = (60..180).map(|i| checkout(i).len()).sum();
        assert_eq!(stats["streams"], 1, "{stats} {when}");
        assert!(stats["entries"].as_u64().unwrap() >= 120 && stats["bytes"].as_u64().unwrap() >= bytes as u64, "{stats} {when}");
        let summary = grafana.logs("{app=\"checkout\"} |= \"GET\"", window, "backward", 1000)["data"]["stats"]["summary"].clone();
        assert!(summary["totalLinesProcessed"].as_u64().unwrap() >= 120, "{summary} {when}");
        assert!(summary["totalBytesProcessed"].as_u64().unwrap() >= bytes as u64, "{summary} {when}");
        assert!(summary["execTime"].as_f64().unwrap() > 0.0 && summary["totalEntriesReturned"] == 120, "{summary} {when}");

        let names = grafana.resource("labels", &range).json();
        assert_eq!(strings(&names["data"]), ["app", "env", "service_name"], "{when}");
        let names = grafana.resource("labels", &[&range[..], &[("query", "{app=\"checkout\"}")]].concat()).json();
        assert_eq!(strings(&names["data"]), ["app", "env", "service_name"], "{when}");
        let values = grafana.resource("label/app/values", &[&range[..], &[("query", "{env=\"prod\"}")]].concat()).json();
        assert_eq!(strings(&values["data"]), ["checkout", "scheduler"], "{when}");
        let found = grafana.resource("series", &[&range[..], &[("match[]", "{app=\"scheduler\"}")]].concat()).json();
        assert_eq!(found["data"], json!([{"app": "scheduler", "env": "prod", "service_name": "scheduler"}]), "{when}");
        // Samples for the autocomplete of parsers.
        let sample = grafana.logs("{app=\"scheduler\"}", (START, START + 3 * DAY), "backward", 10);
        let newest = MINUTES - 10;
        assert_eq!((rows(&sample).len(), rows(&sample)[0].line.clone()), (10, scheduler(newest)), "{when}");
        grafana.server.flush();
    }
}

#[test]
fn a_metric_query_has_the_values_of_its_lines() {
    let grafana = Grafana::with_shop();
    // Half an hour of `checkout`, each step looks two steps back.
    let (start, end, step) = (at(30), at(60), 300 * SECOND);
    let lines = |at_: i64, range: i64| (0..MINUTES).filter(move |i| at_ - range < at(*i) && at(*i) <= at_);
    let steps = || (0..).map(|n| start + n * step).take_while(|at| *at <= end);
    for when in ["in memory", "flushed"] {
        let query = "sum by (level) (rate({app=\"checkout\"} | json | status=~\"20[01]\" [600s]))";
        let found: BTreeMap<_, _> = series(&grafana.metric(query, (start, end), 300_000, "dashboard"), "level").into_iter().collect();
        for name in ["info", "warn", "error"] {
            let count = |at: i64| lines(at, 600 * SECOND).filter(|i| i % 3 < 2 && level(*i) == name).count();
            let want: Vec<(i64, f64)> = steps().map(|at| (at / SECOND, count(at) as f64 / 600.0)).filter(|point| point.1 > 0.0).collect();
            assert_eq!(found[name], want, "{name} {when}");
        }
        let query = "avg_over_time({app=\"checkout\"} | json | unwrap duration(took) [300s]) by (method)";
        let found = series(&grafana.metric(query, (start, end), 300_000, "dashboard"), "method");
        let took = |at: i64| lines(at, step).map(|i| (100 + i % 50) as f64 / 1000.0).collect::<Vec<_>>();
        for ((time, value), at) in found[0].1.iter().zip(steps()) {
            let want = took(at).iter().sum::<f64>() / took(at).len() as f64;
            assert!(*time == at / SECOND && (value - want).abs() < 1e-9, "{time} {value} {want} {when}");
        }
        assert_eq!((found.len(), found[0].0.as_str(), found[0].1.len()), (1, "GET", 7), "{when}");
        let instant = [("query", "topk(2, sum by (app) (bytes_over_time({env=\"prod\"}[1h])))"), ("time", &*at(600).to_string())];
        let answer = grafana.backend(QUERY, &instant, "FromAlert=true").json();
        let sum: usize = lines(at(600), HOUR).map(|i| checkout(i).len()).sum();
        assert_eq!(result(&answer)[0]["metric"], json!({"app": "checkout"}), "{when}");
        assert_eq!(result(&answer)[0]["value"], json!([at(600) / SECOND, sum.to_string()]), "{when}");
        grafana.server.flush();
    }
}

/// Ranges of more than a day are asked in parts of a day, newest first.
#[test]
fn three_days_in_daily_parts_are_the_whole() {
    let grafana = Grafana::with_shop();
    let (start, end) = (START + 7, START + 3 * DAY + 7);
    let days: Vec<(i64, i64)> = (0..3).rev().map(|day| (start + day * DAY, start + (day + 1) * DAY)).collect();
    for when in ["in memory", "flushed"] {
        let query = "{app=~\"checkout|scheduler\"} | json | logfmt";
        let whole = rows(&grafana.logs(query, (start, end), "backward", 5000));
        let parts: Vec<Row> = days.iter().flat_map(|day| rows(&grafana.logs(query, *day, "backward", 5000))).collect();
        assert_eq!(whole.len() as i64, MINUTES + MINUTES / 10, "{when}");
        let sorted = |mut rows: Vec<Row>| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(parts), sorted(whole.clone()), "{when}");
        // With a limit the first part may have all lines that are wanted, or a part of them.
        let mut missing = 2000;
        let mut limited = Vec::new();
        for day in &days {
            let part = rows(&grafana.logs("{app=\"checkout\"}", *day, "backward", missing));
            missing -= part.len();
            limited.extend(part);
            if missing == 0 {
                break;
            }
        }
        let direct = rows(&grafana.logs("{app=\"checkout\"}", (start, end), "backward", 2000));
        assert_eq!(limited, direct, "{when}");

        let step = 600_000 * 1_000_000;
        let query = "sum by (level) (count_over_time({app=\"checkout\"} | json [30m]))";
        let (start, end) = (START, START + 3 * DAY - step);
        let whole: BTreeMap<_, _> = series(&grafana.metric(query, (start, end), 600_000, ""), "level").into_iter().collect();
        let mut parts = BTreeMap::<String, Vec<(i64, f64)>>::new();
        for day in 0..3 {
            let part = (START + day * DAY, START + (day + 1) * DAY - step);
            series(&grafana.metric(query, part, 600_000, ""), "level")
                .into_iter()
                .for_each(|(level, points)| parts.entry(level).or_default().extend(points));
        }
        assert_eq!(parts, whole, "{when}");
        assert!(whole["info"].len() > 400, "{when}");
        grafana.server.flush();
    }
}

/// A variable's values, with a selector and without; and what is not there is nothing, never an error.
#[test]
fn variables_and_unknown_labels_are_lists() {
    let grafana = Grafana::with_shop();
    let range = [("start", START.to_string()), ("end", (START + 3 * DAY).to_string())];
    let range: Vec<(&str, &str)> = range.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let empty = |path: &str, more: &[(&str, &str)]| {
        let answer = grafana.resource(path, &[&range[..], more].concat()).json();
        assert_eq!(answer["status"], "success", "{path}");
        assert!(matches!(&answer["data"], Value::Null) || answer["data"] == json!([]), "{path}: {answer}");
    };
    empty("label/__stream_shard__/values", &[]);
    empty("label/no_such_label/values", &[("query", "{app=\"checkout\"}")]);
    empty("label/app/values", &[("query", "{app=\"nobody\"}")]);
    empty("series", &[("match[]", "{app=\"nobody\"}")]);
    empty("labels", &[("query", "{app=\"nobody\"}")]);
    // Shards are asked for only where there are some; the question is fine anyhow.
    let sharded = grafana.logs("{app=\"checkout\", __stream_shard__=~\"1|2\"}", (START, START + DAY), "backward", 10);
    assert_eq!(result(&sharded), [] as [Value; 0]);
    let whole = grafana.logs("{app=\"checkout\", __stream_shard__=\"\"}", (at(0), at(5)), "backward", 10);
    assert_eq!(rows(&whole).len(), 5);
    for (query, more) in [("{app=\"checkout\"}", None), ("{app=~\"check.*\"}", Some("12h"))] {
        let range = if more.is_some() { &[("since", "12h"), ("end", range[1].1)][..] } else { &range[..] };
        let values = grafana.resource("label/service_name/values", &[range, &[("query", query)]].concat()).json();
        assert_eq!(strings(&values["data"]), ["checkout"]);
    }
    let answer = grafana.backend(QUERY_RANGE, &[("query", "{app=\"checkout\"} |= `x` # a comment"), range[0], range[1]], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
}
