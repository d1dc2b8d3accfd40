//! Answers byte by byte where readers depend on it, and the odd things that requests may hold.

use crate::shop::{Grafana, HOUR, QUERY, QUERY_RANGE, SECOND, START, at, checkout, result, rows};
use integration_tests::Answer;
use serde_json::{Value, json};

fn window(start: i64, end: i64) -> [(&'static str, String); 2] {
    [("start", start.to_string()), ("end", end.to_string())]
}

/// The text of an answer up to its statistics, which must come next.
fn before_stats(answer: &Answer) -> &str {
    let text = answer.text();
    let end = text.find(",\"stats\":{\"summary\":{").unwrap_or_else(|| panic!("no statistics in {text}"));
    assert!(text.ends_with("}}\n") || text.ends_with("}}"), "{text}");
    &text[..end]
}

#[test]
fn answers_have_their_members_in_the_order_that_stream_readers_need() {
    let grafana = Grafana::start();
    let t = START + HOUR;
    grafana.push(&json!({"streams": [{"stream": {"job": "b", "app": "a"}, "values": [
        [t.to_string(), "level=warn a=\"<&>\" n=1", {"zone": "z", "pod": "p"}],
        [(t + 1).to_string(), "plain"],
    ]}]}));
    let [start, end] = window(t, t + 2);
    let params = [("query", "{app=\"a\"} | logfmt"), (start.0, &*start.1), (end.0, &*end.1), ("direction", "forward"), ("limit", "10")];
    for when in ["in memory", "flushed"] {
        let answer = grafana.backend(QUERY_RANGE, &params, "");
        assert_eq!(answer.header("content-type").to_lowercase(), "application/json; charset=utf-8");
        let want = concat!(
            r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":["#,
            r#"{"stream":{"app":"a","job":"b","service_name":"a"},"values":["#,
            r#"["1768438800000000000","level=warn a=\"\u003c\u0026\u003e\" n=1","#,
            r#"{"structuredMetadata":{"detected_level":"warn","pod":"p","zone":"z"},"parsed":{"a":"<&>","level":"warn","n":"1"}}],"#,
            r#"["1768438800000000001","plain",{"structuredMetadata":{"detected_level":"unknown"}}]]}]"#,
        );
        assert_eq!(before_stats(&answer), want, "{when}");
        let plain = grafana.resource("query_range", &params);
        let want = concat!(
            r#"{"status":"success","data":{"resultType":"streams","result":["#,
            r#"{"stream":{"a":"<&>","app":"a","detected_level":"warn","job":"b","level":"warn","n":"1","pod":"p","service_name":"a","zone":"z"},"#,
            r#""values":[["1768438800000000000","level=warn a=\"\u003c\u0026\u003e\" n=1"]]},"#,
            r#"{"stream":{"app":"a","detected_level":"unknown","job":"b","service_name":"a"},"values":[["1768438800000000001","plain"]]}]"#,
        );
        assert_eq!(before_stats(&plain), want, "{when}");
        let metric = [("query", "sum by (job) (rate({app=\"a\"}[2s]))"), (start.0, &start.1), (end.0, &end.1), ("step", "500ms")];
        let answer = grafana.resource("query_range", &metric);
        let want = concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"b"},"#,
            r#""values":[[1768438800,"0.5"],[1768438800.5,"1"]]}]"#
        );
        assert_eq!(before_stats(&answer), want, "{when}");
        let nothing = [("query", "{app=\"nobody\"}"), (start.0, &*start.1), (end.0, &*end.1)];
        let answer = grafana.backend(QUERY_RANGE, &nothing, "");
        let want = r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[]"#;
        assert_eq!(before_stats(&answer), want, "{when}");
        grafana.server.flush();
    }
    let infinite = [("query", "vector(0) / vector(0)"), ("time", "1768438800")];
    assert_eq!(result(&grafana.resource("query", &infinite).json())[0]["value"], json!([1_768_438_800, "NaN"]));
}

/// An entry without metadata and parsed labels has an empty object all the same.
#[test]
fn every_value_is_a_triple_where_labels_are_categorised() {
    let config = format!("auth_enabled: true\n{}  discover_log_levels: false\n", integration_tests::GENEROUS);
    let grafana = Grafana { server: integration_tests::Server::start(&config) };
    grafana.push_lines("bare", &[(START, "line")]);
    let answer = grafana.logs("{app=\"bare\"}", (START, START + 1), "backward", 1);
    assert_eq!(result(&answer)[0]["values"], json!([[START.to_string(), "line", {}]]));
    // A label that a stage makes of an indexed one is a parsed one.
    let renamed = grafana.logs("{app=\"bare\"} | label_format app=\"new\"", (START, START + 1), "backward", 1);
    assert_eq!(result(&renamed)[0]["stream"], json!({"service_name": "bare"}));
    assert_eq!(result(&renamed)[0]["values"][0][2], json!({"parsed": {"app": "new"}}));
    // Errors are parsed labels, too.
    let broken = grafana.logs("{app=\"bare\"} | json", (START, START + 1), "backward", 1);
    assert_eq!(result(&broken)[0]["values"][0][2]["parsed"]["__error__"], "JSONParserErr");
}

#[test]
fn odd_headers_and_spellings_change_nothing() {
    let grafana = Grafana::with_shop();
    let [start, end] = window(at(0), at(10));
    let ask = |query: &str, more: &[(&str, &str)], headers: &[(&str, &str)]| {
        let params = [&[("query", query), (start.0, &*start.1), (end.0, &*end.1)], more].concat();
        let headers = [&[("x-scope-orgid", "tenant-1"), ("x-loki-response-encoding-flags", "categorize-labels")], headers].concat();
        grafana.server.ask_with(QUERY_RANGE, &params, &headers)
    };
    let query = "{app=\"checkout\"}";
    let want = rows(&ask(query, &[], &[]).json());
    assert_eq!(want.len(), 10);
    for tags in [
        "Source=logvolhist",
        "Source=grafana-lokiexplore-app",
        "Source=a,,=b;;\"{}\\ \u{7f}",
        "",
        "x",
        "\u{e9}\u{4e16}",
        &"k=v,".repeat(2000),
    ] {
        let headers: &[(&str, &str)] = &[("x-query-tags", tags)];
        // A character that no header may hold does not leave the client.
        if ureq_takes(tags) {
            assert_eq!(rows(&ask(query, &[], headers).json()), want, "{tags:?}");
        }
    }
    for context in
        ["{\"Expr\":\"{app=\\\"checkout\\\"}\",\"From\":\"2026-01-15T00:00:00Z\",\"To\":\"2026-01-18T00:00:00Z\"}", "{", "null", ""]
    {
        assert_eq!(rows(&ask(query, &[], &[("x-loki-query-limits-context", context)]).json()), want, "{context}");
    }
    for (name, value) in
        [("fromalert", "true"), ("x-rule-uid", "r"), ("traceparent", "00-aa-bb-01"), ("accept", "application/json, text/plain, */*")]
    {
        assert_eq!(rows(&ask(query, &[], &[(name, value)]).json()), want, "{name}");
    }
    for direction in ["backward", "BACKWARD", "Backward"] {
        assert_eq!(rows(&ask(query, &[("direction", direction)], &[]).json()), want, "{direction}");
    }
    let reversed: Vec<_> = want.iter().rev().cloned().collect();
    for direction in ["forward", "FORWARD"] {
        assert_eq!(rows(&ask(query, &[("direction", direction)], &[]).json()), reversed, "{direction}");
    }
    for step in ["15000ms", "1ms", "1m", "0.5", "60"] {
        assert_eq!(ask(query, &[("step", step)], &[]).status, if step == "1ms" { 400 } else { 200 }, "{step}");
    }
}

fn ureq_takes(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

#[test]
fn times_of_drilldown_and_forms_of_old_versions_mean_the_same() {
    let grafana = Grafana::with_shop();
    let query = ("query", "{app=\"checkout\"}");
    let want = rows(&grafana.logs(query.1, (at(0), at(10)), "backward", 100));
    // Half past midnight.
    let spellings = [
        ("2026-01-15T00:30:00.000Z", "2026-01-15T00:40:00.000Z"),
        ("2026-01-15T01:30:00.000+01:00", "2026-01-15T00:40:00Z"),
        ("1768437000", "1768437600"),
        ("1768437000.000", "1768437600.0"),
        ("1768437000000000000", "1768437600000000000"),
    ];
    let flags = ("x-loki-response-encoding-flags", "categorize-labels");
    for (start, end) in spellings {
        let params = [query, ("start", start), ("end", end), ("direction", "backward")];
        assert_eq!(rows(&grafana.backend(QUERY_RANGE, &params, "").json()), want, "{start}");
        let form = integration_tests::form(&params);
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-scope-orgid", "tenant-1"), flags];
        assert_eq!(rows(&grafana.server.post(QUERY_RANGE, &headers, form.as_bytes()).json()), want, "POST {start}");
        // Parameters may be divided between both.
        let (url, form) = (integration_tests::form(&params[..2]), integration_tests::form(&params[2..]));
        let divided = grafana.server.post(&format!("{QUERY_RANGE}?{url}"), &headers, form.as_bytes());
        assert_eq!(rows(&divided.json()), want, "divided {start}");
    }
    let long: Vec<String> = (0..2000).map(|i| format!("no-such-line-{i}")).collect();
    let query = format!("{{app=\"checkout\"}} |~ \"{}|GET\"", long.join("|"));
    let [start, end] = window(at(0), at(10));
    let answer = grafana.backend(QUERY_RANGE, &[("query", &*query), (start.0, &*start.1), (end.0, &*end.1)], "").json();
    assert_eq!(rows(&answer), want, "a long address");
}

#[test]
fn what_is_refused_is_said_as_text_in_words_that_grafana_knows() {
    let grafana = Grafana::with_shop();
    let [start, end] = window(START, START + HOUR);
    let ask = |path: &str, query: &str, more: (&str, &str)| {
        grafana.backend(path, &[("query", query), (start.0, &*start.1), (end.0, &*end.1), more], "")
    };
    for (path, query, more, says) in [
        (QUERY_RANGE, "{app=\"checkout\"} | jsonn", ("limit", "10"), "parse error at line 1, col "),
        (
            QUERY_RANGE,
            "{app=\"checkout\"}",
            ("limit", "6000"),
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)",
        ),
        (QUERY_RANGE, "rate({app=\"checkout\"}[1m])", ("step", "300ms"), "exceeded maximum resolution of 11,000 points per time series"),
        (QUERY_RANGE, "{app=\"checkout\"} |~ \"\\d\"", ("limit", "1"), "invalid char escape"),
        (QUERY, "{app=\"checkout\"}", ("limit", "1"), "log queries are not supported as an instant query type"),
        (
            QUERY_RANGE,
            "sum by (took) (count_over_time({app=\"checkout\"} | json | unwrap took [1m]))",
            ("step", "60s"),
            "invalid aggregation count_over_time with unwrap",
        ),
    ] {
        let answer = ask(path, query, more);
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(says), "{query}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain") && answer.header("x-content-type-options") == "nosniff");
    }
    // Exactly as many points as are legal.
    let most = ask(QUERY_RANGE, "sum(rate({app=\"checkout\"}[1m]))", ("step", "328ms"));
    assert_eq!(most.status, 200, "{}", most.text());
    let nobody = grafana.server.ask(QUERY_RANGE, &[("query", "{app=\"checkout\"}")]);
    assert_eq!((nobody.status, nobody.text()), (401, "no org id\n"));
    // An experiment of Grafana's that it does without.
    assert_eq!(grafana.resource("../v2alpha/tail", &[("query", "{app=\"checkout\"}")]).status, 404);
    assert_eq!(grafana.server.get("/loki/api/v2alpha/tail?query=%7B%7D").status, 404);
}

/// The list of what breaks Grafana most: windows, types of numbers, and limits.
#[test]
fn bounds_are_exact_to_the_nanosecond_and_numbers_have_their_types() {
    let grafana = Grafana::start();
    let t = START + 17 * SECOND + 123_456_789;
    grafana.push_lines("edge", &[(t - 1, "a"), (t, "b"), (t + 1, "c")]);
    for when in ["in memory", "flushed"] {
        let lines = |start: i64, end: i64| {
            rows(&grafana.logs("{app=\"edge\"}", (start, end), "forward", 10)).into_iter().map(|row| row.line).collect::<String>()
        };
        assert_eq!([lines(t, t + 1), lines(t - 1, t), lines(t - 1, t + 2), lines(t + 2, t + 3)], ["b", "a", "abc", ""], "{when}");
        // A window of a metric begins behind its start and ends with its end.
        let count = |at: i64| {
            let answer =
                grafana.backend(QUERY, &[("query", "sum(count_over_time({app=\"edge\"}[1s]))"), ("time", &at.to_string())], "").json();
            result(&answer).first().map_or("none".to_owned(), |sample| sample["value"][1].as_str().unwrap().to_owned())
        };
        assert_eq!(
            [count(t - 2), count(t - 1), count(t), count(t + 1), count(t + SECOND), count(t + SECOND + 1)],
            ["none", "1", "2", "3", "1", "none"],
            "{when}"
        );
        let answer = grafana.logs("{app=\"edge\"}", (t, t + 1), "forward", 10);
        assert!(result(&answer)[0]["values"][0][0].is_string());
        let metric = grafana.metric("count_over_time({app=\"edge\"}[1m])", (START, START + 60 * SECOND), 500, "");
        let points = result(&metric)[0]["values"].as_array().unwrap();
        assert!(points.iter().all(|point| point[0].is_number() && point[1].is_string()), "{metric}");
        assert_eq!(result(&metric)[0]["metric"]["detected_level"], "unknown", "a level is part of what is not summed");
        assert_eq!(points[0], json!([1_768_435_217.5, "3"]), "{when}");
        grafana.server.flush();
    }
    assert_eq!(checkout(0).parse::<Value>().unwrap()["status"], 200);
}

#[test]
fn warnings_and_enormous_answers_have_their_place() {
    let grafana = Grafana::with_shop();
    // Without a limit there are a hundred lines, never more.
    let [start, end] = window(START, START + 72 * HOUR);
    let default = grafana.backend(QUERY_RANGE, &[("query", "{app=\"checkout\"}"), (start.0, &*start.1), (end.0, &*end.1)], "").json();
    assert_eq!(rows(&default).len(), 100);
    assert!(default.get("warnings").is_none(), "{default}");
    assert!(default["data"]["stats"]["summary"]["totalEntriesReturned"] == 100);
    let version = grafana.resource("status/buildinfo", &[]).json();
    assert!(version["version"].as_str().is_some_and(|version| version.split('.').count() >= 3), "{version}");
    let formatted = grafana.resource("format_query", &[("query", "sum(rate({app=\"a\"}[5m]))by(app)")]).json();
    assert_eq!(formatted, json!({"status": "success", "data": "sum by (app)(rate({app=\"a\"}[5m]))"}));
}
