use crate::caller::QueryTags;
use crate::service::{Parts, Querier};
use crate::testing::Silent;
use axum::body::Body;
use axum::http::Request as HttpRequest;
use http_body_util::BodyExt;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use skald_config::{BlockedQuery, ByteSize, Config, Limits};
use skald_model::TenantId;
use skald_model::seam::{Connection, Network};
use skald_rpc::{Ingester, PushBatch, StreamRows};
use skald_runtime::{HttpServer, SystemClock, TokioNetwork, TokioSpawner};
use skald_testkit::{FakeIngester, SimWorld, labels, rows};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;

const SECOND: i64 = 1_000_000_000;
const DRILLDOWN: (&str, &str) = ("x-query-tags", "Source=grafana-lokiexplore-app");

struct World {
    querier: Querier,
    registry: Registry,
}

async fn world(limits: Limits, config: Config, ingester: Arc<dyn Ingester>) -> World {
    let mut registry = Registry::default();
    let sizes = skald_store::CacheSizes { footers: 1, pages: 1, indexes: 1 };
    let metrics = skald_store::Metrics::register(&mut Registry::default(), sizes);
    let catalog = skald_store::Catalog::open(
        Arc::new(skald_store::MemoryStore::new()),
        skald_testkit::SimClock::new(skald_model::Timestamp(0)),
        sizes,
        metrics,
    )
    .await
    .expect("it is empty");
    let querier = Querier::new(Parts {
        seams: SimWorld::new(1).seams(),
        config: Arc::new(config),
        limits: Arc::new(limits),
        ingester,
        catalog: Arc::new(catalog),
        metrics: crate::Metrics::register(&mut registry),
    });
    World { querier, registry }
}

/// Three streams of ten lines, one of them written by the server for itself.
async fn filled(limits: Limits, config: Config) -> World {
    let ingester = FakeIngester::default();
    let entries: Vec<(i64, &str)> = (0..10).map(|i| (i * SECOND, "level=info msg=hello")).collect();
    let of = |pairs: &[(&str, &str)]| StreamRows { labels: labels(pairs), rows: rows(&entries) };
    let streams = vec![of(&[("app", "a")]), of(&[("app", "b")]), of(&[("__aggregated_metric__", "a")])];
    ingester.push(&TenantId::parse("t").expect("valid"), PushBatch { streams }).await.expect("it takes everything");
    world(limits, config, Arc::new(ingester)).await
}

async fn ask(world: &World, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> (u16, String) {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let mut request = HttpRequest::get(format!("/loki/api/v1/{path}?{query}")).header("x-scope-orgid", "t");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = world.querier.routes().oneshot(request.body(Body::empty()).expect("a request")).await.expect("routers do not fail");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("there is a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("answers are text"))
}

async fn range(world: &World, query: &str, headers: &[(&str, &str)]) -> (u16, String) {
    ask(world, "query_range", &[("query", query), ("start", "0"), ("end", "10"), ("step", "10")], headers).await
}

fn metrics(world: &World) -> String {
    let mut text = String::new();
    encode(&mut text, &world.registry).expect("metrics are text");
    text
}

#[tokio::test]
async fn blocked_queries_are_refused() {
    let rule = BlockedQuery { pattern: "rate".to_owned(), regex: true, types: vec!["metric".to_owned()], ..BlockedQuery::default() };
    let world = filled(Limits { blocked_queries: vec![rule], ..Limits::default() }, Config::default()).await;
    let blocked = (400, "query blocked by policy".to_owned());
    assert_eq!(range(&world, r#"sum(rate({app="a"}[1m]))"#, &[]).await, blocked);
    assert_eq!(range(&world, r#"{app="a"} |= "rate""#, &[]).await.0, 200);
}

#[tokio::test]
async fn a_tenant_without_parallelism_may_not_query() {
    let world = filled(Limits { tsdb_max_query_parallelism: 0, ..Limits::default() }, Config::default()).await;
    let disabled = (429, "querying is disabled, please contact your Loki operator".to_owned());
    assert_eq!(range(&world, r#"{app="a"}"#, &[]).await, disabled);
    assert_eq!(ask(&world, "labels", &[], &[]).await, disabled);
}

#[tokio::test]
async fn queries_too_large_for_one_querier_are_refused() {
    let world = filled(Limits { max_querier_bytes_read: ByteSize(300), ..Limits::default() }, Config::default()).await;
    assert_eq!(range(&world, r#"{app="a"}"#, &[]).await.0, 200);
    let (status, text) = range(&world, r#"{app=~"a|b"}"#, &[]).await;
    assert!(status == 400 && text.starts_with("query too large to execute on a single querier: (query: 400B, limit: 300B);"), "{text}");
}

#[tokio::test]
async fn what_the_server_writes_for_itself_is_shown_to_drilldown_alone() {
    let world = filled(Limits::default(), Config::default()).await;
    for query in [r#"{__aggregated_metric__="a"}"#, r#"sum(count_over_time({__aggregated_metric__="a"}[1m]))"#] {
        let (status, text) = range(&world, query, &[]).await;
        assert!(status == 200 && text.contains(r#""result":[]"#), "{text}");
        let (status, text) = range(&world, query, &[DRILLDOWN]).await;
        assert!(status == 200 && !text.contains(r#""result":[]"#), "{text}");
    }
}

#[tokio::test]
async fn too_many_series_are_an_error_and_for_drilldown_a_part() {
    let world = filled(Limits { max_query_series: 1, ..Limits::default() }, Config::default()).await;
    let query = r#"count_over_time({app=~"a|b"}[1m])"#;
    let (status, text) = range(&world, query, &[]).await;
    assert!(status == 400 && text.starts_with("maximum number of series (1) reached for a single query; consider"), "{text}");
    let (status, text) = range(&world, query, &[DRILLDOWN]).await;
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(
        answer["warnings"],
        serde_json::json!(["maximum number of series (1) reached for a single query; returning partial results"])
    );
    assert_eq!(answer["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["data"]["stats"]["completeness"]["complete"], false);
}

#[tokio::test]
async fn a_request_may_tighten_its_limits_where_that_is_allowed() {
    let header = ("x-loki-query-limits", r#"{"requiredLabels":["env"]}"#);
    let world = filled(Limits::default(), Config::default()).await;
    assert_eq!(range(&world, r#"{app="a"}"#, &[header]).await.0, 200);
    let mut config = Config::default();
    config.querier.per_request_limits_enabled = true;
    let world = filled(Limits::default(), config).await;
    let (status, text) = range(&world, r#"{app="a"}"#, &[header]).await;
    assert!(status == 400 && text.contains("missing required matchers [env]"), "{text}");
    assert_eq!(range(&world, r#"{app="a"}"#, &[("x-loki-query-limits", "{")]).await.0, 400);
}

#[tokio::test]
async fn every_query_is_counted_and_gives_its_memory_back() {
    let world = filled(Limits::default(), Config::default()).await;
    let _ = range(&world, r#"{app="a"}"#, &[]).await;
    let _ = range(&world, r#"sum(rate({app="a"}[1m]))"#, &[]).await;
    let _ = range(&world, "{", &[]).await;
    let _ = ask(&world, "label/app/values", &[("start", "0"), ("end", "10")], &[]).await;
    let text = metrics(&world);
    for line in [
        r#"querier_queries_total{endpoint="query_range",status_code="200"} 2"#,
        r#"querier_queries_total{endpoint="query_range",status_code="400"} 1"#,
        r#"querier_queries_total{endpoint="label_name_values",status_code="200"} 1"#,
        r#"querier_query_seconds_count{kind="metric"} 1"#,
        "querier_queue_seconds_count 3",
        "querier_memory_bytes 0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_fails_with_the_reason_and_others_go_on() {
    let mut config = Config::default();
    config.querier.query_memory_budget = ByteSize(9216);
    let world = filled(Limits::default(), config).await;
    let (status, text) = range(&world, r#"{app=~"a|b"} | line_format `{{repeat 900 "x"}}`"#, &[]).await;
    assert!(status == 400 && text.starts_with("the query needs more than its memory budget of 9KB;"), "{text}");
    let answer = ask(&world, "query", &[("query", "vector(1)+vector(1)")], &[]).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    assert!(metrics(&world).contains("querier_memory_bytes 0"));
}

/// Waits for something to become true, without a bound on how long that takes.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_work_ends_when_the_client_leaves() {
    let mut config = Config::default();
    config.querier.max_concurrent = 1;
    let world = world(Limits::default(), config, Arc::new(Silent)).await;
    let (clock, spawner) = (Arc::new(SystemClock::new()), Arc::new(TokioSpawner::new(&skald_runtime::Metrics::new("test"))));
    let address = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let server = HttpServer::start(address, world.querier.routes(), 8, Default::default(), &TokioNetwork, clock, spawner);
    let server = server.await.expect("a free port");
    let send = |query: &'static str| {
        let address = server.address().to_string();
        async move {
            let mut connection: Box<dyn Connection> = TokioNetwork.connect(&address).await.expect("it listens");
            let head = format!("GET /loki/api/v1/series?match[]={query} HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: t\r\n\r\n");
            connection.write_all(head.as_bytes()).await.expect("it is open");
            connection
        }
    };
    let running = send("%7Ba%3D%22b%22%7D").await;
    // The only turn is taken by the first, so that the second waits.
    until(|| metrics(&world).contains("querier_queue_seconds_count 1")).await;
    let waiting = send("%7Bc%3D%22d%22%7D").await;
    until(|| metrics(&world).contains(r#"querier_queue_length{tenant="t"} 1"#)).await;
    drop(waiting);
    until(|| metrics(&world).contains(r#"status_code="499"} 1"#)).await;
    assert!(!metrics(&world).contains("querier_queue_length{"), "who left waits no longer");
    drop(running);
    until(|| metrics(&world).contains(r#"status_code="499"} 2"#)).await;
    let free = world.querier.caller(vec![TenantId::parse("t").expect("valid")], QueryTags::default());
    let turn = world.querier.in_turn(&free, async { Ok(()) });
    assert!(turn.await.is_ok(), "the turn is free again");
    server.stop(Duration::from_secs(60)).await;
}
