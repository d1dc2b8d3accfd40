//! Logs Drilldown: its start page, the tabs of a service, its filters and limits. Its times are RFC 3339 with milliseconds.

use crate::shop::{Grafana, MINUTES, QUERY_RANGE, at, checkout, level, result, rows, scheduler, series};
use integration_tests::Answer;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const APP: &str = "Source=grafana-lokiexplore-app";
/// All entries of the shop.
const RANGE: [(&str, &str); 2] = [("start", "2026-01-15T00:00:00.000Z"), ("end", "2026-01-18T00:00:00.000Z")];

fn ask(grafana: &Grafana, path: &str, params: &[(&str, &str)]) -> Answer {
    let headers = [("x-scope-orgid", "tenant-1"), ("x-query-tags", APP)];
    grafana.server.ask_with(&format!("/loki/api/v1/{path}"), &[params, &RANGE].concat(), &headers)
}

fn checkout_lines() -> impl Iterator<Item = String> {
    (0..MINUTES).map(checkout)
}

fn scheduler_lines() -> impl Iterator<Item = String> {
    (0..MINUTES).step_by(10).map(scheduler)
}

/// Metric and value of each sample.
fn samples(answer: &Value) -> Vec<(Value, f64)> {
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    result(answer).iter().map(|sample| (sample["metric"].clone(), number(&sample["value"][1]))).collect()
}

#[test]
fn the_start_page_lists_services_by_size_with_their_volumes_and_lines() {
    let grafana = Grafana::with_shop();
    // Metadata counts as pushed, and a derived level 8 bytes.
    let checkout_bytes = checkout_lines().map(|line| line.len() + "trace_id".len() + 32 + 8).sum::<usize>() as f64;
    let scheduler_bytes = scheduler_lines().map(|line| line.len() + 8).sum::<usize>() as f64;
    for when in ["in memory", "flushed"] {
        let volume = ask(&grafana, "index/volume", &[("query", "{service_name=~\".+\"}"), ("limit", "5000")]).json();
        assert_eq!(volume["data"]["resultType"], "vector", "{when}");
        let found = samples(&volume);
        let want =
            [("checkout", checkout_bytes), ("scheduler", scheduler_bytes)].map(|(name, bytes)| (json!({"service_name": name}), bytes));
        assert_eq!(found, want, "{when}");
        let by_label = ask(&grafana, "index/volume", &[("query", "{}"), ("aggregateBy", "labels"), ("targetLabels", "env,app")]).json();
        let names: Vec<Value> = samples(&by_label).into_iter().map(|(metric, _)| metric).collect();
        assert_eq!(names, [json!({"app": ""}), json!({"env": ""})], "{when}");
        let searched = ask(&grafana, "index/volume", &[("query", "{service_name=~\"(?i).*CHECK.*\"}")]).json();
        assert_eq!(samples(&searched), [found[0].clone()], "{when}");
        let over_time = ask(&grafana, "index/volume_range", &[("query", "{service_name=\"checkout\"}"), ("step", "43200s")]).json();
        assert_eq!(over_time["data"]["resultType"], "matrix", "{when}");
        let points = &series(&over_time_in_millis(over_time), "service_name")[0].1;
        assert_eq!((points.len(), points.iter().map(|point| point.1).sum()), (6, checkout_bytes), "{points:?} {when}");

        let query = "sum by (detected_level) (count_over_time({service_name=\"checkout\"} | detected_level != \"\" [1h]))";
        let panel = ask(&grafana, "query_range", &[("query", query), ("step", "3600000ms")]).json();
        let found: BTreeMap<String, f64> =
            series(&panel, "detected_level").into_iter().map(|(level, points)| (level, points.iter().map(|point| point.1).sum())).collect();
        let want = ["info", "warn", "error"].map(|name| (name.to_owned(), (0..MINUTES).filter(|i| level(*i) == name).count() as f64));
        assert_eq!(found, BTreeMap::from(want), "{when}");
        let lines = grafana.logs("{service_name=\"scheduler\"}", (at(0), at(MINUTES)), "backward", 100);
        assert_eq!(rows(&lines).len(), 100, "{when}");
        grafana.server.flush();
    }
}

/// Volumes stamp a bucket a millisecond before its end: whole seconds are enough to look at them.
fn over_time_in_millis(mut answer: Value) -> Value {
    for series in answer["data"]["result"].as_array_mut().unwrap() {
        for point in series["values"].as_array_mut().unwrap() {
            point[0] = json!(point[0].as_f64().unwrap().ceil() as i64);
        }
    }
    answer
}

#[test]
fn the_limits_page_says_what_holds_for_the_tenant() {
    let grafana = Grafana::start();
    let answer = ask(&grafana, "drilldown-limits", &[]).json();
    let limits = &answer["limits"];
    for (name, want) in [
        ("discover_log_levels", json!(true)),
        ("max_entries_limit_per_query", json!(5000)),
        ("max_query_series", json!(2000)),
        ("max_query_length", json!("30d1h")),
        ("retention_period", json!("0s")),
        ("query_timeout", json!("1m")),
        ("volume_enabled", json!(true)),
        ("volume_max_series", json!(1000)),
        ("max_query_bytes_read", json!("0B")),
    ] {
        assert_eq!(limits[name], want, "{name}");
    }
    assert_eq!(limits["discover_service_name"][0], "service");
    assert!(answer["pattern_ingester_enabled"].is_boolean() && answer["version"].is_string(), "{answer}");
    // What is said is what holds.
    let refused = grafana.backend(QUERY_RANGE, &[("query", "{a=\"b\"}"), ("limit", "5001")], APP);
    assert_eq!(refused.status, 400);
    assert_eq!(grafana.server.get("/loki/api/v1/drilldown-limits").status, 401);
}

/// Filters that the app puts together, and how many lines of each service pass them.
#[test]
fn filters_of_all_tabs_pass_the_lines_that_they_say() {
    let grafana = Grafana::with_shop();
    let checkout = |passes: fn(i64) -> bool| (0..MINUTES).filter(|i| passes(*i)).count();
    let parsers = "| json | logfmt | drop __error__, __error_details__";
    let cases: Vec<(String, usize)> = vec![
        ("{service_name=\"checkout\"} |~ \"(?i)GeT\" |= \"size\"".to_owned(), MINUTES as usize),
        ("{service_name=\"checkout\"} | detected_level=\"error\"".to_owned(), checkout(|i| i % 5 == 4)),
        (
            "{service_name=\"checkout\"} | detected_level=\"error\" or detected_level=\"warn\"".to_owned(),
            checkout(|i| i % 5 == 4 || i % 5 == 2),
        ),
        ("{service_name=\"checkout\"} | trace_id=\"0000000000000000000000000000002a\"".to_owned(), checkout(|i| i % 100 == 42)),
        (format!("{{service_name=\"checkout\"}} {parsers} | status=\"201\" | user_id!=\"3\""), checkout(|i| i % 3 == 1 && i % 4 != 3)),
        ("{service_name=\"checkout\"} | json id=\"[\\\"user\\\"][\\\"id\\\"]\" | id=\"2\"".to_owned(), checkout(|i| i % 4 == 2)),
        (format!("{{service_name=\"checkout\"}} {parsers} | took > 120ms | size <= 3kB"), checkout(|i| i % 50 > 20 && i % 7 <= 3)),
        (format!("{{service_name=\"scheduler\"}} {parsers} | items>=4"), checkout(|i| i % 10 == 0 && i % 9 >= 4)),
        ("{service_name=\"scheduler\"} |> \"level=<_> msg=\\\"job <_> done\\\" items=<_>\"".to_owned(), checkout(|i| i % 10 == 0)),
        ("{service_name=\"scheduler\"} !> \"<_>job 2 done<_>\"".to_owned(), checkout(|i| i % 10 == 0 && i % 8 != 2)),
        (
            "{service_name=\"scheduler\"} |= `job 2` or `job 4` # two of them".to_owned(),
            checkout(|i| i % 10 == 0 && (i % 8 == 2 || i % 8 == 4)),
        ),
        ("{env=\"prod\"} |= \"no such line\"".to_owned(), 0),
    ];
    for when in ["in memory", "flushed"] {
        for (query, want) in &cases {
            let found = rows(&grafana.logs(query, (at(0), at(MINUTES)), "backward", 5000)).len();
            assert_eq!(found, *want, "{query} {when}");
            let count = format!("sum(count_over_time({query} [3d]))").replace(" # two of them", "");
            let counted = ask(&grafana, "query", &[("query", &count), ("time", "2026-01-18T00:00:00.000Z")]).json();
            let counted: f64 = samples(&counted).iter().map(|sample| sample.1).sum();
            assert_eq!(counted, *want as f64, "{query} {when}");
        }
        grafana.server.flush();
    }
}

/// One panel for each kind of field.
#[test]
fn panels_of_fields_have_the_values_of_the_lines() {
    let grafana = Grafana::with_shop();
    let range = |value: fn(i64) -> f64| (0..MINUTES).map(value).collect::<Vec<f64>>();
    let (took, size) = (range(|i| (100 + i % 50) as f64 / 1000.0), range(|i| (i % 7) as f64 * 1000.0));
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut sorted = took.clone();
    sorted.sort_by(f64::total_cmp);
    let rank = 0.9 * (sorted.len() - 1) as f64;
    let quantile = sorted[rank as usize] + (sorted[rank as usize + 1] - sorted[rank as usize]) * rank.fract();
    let users = (0..4).map(|user| (0..MINUTES).filter(|i| i % 4 == user).count() as f64).collect::<Vec<_>>();
    let over = |op: &str, unwrap: &str| {
        format!("{op}{{service_name=\"checkout\"}} | json | logfmt | drop __error__, __error_details__ {unwrap} [3d])")
    };
    for when in ["in memory", "flushed"] {
        for (query, want) in [
            (format!("{} by ()", over("avg_over_time(", "| unwrap duration(took)")), vec![average(&took)]),
            (format!("{} by ()", over("quantile_over_time(0.9, ", "| unwrap duration(took)")), vec![quantile]),
            (format!("{} by ()", over("max_over_time(", "| unwrap bytes(size)")), vec![6000.0]),
            (format!("sum({})", over("sum_over_time(", "| unwrap bytes(size)")), vec![size.iter().sum()]),
            (format!("sum by (user_id) ({})", over("count_over_time(", "| user_id!=\"\"")), users.clone()),
            (format!("sum({}) by (env)", over("bytes_over_time(", "")), vec![checkout_lines().map(|line| line.len() as f64).sum()]),
            (format!("count(sum by (took) ({}))", over("count_over_time(", "")), vec![50.0]),
        ] {
            let answer = ask(&grafana, "query", &[("query", &query), ("time", "2026-01-18T00:00:00.000Z")]).json();
            let found: Vec<f64> = samples(&answer).iter().map(|sample| sample.1).collect();
            assert_eq!(found.len(), want.len(), "{query} {when}: {answer}");
            let near = |(found, want): (&f64, &f64)| (found - want).abs() <= 1e-9 * want.abs();
            assert!(found.iter().zip(&want).all(near), "{query} {when}: {found:?}, expected {want:?}");
        }
        grafana.server.flush();
    }
}

#[test]
fn the_label_tab_counts_values_of_the_selected_streams() {
    let grafana = Grafana::with_shop();
    let cardinalities = |query: &[(&str, &str)]| {
        let answer = ask(&grafana, "detected_labels", query).json();
        let mut found: Vec<(String, u64)> = answer["detectedLabels"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .iter()
            .map(|label| (label["label"].as_str().unwrap().to_owned(), label["cardinality"].as_u64().unwrap()))
            .collect();
        found.sort();
        found
    };
    let want = |app: u64| [("app", app), ("env", 1), ("service_name", app)].map(|(name, count)| (name.to_owned(), count));
    for when in ["in memory", "flushed"] {
        assert_eq!(cardinalities(&[("query", "{service_name=\"checkout\"}")]), want(1), "{when}");
        // The app sends an empty text where the selector would be empty.
        assert_eq!(cardinalities(&[("query", "")]), want(2), "{when}");
        assert_eq!(cardinalities(&[]), want(2), "{when}");
        let panel = [("query", "sum(count_over_time({service_name=~\".+\"} [3d])) by (app)"), ("time", RANGE[1].1)];
        let found = samples(&ask(&grafana, "query", &panel).json());
        assert_eq!(found, [(json!({"app": "checkout"}), MINUTES as f64), (json!({"app": "scheduler"}), (MINUTES / 10) as f64)], "{when}");
        let values = ask(&grafana, "label/app/values", &[("query", "{env=\"prod\"}")]).json();
        assert_eq!(values["data"], json!(["checkout", "scheduler"]), "{when}");
        grafana.server.flush();
    }
    assert_eq!(ask(&grafana, "detected_labels", &[("query", "{service_name=\"nobody\"}")]).status, 200);
}

#[test]
fn the_fields_tab_knows_types_parsers_and_values() {
    let grafana = Grafana::with_shop();
    for when in ["in memory", "flushed"] {
        let answer = ask(&grafana, "detected_fields", &[("query", "{service_name=\"checkout\"}"), ("line_limit", "1000")]).json();
        assert!(answer.get("data").is_none() && answer["limit"] == 1000, "{answer}");
        let fields: BTreeMap<&str, &Value> =
            answer["fields"].as_array().unwrap().iter().map(|field| (field["label"].as_str().unwrap(), field)).collect();
        for (name, kind, cardinality, parsers, path) in [
            ("status", "int", 3, json!(["json"]), json!(["status"])),
            ("took", "duration", 50, json!(["json"]), json!(["took"])),
            ("size", "bytes", 7, json!(["json"]), json!(["size"])),
            ("method", "string", 1, json!(["json"]), json!(["method"])),
            ("user_id", "int", 4, json!(["json"]), json!(["user", "id"])),
            ("detected_level", "string", 3, json!(null), json!(null)),
        ] {
            let field = fields.get(name).unwrap_or_else(|| panic!("no {name} in {answer}"));
            let found = [&field["type"], &field["cardinality"], &field["parsers"], &field["jsonPath"]];
            assert_eq!(found, [&json!(kind), &json!(cardinality), &parsers, &path], "{name} {when}");
        }
        assert_eq!(fields["trace_id"]["parsers"], json!(null), "{when}");
        assert!(!fields.contains_key("app"), "stream labels are no fields, {when}");
        let logfmt = ask(&grafana, "detected_fields", &[("query", "{service_name=\"scheduler\"} | items > 3")]).json();
        assert!(logfmt.get("data").is_none(), "{logfmt}");
        let logfmt = ask(&grafana, "detected_fields", &[("query", "{service_name=\"scheduler\"}")]).json();
        let items = logfmt["fields"].as_array().unwrap().iter().find(|field| field["label"] == "items").unwrap();
        assert_eq!((&items["type"], &items["parsers"], &items["cardinality"]), (&json!("int"), &json!(["logfmt"]), &json!(9)), "{when}");
        let values = |name: &str| {
            let path = format!("detected_field/{name}/values");
            let answer = ask(&grafana, &path, &[("query", "{service_name=\"checkout\"}"), ("line_limit", "1000")]).json();
            assert!(answer.get("data").is_none(), "{answer}");
            let mut values = integration_tests::strings(&answer["values"]);
            values.sort();
            values
        };
        assert_eq!(
            (values("status"), values("method")),
            (vec!["200".to_owned(), "201".into(), "202".into()], vec!["GET".to_owned()]),
            "{when}"
        );
        assert_eq!(values("user_id"), ["0", "1", "2", "3"], "{when}");
        grafana.server.flush();
    }
    let refused = ask(&grafana, "detected_fields", &[("query", "rate({service_name=\"checkout\"}[1m])")]);
    assert_eq!(refused.status, 400, "{}", refused.text());
}

/// Every line is under one pattern at most, and a pattern is a filter that passes the lines that were counted under it.
#[test]
fn the_patterns_tab_counts_lines_that_its_patterns_pass() {
    let grafana = Grafana::with_shop();
    for when in ["in memory", "flushed"] {
        for (service, lines) in [("scheduler", MINUTES / 10), ("checkout", MINUTES)] {
            let query = format!("{{service_name=\"{service}\"}}");
            let answer = ask(&grafana, "patterns", &[("query", &query), ("step", "3600s")]).json();
            assert_eq!(answer["status"], "success");
            let patterns = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
            let mut of_levels = BTreeMap::<&str, i64>::new();
            for pattern in patterns {
                let (text, of_level) = (pattern["pattern"].as_str().unwrap(), pattern["level"].as_str().unwrap());
                let samples = pattern["samples"].as_array().unwrap();
                assert!(samples.iter().all(|sample| sample[0].as_i64().unwrap() % 3600 == 0), "{pattern}");
                let count: i64 = samples.iter().map(|sample| sample[1].as_i64().unwrap()).sum();
                *of_levels.entry(of_level).or_default() += count;
                let filter = format!("sum(count_over_time({query} | detected_level=\"{of_level}\" |> {text:?} [3d]))");
                let passed = samples_sum(&ask(&grafana, "query", &[("query", &filter), ("time", RANGE[1].1)]));
                assert!(passed >= count as f64, "{text} counts {count}, passes {passed}, {when}");
            }
            assert!(patterns.iter().any(|pattern| pattern["pattern"].as_str().unwrap().contains("<_>")), "{answer}");
            // All lines of a service are alike, so that none is left out.
            let step = if service == "scheduler" { 10 } else { 1 };
            for (of_level, count) in &of_levels {
                let want = (0..MINUTES).step_by(step).filter(|i| level(*i) == *of_level).count() as i64;
                assert_eq!(*count, want, "{of_level} of {service} {when}: {answer}");
            }
            assert_eq!(of_levels.values().sum::<i64>(), lines, "{service} {when}");
        }
        let nothing = ask(&grafana, "patterns", &[("query", "{service_name=\"nobody\"}")]).json();
        assert_eq!(nothing, json!({"status": "success", "data": []}), "{when}");
        grafana.server.flush();
    }
}

fn samples_sum(answer: &Answer) -> f64 {
    samples(&answer.json()).iter().map(|sample| sample.1).sum()
}
