mod bounds;
mod query_log;

use crate::testing::{World, tenant};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::BodyExt;
use skald_config::{Config, Limits};
use skald_testkit::{labels, rows};
use tower::ServiceExt;

/// 2026-01-15T00:00:00Z
const START: i64 = 1_768_435_200;

struct Replied {
    status: u16,
    headers: axum::http::HeaderMap,
    bytes: Vec<u8>,
}

impl Replied {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).expect("text")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

fn world(limits: Limits) -> World {
    let config = Config { auth_enabled: true, ..Config::default() };
    let world = World::new(config, limits);
    let (secs, line) = (START * 1_000_000_000, "a line that is long enough for an answer worth compressing");
    world.remember(&tenant("t"), &labels(&[("app", "a"), ("env", "p")]), rows(&[(secs, line), (secs + 1, "two")]));
    world.remember(&tenant("t"), &labels(&[("app", "b")]), rows(&[(secs, "one")]));
    world
}

async fn send(world: &World, request: axum::http::request::Builder, body: impl Into<Body>) -> Replied {
    let request = request.header("x-scope-orgid", "t").body(body.into()).expect("it is a request");
    let answer = world.querier.routes().oneshot(request).await.expect("routers do not fail");
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.expect("the body is in memory").to_bytes().to_vec();
    Replied { status: parts.status.as_u16(), headers: parts.headers, bytes }
}

/// With the span of time that has entries.
async fn ask(world: &World, path: &str, parameters: &str) -> Replied {
    let uri = format!("{path}?start={START}&end={}&{parameters}", START + 3600);
    send(world, Request::get(uri), Body::empty()).await
}

fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn volumes_are_answered_as_queries_are() {
    let world = world(Limits::default());
    let query = format!("query={}", escaped(r#"{app=~".+"}"#));
    let found = ask(&world, "/loki/api/v1/index/volume", &query).await;
    assert_eq!((found.status, found.header("content-type")), (200, "application/json; charset=UTF-8"));
    let data = &found.json()["data"];
    assert_eq!((&data["resultType"], data["stats"].is_object()), (&"vector".into(), true));
    let want = serde_json::json!([
        {"metric": {"app": "a"}, "value": [START + 3600, "61"]},
        {"metric": {"app": "b"}, "value": [START + 3600, "3"]},
    ]);
    assert_eq!(data["result"], want);
    let found = ask(&world, "/loki/api/v1/index/volume_range", &format!("{query}&step=30m&limit=0&aggregateBy=labels")).await;
    let want = serde_json::json!([
        {"metric": {"app": ""}, "value": [START as f64 + 1799.999, "64"]},
        {"metric": {"env": ""}, "value": [START as f64 + 1799.999, "61"]},
    ]);
    assert_eq!((&found.json()["data"]["resultType"], &found.json()["data"]["result"]), (&"vector".into(), &want));
}

#[tokio::test]
async fn wrong_parameters_of_volumes_are_named() {
    let world = world(Limits::default());
    for (parameters, status, text) in [
        ("query={}&aggregateBy=bogus", 400, "invalid aggregation option"),
        ("query={}&limit=-1", 400, "limit must be a positive value"),
        ("query={}&step=0", 400, "zero or negative query resolution step widths are not accepted. Try a positive integer"),
        ("query={}&start=1768438801", 400, "end timestamp must not be before or equal to start time"),
        ("", 400, "parse error : syntax error: unexpected $end"),
        ("query=%7Ba%3D%22b%22%7D%7C%3D%22x%22", 400, "only label matchers are supported"),
    ] {
        let uri = format!("/loki/api/v1/index/volume?{parameters}&start={START}&end=1768438800");
        let found = send(&world, Request::get(uri), Body::empty()).await;
        assert_eq!((found.status, found.text().as_str()), (status, text), "{parameters}");
    }
    let off = self::world(Limits { volume_enabled: false, ..Limits::default() });
    let found = ask(&off, "/loki/api/v1/index/volume", "query={}").await;
    assert_eq!((found.status, found.text().as_str()), (404, "not found"));
}

#[tokio::test]
async fn limits_are_shown_to_a_tenant_that_names_itself() {
    let world = World::new(Config { auth_enabled: false, ..Config::default() }, Limits { max_query_series: 9, ..Limits::default() });
    let answer = |path: &'static str, tenant: Option<&'static str>| {
        let request = tenant.into_iter().fold(Request::get(path), |request, tenant| request.header("x-scope-orgid", tenant));
        let request = request.body(Body::empty()).expect("it is a request");
        let routes = world.querier.routes();
        async {
            let answer = routes.oneshot(request).await.expect("routers do not fail");
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.expect("the body is in memory").to_bytes();
            (status, String::from_utf8(bytes.to_vec()).expect("text"))
        }
    };
    for path in ["/loki/api/v1/drilldown-limits", "/config/tenant/v1/limits"] {
        assert_eq!(answer(path, None).await, (401, "no org id\n".to_owned()));
        assert_eq!(answer(path, Some("a|b")).await, (400, "multiple org IDs present".to_owned()));
    }
    let (status, text) = answer("/loki/api/v1/drilldown-limits", Some("t")).await;
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &found["limits"]["max_query_series"], &found["pattern_ingester_enabled"]), (200, &9.into(), &true.into()));
    assert_eq!(found["version"], skald_runtime::LOKI_VERSION);
    let (status, text) = answer("/config/tenant/v1/limits", Some("t")).await;
    assert!(status == 200 && text.contains("max_query_series: 9\n") && text.contains("max_query_length: 30d1h\n"), "{text}");
}

#[tokio::test]
async fn legacy_queries_have_the_first_form() {
    let world = world(Limits::default());
    let selector = escaped(r#"{app="a"}"#);
    let found = ask(&world, "/api/prom/query", &format!("query={selector}&regexp=t.o")).await.json();
    let want = serde_json::json!([{
        "labels": "{app=\"a\", env=\"p\"}",
        "entries": [{"ts": "2026-01-15T00:00:00.000000001Z", "line": "two"}],
    }]);
    assert_eq!((&found["streams"], found["stats"].is_object()), (&want, true));
    let refused = ask(&world, "/api/prom/query", "query=vector(1)").await;
    assert_eq!((refused.status, refused.text().as_str()), (400, "legacy endpoints only support streams result type"));
    assert_eq!(ask(&world, "/api/prom/label", "").await.json()["data"], serde_json::json!(["app", "env"]));
    assert_eq!(ask(&world, "/api/prom/label/app/values", "").await.json()["data"], serde_json::json!(["a", "b"]));
    let series = ask(&world, "/api/prom/series", &format!("match={selector}")).await.json();
    assert_eq!(series["data"], serde_json::json!([{"app": "a", "env": "p"}]));
}

#[tokio::test]
async fn series_of_several_selectors_come_once_and_selectors_are_bounded() {
    let world = world(Limits::default());
    let selectors = |count: usize| vec![format!("match[]={}", escaped(r#"{app=~".+"}"#)); count].join("&");
    let found = ask(&world, "/loki/api/v1/series", &format!("{}&match={}", selectors(2), escaped(r#"{env="p"}"#))).await.json();
    assert_eq!(found["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(ask(&world, "/loki/api/v1/series", &selectors(64)).await.status, 200);
    let refused = ask(&world, "/loki/api/v1/series", &selectors(65)).await;
    assert_eq!((refused.status, refused.text().as_str()), (400, "too many match[] parameters: 65, at most 64 are allowed"));
}

#[tokio::test]
async fn forms_are_read_up_to_their_bound_and_joined_with_the_url() {
    let world = world(Limits::default());
    let post = |uri: String, kind: &str| Request::builder().method(Method::POST).uri(uri).header(header::CONTENT_TYPE, kind);
    let span = format!("/loki/api/v1/series?start={START}&end={}", START + 3600);
    let form = format!("match[]={}", escaped(r#"{app="b"}"#));
    for kind in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8"] {
        let found = send(&world, post(span.clone(), kind), form.clone()).await.json();
        assert_eq!(found["data"], serde_json::json!([{"app": "b"}]), "{kind}");
    }
    // What is no form is not read.
    let found = send(&world, post(span.clone(), "application/json"), form.clone()).await.json();
    assert_eq!(found["data"].as_array().map(Vec::len), Some(2));
    let both = format!("{span}&match[]={}", escaped(r#"{app="a"}"#));
    let found = send(&world, post(both, "application/x-www-form-urlencoded"), form.clone()).await.json();
    assert_eq!(found["data"].as_array().map(Vec::len), Some(2));
    // The body comes before the URL.
    let labels = format!("/loki/api/v1/labels?start={START}&end={}&query={}", START + 3600, escaped(r#"{app="b"}"#));
    let form = format!("query={}", escaped(r#"{app="a"}"#));
    let found = send(&world, post(labels, "application/x-www-form-urlencoded"), form).await.json();
    assert_eq!(found["data"], serde_json::json!(["app", "env"]));

    let short = format!("match[]={}", escaped(r#"{app="b"}"#));
    let large = |len: usize| format!("{short}&x={}", "y".repeat(len - short.len() - 3));
    let found = send(&world, post(span.clone(), "application/x-www-form-urlencoded"), large(10 << 20)).await;
    assert_eq!((found.status, found.json()["data"].clone()), (200, serde_json::json!([{"app": "b"}])));
    let refused = send(&world, post(span, "application/x-www-form-urlencoded"), large((10 << 20) + 1)).await;
    assert_eq!((refused.status, refused.text().as_str()), (413, "the request body is larger than 10485760 bytes"));
}

#[tokio::test]
async fn answers_are_compressed_with_gzip_for_those_who_ask() {
    let world = world(Limits::default());
    let query = escaped(r#"{app=~".+"}"#);
    for path in [
        format!("/loki/api/v1/query_range?query={query}&"),
        format!("/loki/api/v1/query?query={}&", escaped("vector(1)")),
        "/loki/api/v1/labels?".to_owned(),
        "/loki/api/v1/label/app/values?".to_owned(),
        "/loki/api/v1/series?".to_owned(),
        format!("/loki/api/v1/index/stats?query={query}&"),
        format!("/loki/api/v1/index/volume?query={query}&"),
        format!("/loki/api/v1/index/volume_range?query={query}&"),
        format!("/loki/api/v1/format_query?query={query}&"),
        "/loki/api/v1/drilldown-limits?".to_owned(),
        format!("/api/prom/query?query={query}&"),
    ] {
        let uri = format!("{path}start={START}&end={}", START + 3600);
        let with = |encoding: &str| Request::get(&uri).header(header::ACCEPT_ENCODING, encoding);
        let gzip = send(&world, with("deflate, gzip;q=0.8, br"), Body::empty()).await;
        assert_eq!((gzip.status, gzip.header("content-encoding")), (200, "gzip"), "{uri}");
        assert_eq!(gzip.bytes[..2], [0x1f, 0x8b], "{uri}");
        for other in ["identity", "br, zstd, deflate", "gzip;q=0"] {
            let plain = send(&world, with(other), Body::empty()).await;
            assert_eq!((plain.status, plain.header("content-encoding")), (200, ""), "{uri} {other}");
        }
        let plain = send(&world, Request::get(&uri), Body::empty()).await;
        assert!(plain.header("content-encoding").is_empty() && plain.bytes[0] == b'{', "{uri}");
    }
}

#[tokio::test]
async fn parquet_is_refused_and_other_forms_are_json() {
    let world = world(Limits::default());
    let with =
        |accept: &str| Request::get(format!("/loki/api/v1/labels?start={START}&end={}", START + 3600)).header(header::ACCEPT, accept);
    let refused = send(&world, with("application/vnd.apache.parquet"), Body::empty()).await;
    let text = "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true";
    assert_eq!((refused.status, refused.text().as_str()), (400, text));
    assert_eq!(refused.header("x-content-type-options"), "nosniff");
    for other in ["application/vnd.google.protobuf", "text/html, */*"] {
        assert_eq!(send(&world, with(other), Body::empty()).await.json()["status"], "success", "{other}");
    }
}

#[test]
fn no_cache_is_read_in_any_case_and_company() {
    let of = |text| HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(text))]);
    for (text, want) in [("no-cache", true), (" No-Cache ", true), ("max-age=0, no-cache", true), ("no-store", false), ("", false)] {
        assert_eq!(super::wants_no_cache(&of(text)), want, "{text:?}");
    }
    assert!(!super::wants_no_cache(&HeaderMap::new()));
}
