//! The HTTP API as Grafana and other clients use it, on the real process.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on a real process and real sockets")]

use flate2::read::GzDecoder;
use integration_tests::{GENEROUS, Server, entries, now_ns, push_body, strings, vector_values};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const SECOND_NS: i64 = 1_000_000_000;
/// 2026-01-15T00:00:00Z.
const START: i64 = 1_768_435_200 * SECOND_NS;
const CATEGORISE: (&str, &str) = ("x-loki-response-encoding-flags", "categorize-labels");
const QUERY: &str = "/loki/api/v1/query";
const QUERY_RANGE: &str = "/loki/api/v1/query_range";

/// A server with an hour of two streams: an entry each 10 s, errors among them, some with structured metadata.
fn with_data() -> Server {
    let server = Server::start(GENEROUS);
    let at = |i: i64| (START + i * 10 * SECOND_NS).to_string();
    let line = |i: i64| if i % 6 == 0 { format!("level=error msg=\"failed {i}\"") } else { format!("level=info msg=\"done {i}\"") };
    let web: Vec<Value> = (0..360).map(|i| json!([at(i), line(i), {"trace_id": format!("t{}", i % 2)}])).collect();
    let db: Vec<Value> = (0..360).map(|i| json!([at(i), format!("plain {i}")])).collect();
    let body = json!({"streams": [
        {"stream": {"app": "web", "env": "prod"}, "values": web},
        {"stream": {"app": "db", "env": "prod"}, "values": db},
    ]});
    server.push("", &body.to_string());
    server
}

fn ns(seconds: i64) -> String {
    (START + seconds * SECOND_NS).to_string()
}

fn result(answer: &Value) -> &Vec<Value> {
    answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn save_and_test_of_the_data_source_is_answered() {
    let server = Server::start("");
    let answer = server.ask(QUERY, &[("query", "vector(1)+vector(1)"), ("time", "4000000000"), ("direction", "backward")]);
    assert!(answer.header("content-type").starts_with("application/json"), "{:?}", answer.headers);
    let answer = answer.json();
    assert_eq!(answer["status"], "success");
    assert_eq!(answer["data"]["resultType"], "vector");
    assert_eq!(*result(&answer), [json!({"metric": {}, "value": [4_000_000_000_i64, "2"]})]);
    let info = server.get("/loki/api/v1/status/buildinfo").json();
    for name in ["version", "revision", "branch", "buildDate", "buildUser", "goVersion"] {
        assert!(info[name].is_string(), "{name} in {info}");
    }
}

#[test]
fn log_queries_split_labels_by_where_they_come_from_when_asked() {
    let server = with_data();
    let (start, end) = (ns(0), ns(100));
    let params = [
        ("query", "{app=\"web\"} | logfmt"),
        ("start", &start),
        ("end", &end),
        ("step", "500ms"),
        ("direction", "backward"),
        ("limit", "1000"),
    ];
    let answer = server.ask_with(QUERY_RANGE, &params, &[CATEGORISE]);
    let (flags, rows) = (answer.text().find("\"encodingFlags\""), answer.text().find("\"result\":"));
    assert!(flags.is_some() && flags < rows, "flags come first: {}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["data"]["encodingFlags"], json!(["categorize-labels"]));
    let streams = result(&answer);
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0]["stream"], json!({"app": "web", "env": "prod", "service_name": "web"}));
    let values = streams[0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 10, "the end is not inside");
    assert_eq!(values[0][0], json!(ns(90)), "newest first");
    let (metadata, parsed) = (&values[9][2]["structuredMetadata"], &values[9][2]["parsed"]);
    assert_eq!(*metadata, json!({"detected_level": "error", "trace_id": "t0"}));
    assert_eq!(*parsed, json!({"level": "error", "msg": "failed 0"}));

    let merged = server.ask(QUERY_RANGE, &params).json();
    assert!(merged["data"].get("encodingFlags").is_none());
    assert_eq!(result(&merged).len(), 10, "a stream for each set of all labels");
    for stream in result(&merged) {
        let names: Vec<&String> = stream["stream"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["app", "detected_level", "env", "level", "msg", "service_name", "trace_id"]);
        assert_eq!(stream["values"][0].as_array().unwrap().len(), 2);
    }
    assert!(merged["data"]["stats"]["summary"]["totalLinesProcessed"].as_u64().unwrap() >= 10, "{}", merged["data"]["stats"]);
}

#[test]
fn metric_ranges_have_points_at_start_plus_whole_steps_with_both_ends() {
    let server = with_data();
    let (start, end) = (ns(60), ns(90));
    let params = [("query", "sum by (app) (count_over_time({env=\"prod\"}[30s]))"), ("start", &*start), ("end", &end), ("step", "15000ms")];
    let answer = server.ask(QUERY_RANGE, &params).json();
    assert_eq!(answer["data"]["resultType"], "matrix");
    let at = |seconds: i64| json!([START / SECOND_NS + seconds, "3"]);
    for (series, app) in result(&answer).iter().zip(["db", "web"]) {
        assert_eq!(*series, json!({"metric": {"app": app}, "values": [at(60), at(75), at(90)]}));
    }
    assert_eq!(result(&answer).len(), 2);
    let too_many = [("query", "sum(rate({env=\"prod\"}[1m]))"), ("start", &ns(0)), ("end", &ns(11_001)), ("step", "1000ms")];
    let refused = server.ask(QUERY_RANGE, &too_many);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("11,000") || refused.text().contains("11000"), "{}", refused.text());
}

#[test]
fn the_logs_volume_is_counted_by_level() {
    let server = with_data();
    let query = "sum by (level, detected_level) (count_over_time({app=\"web\"} | drop __error__[3600000ms]))";
    let params = [("query", query), ("start", &ns(3600)), ("end", &ns(3600)), ("step", "3600000ms")];
    for when in ["in memory", "flushed"] {
        let answer = server.ask_with(QUERY_RANGE, &params, &[CATEGORISE, ("x-query-tags", "Source=logvolhist")]).json();
        let mut found: Vec<(String, String)> = result(&answer)
            .iter()
            .map(|series| (series["metric"].to_string(), series["values"][0][1].as_str().unwrap().to_owned()))
            .collect();
        found.sort();
        let want = [("{\"detected_level\":\"error\"}", "59"), ("{\"detected_level\":\"info\"}", "300")];
        assert_eq!(found, want.map(|(metric, value)| (metric.to_owned(), value.to_owned())), "{when}");
        server.flush();
    }
}

#[test]
fn labels_values_series_and_statistics_are_listed() {
    let server = with_data();
    let (start, end) = (ns(-60), ns(3600));
    let window = [("start", &*start), ("end", &*end)];
    let ask = |path: &str, more: &[(&str, &str)]| server.ask(&format!("/loki/api/v1/{path}"), &[&window[..], more].concat());
    let list = |path: &str, more: &[(&str, &str)]| strings(&ask(path, more).json()["data"]);
    for when in ["in memory", "flushed"] {
        assert_eq!(list("labels", &[]), ["app", "env", "service_name"], "{when}");
        assert_eq!(list("label/app/values", &[]), ["db", "web"], "{when}");
        assert_eq!(list("label/app/values", &[("query", "{app=~\"w.*\"}")]), ["web"], "{when}");
        // Loki leaves out a list of nothing; either is understood.
        let nothing = ask("label/__stream_shard__/values", &[]).json();
        assert!(matches!(nothing.get("data"), None | Some(Value::Array(_))) && nothing["data"].get(0).is_none(), "{nothing}");
        let mut series = ask("series", &[("match[]", "{app=\"web\"}"), ("match[]", "{app=\"db\"}")]).json();
        let series = series["data"].as_array_mut().unwrap();
        series.sort_by_key(Value::to_string);
        let stream = |app: &str| json!({"app": app, "env": "prod", "service_name": app});
        assert_eq!(*series, [stream("db"), stream("web")], "{when}");
        assert_eq!(ask("series", &[("match[]", "{app=\"none\"}")]).json()["data"], json!([]));
        let stats = ask("index/stats", &[("query", "{env=\"prod\"}")]).json();
        assert_eq!((&stats["streams"], &stats["entries"]), (&json!(2), &json!(720)), "{when}");
        assert!(stats["bytes"].as_u64().unwrap() > 0 && stats["chunks"].as_u64().unwrap() > 0, "{stats}");
        server.flush();
    }
    assert_eq!(ask("label/app/values", &[("query", "{app=")]).status, 400);
}

#[test]
fn context_around_one_nanosecond_is_complete_and_has_nothing_twice() {
    let server = Server::start(GENEROUS);
    let at = START + 7;
    let lines = [(at - 1, "before"), (at, "same a"), (at, "same b"), (at, "same c"), (at + 1, "after")];
    server.push("", &push_body(&[("app", "x")], &lines));
    // An exact repetition is the same entry.
    server.push("", &push_body(&[("app", "x")], &lines[1..3]));
    let ask = |start: i64, end: i64, direction: &str| {
        let (start, end) = (start.to_string(), end.to_string());
        let params = [("query", "{app=\"x\"}"), ("start", &*start), ("end", &end), ("direction", direction), ("limit", "50")];
        entries(&server.ask_with(QUERY_RANGE, &params, &[CATEGORISE]).json()).into_iter().map(|(_, line)| line).collect::<Vec<_>>()
    };
    let hours = 2 * 3600 * SECOND_NS;
    for when in ["in memory", "flushed"] {
        assert_eq!(ask(at - hours, at, "backward"), ["before"], "{when}");
        assert_eq!(ask(at, at + hours, "forward"), ["same a", "same b", "same c", "after"], "{when}");
        assert_eq!(ask(at, at + 1, "FORWARD"), ["same a", "same b", "same c"], "{when}");
        server.flush();
    }
}

#[test]
fn forms_and_all_forms_of_times_mean_the_same() {
    let server = with_data();
    let base = START / SECOND_NS;
    let query = ("query", "{app=\"web\"}");
    let want = entries(&server.ask(QUERY_RANGE, &[query, ("start", &ns(0)), ("end", &ns(60))]).json());
    assert_eq!(want.len(), 6);
    for (start, end) in [
        (base.to_string(), (base + 60).to_string()),
        (format!("{base}.0"), format!("{}.000", base + 60)),
        ("2026-01-15T00:00:00Z".to_owned(), "2026-01-15T00:01:00.000Z".to_owned()),
        ("2026-01-15T02:00:00+02:00".to_owned(), "2026-01-15T00:01:00.000000000Z".to_owned()),
    ] {
        let params = [query, ("start", &*start), ("end", &end)];
        assert_eq!(entries(&server.ask(QUERY_RANGE, &params).json()), want, "{start}");
        assert_eq!(entries(&server.post_form(QUERY_RANGE, &params).json()), want, "POST {start}");
    }
    let form = server.post_form("/loki/api/v1/labels", &[("start", &ns(0)), ("end", &ns(60))]);
    assert_eq!(strings(&form.json()["data"]), ["app", "env", "service_name"]);
    let form = server.post_form("/loki/api/v1/series", &[("match[]", "{app=\"db\"}"), ("start", &ns(0)), ("end", &ns(60))]);
    assert_eq!(form.json()["data"].as_array().unwrap().len(), 1);
    let form = server.post_form(QUERY, &[("query", "sum(count_over_time({app=\"db\"}[1m]))"), ("time", &ns(60))]);
    assert_eq!(vector_values(&form.json()), [6.0]);
}

#[test]
fn what_is_wrong_with_a_request_is_said_as_text() {
    let server = with_data();
    let (start, end) = (ns(0), ns(60));
    for (path, query, more, status, says) in [
        (QUERY_RANGE, "{app=\"web\"", ("limit", "10"), 400, "parse error at line 1, col "),
        (QUERY_RANGE, "{}", ("limit", "10"), 400, "at least one"),
        (QUERY_RANGE, "{app=\"web\"}", ("limit", "5001"), 400, "5001 > 5000"),
        (QUERY_RANGE, "{app=\"web\"}", ("limit", "x"), 400, "x"),
        (QUERY_RANGE, "{app=\"web\"}", ("direction", "sideways"), 400, "sideways"),
        (QUERY_RANGE, "sum(rate({app=\"web\"}[1m]))", ("step", "0"), 400, "step"),
        (QUERY, "{app=\"web\"}", ("limit", "10"), 400, "log queries are not supported as an instant query type"),
    ] {
        let answer = server.ask(path, &[("query", query), more, ("start", &start), ("end", &end)]);
        assert_eq!(answer.status, status, "{query} {more:?}: {}", answer.text());
        assert!(answer.text().contains(says), "{query} {more:?}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
    }
    assert_eq!(server.ask(QUERY_RANGE, &[("query", "{app=\"web\"}"), ("start", &end), ("end", &start)]).status, 400);
    assert_eq!(server.get("/loki/api/v1/nothing").status, 404);
}

#[test]
fn stages_that_are_not_evaluated_are_refused_by_name() {
    let server = with_data();
    let known = [
        ("{app=\"web\"} | unpack", "unpack"),
        ("{app=\"web\"} | decolorize", "decolorize"),
        ("{app=\"web\"} | pattern \"<a> <b>\"", "pattern"),
        ("{app=\"web\"} | line_format \"{{.app}}\"", "line_format"),
        ("{app=\"web\"} | label_format a=b", "label_format"),
    ];
    for (query, stage) in known {
        let answer = server.ask(QUERY_RANGE, &[("query", query), ("start", &ns(0)), ("end", &ns(60))]);
        let is_evaluated = answer.status == 200;
        let is_refused = answer.status == 501 && answer.text().contains(stage);
        assert!(is_evaluated || is_refused, "{query}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn tenants_are_required_when_configured_and_never_see_each_other() {
    let server = Server::start(&format!("auth_enabled: true\n{GENEROUS}"));
    let now = now_ns();
    for tenant in ["red", "blue"] {
        server.push(tenant, &push_body(&[("app", "same"), ("only", tenant)], &[(now, format!("of {tenant}"))]));
    }
    let (start, end) = ((now - SECOND_NS).to_string(), (now + SECOND_NS).to_string());
    let window = [("query", "{app=\"same\"}"), ("start", &*start), ("end", &*end)];
    for when in ["in memory", "flushed"] {
        for tenant in ["red", "blue"] {
            let as_tenant = [("x-scope-orgid", tenant)];
            let found = entries(&server.ask_with(QUERY_RANGE, &window, &as_tenant).json());
            assert_eq!(found, [(now, format!("of {tenant}"))], "{when}");
            let values = server.ask_with("/loki/api/v1/label/only/values", &window[1..], &as_tenant).json();
            assert_eq!(strings(&values["data"]), [tenant], "{when}");
            let series = server.ask_with("/loki/api/v1/series", &window[1..], &as_tenant).json();
            assert_eq!(series["data"].as_array().unwrap().len(), 1, "{when}");
            let count = server.ask_with(QUERY, &[("query", "sum(count_over_time({app=\"same\"}[1h]))")], &as_tenant).json();
            assert_eq!(vector_values(&count), [1.0], "{when}");
        }
        let stranger = server.ask_with(QUERY_RANGE, &window, &[("x-scope-orgid", "green")]).json();
        assert_eq!(entries(&stranger), []);
        server.flush();
    }
    let nobody = server.ask(QUERY_RANGE, &window);
    assert_eq!((nobody.status, nobody.text().trim()), (401, "no org id"));
    let push = server.post("/loki/api/v1/push", &[("content-type", "application/json")], b"{\"streams\":[]}");
    assert_eq!(push.status, 401);
    for bad in ["a/b", "..", "a b"] {
        let status = server.ask_with(QUERY_RANGE, &window, &[("x-scope-orgid", bad)]).status;
        assert!((400..500).contains(&status), "{bad:?}: {status}");
    }
    // Without tenants the header means nothing.
    let open = Server::start(GENEROUS);
    open.push("red", &push_body(&[("app", "same")], &[(now, "of all")]));
    assert_eq!(entries(&open.ask(QUERY_RANGE, &window).json()).len(), 1);
    assert_eq!(entries(&open.ask_with(QUERY_RANGE, &window, &[("x-scope-orgid", "blue")]).json()).len(), 1);
}

/// The head and the body of an answer, as they come.
fn raw_get(server: &Server, path: &str, header: &str) -> (String, Vec<u8>) {
    let address = server.address().strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{header}\r\n").unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase(), bytes[end + 4..].to_vec())
}

#[test]
fn answers_are_compressed_when_the_client_asks() {
    let server = with_data();
    let path = format!("{QUERY_RANGE}?query=%7Bapp%3D%22db%22%7D&start={}&end={}", ns(0), ns(3600));
    let (head, plain) = raw_get(&server, &path, "");
    assert!(!head.contains("content-encoding"), "{head}");
    let (head, compressed) = raw_get(&server, &path, "Accept-Encoding: gzip\r\n");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(compressed.len() < plain.len() / 2);
    let mut text = String::new();
    GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
    let (plain, text): (Value, Value) = (serde_json::from_slice(&plain).unwrap(), serde_json::from_str(&text).unwrap());
    assert_eq!(plain["data"]["result"], text["data"]["result"]);
}

#[test]
fn metrics_parse_and_have_the_prefix() {
    let server = with_data();
    assert!(server.total("sum(count_over_time({app=\"web\"}[5m]))") >= 0.0);
    let answer = server.get("/metrics");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let mut described = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            described.extend(rest.strip_prefix("TYPE ").map(|rest| rest.split(' ').next().unwrap()));
            assert!(["HELP ", "TYPE ", "UNIT ", "EOF"].iter().any(|word| rest.starts_with(word)), "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = sample.split('{').next().unwrap();
        let is_ours = name.starts_with("skald_") && !name.starts_with("skald_skald_");
        assert!(is_ours || name.starts_with("process_"), "{line}");
        assert!(described.iter().any(|base| name.starts_with(base)), "{line} has no TYPE");
        assert!(!sample.contains('{') || sample.ends_with('}'), "{line}");
    }
    assert_eq!(server.metric("skald_ingester_appended_rows_total"), 720.0);
    assert_eq!(server.metric("skald_distributor_lines_received_total"), 720.0);
    assert_eq!(server.metric("skald_ingester_queue_bytes"), 0.0);
    server.flush();
    assert_eq!(server.metric("skald_ingester_memory_bytes"), 0.0);
    assert_eq!(server.metric("skald_store_objects"), 1.0);
}

#[test]
fn the_pages_of_the_process_show_it() {
    let server = Server::start("limits_config:\n  max_query_series: 77\n");
    assert_eq!(server.get("/ready").text(), "ready\n");
    assert!(server.get("/services").text().lines().all(|line| line.ends_with(" => Running")));
    assert!(server.get("/services").text().contains("ingester"));
    let ring = server.get("/ring");
    assert!(ring.status == 200 && ring.text().contains("ACTIVE") && ring.text().contains("<html"), "{}", ring.text());
    let ring = server.get_with("/ring", &[("accept", "application/json")]).json();
    assert!(ring.to_string().contains("ACTIVE"), "{ring}");
    let config = server.get("/config");
    assert!(config.text().contains("max_query_series: 77") && config.text().contains("max_line_size: 256KB"), "{}", config.text());
    let diff = server.get("/config?mode=diff");
    assert!(diff.text().contains("max_query_series: 77") && !diff.text().contains("max_line_size"), "{}", diff.text());
    let level = |text: &str| json!({"message": format!("Current log level is {text}")});
    assert_eq!(server.get("/log_level").json(), level("info"));
    assert_eq!(server.post_form("/log_level", &[("log_level", "debug")]).json()["status"], "success");
    assert_eq!(server.get("/log_level").json(), level("debug"));
    assert_eq!(server.post_form("/log_level", &[("log_level", "loud")]).status, 400);
    server.get("/ready");
    assert!(server.log().contains("level=debug"), "{}", server.log());
}

#[test]
fn grpc_answers_health_checks() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let server = Server::start("");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.grpc_address())).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        client.check(HealthCheckRequest { service: String::new() }).await.unwrap().into_inner().status()
    });
    assert_eq!(status, ServingStatus::Serving);
}

/// Pushes `count` numbers `v` over 6000 s and gives those of each of 100 windows.
fn push_numbers(server: &Server, app: &str, count: i64) -> Vec<Vec<f64>> {
    let number = |i: i64| i * 7919 % 1009;
    let at = |i: i64| START + 1 + i * (6000 * SECOND_NS / count);
    for from in (0..count).step_by(50_000) {
        let values: Vec<(i64, String)> = (from..count.min(from + 50_000)).map(|i| (at(i), format!("{{\"v\":{}}}", number(i)))).collect();
        server.push("", &push_body(&[("app", app)], &values));
    }
    let mut windows = vec![Vec::new(); 100];
    (0..count).for_each(|i| windows[((at(i) - START - 1) / (60 * SECOND_NS)) as usize].push(number(i) as f64));
    windows
}

#[test]
fn quantiles_are_exact_within_the_memory_budget_of_the_query_and_fail_with_the_reason_beyond_it() {
    let server = Server::start(&format!("{GENEROUS}querier:\n  query_memory_budget: 1MB\n"));
    let windows = push_numbers(&server, "few", 40_000);
    push_numbers(&server, "many", 250_000);
    let ask = |app: &str| {
        let query = format!("quantile_over_time(0.9, {{app=\"{app}\"}} | json | unwrap v [60s]) by (app)");
        let (start, end) = (ns(60), ns(6000));
        server.ask(QUERY_RANGE, &[("query", &query), ("start", &start), ("end", &end), ("step", "60")])
    };
    let answer = ask("few").json();
    let points = result(&answer)[0]["values"].as_array().unwrap();
    assert_eq!(points.len(), windows.len(), "{answer}");
    for (point, mut window) in points.iter().zip(windows) {
        window.sort_by(f64::total_cmp);
        let rank = 0.9 * (window.len() - 1) as f64;
        let (low, high) = (window[rank.floor() as usize], window[rank.ceil() as usize]);
        let want = low * (1.0 - rank.fract()) + high * rank.fract();
        let found: f64 = point[1].as_str().unwrap().parse().unwrap();
        assert!((found - want).abs() < 1e-9, "{point} is not {want}");
    }
    let refused = ask("many");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("memory budget"), "{}", refused.text());
}
