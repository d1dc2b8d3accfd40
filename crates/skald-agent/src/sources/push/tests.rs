use super::*;
use crate::config::settings::{Hidden, Period};
use crate::config::{ServerConfig, ServerTlsConfig};
use crate::sink::fake::{FakeIntake, parts};
use crate::sources::tls::tests::{CA, SERVER, SERVER_KEY};
use futures::future::{Either, select};
use prometheus_client::registry::Registry;
use prost::Message;
use reqwest::{Certificate, Client, StatusCode};
use skald_model::Timestamp;
use skald_model::seam::Clock;
use skald_proto::loki::v1::{Entry, LabelPair, PushRequest, Stream, Timestamp as ProtoTimestamp};
use skald_testkit::SimClock;
use std::task::Poll;

const AGENT: &str = "/loki/api/v1/push";
const RAW: &str = "/promtail/api/v1/raw";

struct World {
    intake: Arc<FakeIntake>,
    source: Arc<PushSource>,
    seams: Seams,
    client: Client,
}

fn client() -> reqwest::ClientBuilder {
    // The provider of the process, which main installs.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

async fn start_with(config: PushConfig, room: usize, stages: &str, rules: &str) -> World {
    let seams = skald_runtime::seams(1, &skald_runtime::Metrics::new("test")).unwrap();
    let clock = Arc::clone(&seams.clock);
    start_on(clock, seams, config, room, stages, rules).await
}

async fn start_on(clock: Arc<dyn Clock>, seams: Seams, config: PushConfig, room: usize, stages: &str, rules: &str) -> World {
    let intake = FakeIntake::with_room(room);
    let server = ServerConfig { http_listen_address: "127.0.0.1".into(), http_listen_port: 0, ..config.server };
    let sink = parts(&intake, clock, stages, rules);
    let metrics = PushMetrics::register(&mut Registry::default());
    let source = PushSource::start("job", PushConfig { server, ..config }, sink, metrics, &seams).await.unwrap();
    World { intake, source: Arc::new(source), seams, client: client().build().unwrap() }
}

async fn start(config: &str, room: usize) -> World {
    start_with(serde_saphyr::from_str(config).unwrap(), room, "[]", "[]").await
}

impl World {
    fn post<B: Into<reqwest::Body>>(&self, path: &str, headers: &[(&str, &str)], body: B) -> impl Future<Output = (u16, String)> + use<B> {
        let request = self.client.post(format!("http://{}{path}", self.source.address())).body(body.into());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        }
    }

    async fn post_json(&self, body: &'static str) -> (u16, String) {
        self.post(AGENT, &[("content-type", "application/json")], body).await
    }
}

const TWO: &str = r#"{"streams": [{"stream": {"app": "a", "via": "sender"}, "values": [["5", "one", {"k": "v"}], ["6", "two"]]}]}"#;

fn taken() -> (u16, String) {
    (204, String::new())
}

#[tokio::test]
async fn json_and_protobuf_come_to_the_same() {
    let world = start("{use_incoming_timestamp: true, labels: {via: push}}", 100).await;
    assert_eq!(world.post_json(TWO).await, taken());
    let json = world.intake.take();
    assert_eq!((json[0].labels.to_string(), json[0].timestamp.0, &*json[0].line), (r#"{app="a", via="push"}"#.to_owned(), 5, "one"));
    assert_eq!(json[0].metadata, [("k".into(), "v".into())]);
    let entry = |nanos, line: &str, structured_metadata| Entry {
        timestamp: Some(ProtoTimestamp { seconds: 0, nanos }),
        line: line.as_bytes().to_vec().into(),
        structured_metadata,
        ..Entry::default()
    };
    let pair = vec![LabelPair { name: "k".into(), value: "v".into() }];
    let entries = vec![entry(5, "one", pair), entry(6, "two", vec![])];
    let stream = Stream { labels: br#"{app="a", via="sender"}"#.to_vec().into(), entries, ..Stream::default() };
    let body = PushRequest { streams: vec![stream], ..PushRequest::default() }.encode_to_vec();
    let body = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    assert_eq!(world.post(AGENT, &[("content-type", "application/x-protobuf")], body).await, taken());
    assert_eq!(world.intake.take(), json);
}

#[tokio::test]
async fn raw_lines_have_the_time_at_which_they_came_each_its_own() {
    let world = start("labels: {job: raw}", 100).await;
    let before = world.seams.clock.now();
    assert_eq!(world.post(RAW, &[], "same\nsame\n\nsame").await, taken());
    let entries = world.intake.take();
    assert_eq!(entries.iter().map(|entry| &*entry.line).collect::<Vec<_>>(), ["same"; 3]);
    assert!(entries.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp));
    assert!(before <= entries[0].timestamp);
}

#[tokio::test]
async fn a_bad_stream_is_named_and_the_others_are_taken() {
    let world = start("{}", 100).await;
    let body = r#"{"streams": [{"stream": {"a": "1"}, "values": [["5", "x"]]}, {"stream": {"b c": "1"}, "values": [["5", "y"]]}, {"stream": {"d": "1"}, "values": [["5", "z"]]}]}"#;
    let text = "1 refused, the others were taken: stream {\"b c\": \"1\"}: \"b c\" is no name of a label\n";
    assert_eq!(world.post_json(body).await, (400, text.to_owned()));
    assert_eq!(world.intake.lines(), [r#"{a="1"} x"#, r#"{d="1"} z"#]);
}

#[tokio::test]
async fn of_a_damaged_push_nothing_is_taken() {
    let world = start("max_send_msg_size: 1KB", 100).await;
    let status = |answer: (u16, String)| answer.0;
    assert_eq!(status(world.post_json(r#"{"streams": [{"stream": {}, "values": [["5", "x"], 6]}]}"#).await), 400);
    assert_eq!(status(world.post(AGENT, &[], "no snappy").await), 400);
    assert_eq!(status(world.post(RAW, &[("content-encoding", "br")], "x").await), 400);
    assert_eq!(status(world.post(RAW, &[("x-scope-orgid", "a|b")], "x").await), 400);
    assert_eq!(status(world.post(RAW, &[], "x".repeat(1025)).await), 413);
    assert_eq!(world.intake.len(), 0);
    assert_eq!(status(world.post(RAW, &[], "x".repeat(1024)).await), 204);
}

#[tokio::test]
async fn the_tenant_of_a_push_is_that_of_its_entries() {
    let world = start("{}", 100).await;
    assert_eq!(world.post(RAW, &[("x-scope-orgid", "team-a")], "x").await, taken());
    assert_eq!(world.intake.lines(), [r#"{__tenant_id__="team-a"} x"#]);
}

#[tokio::test]
async fn entries_are_relabeled_and_pass_the_stages() {
    let stages = r#"[{"multiline": {"firstline": "^\\S"}}]"#;
    let rules = r#"[{"action": "drop", "source_labels": ["app"], "regex": "b"}]"#;
    let world = start_with(PushConfig::default(), 100, stages, rules).await;
    let body = r#"{"streams": [{"stream": {"app": "b"}, "values": [["5", "x"]]}, {"stream": {"app": "a"}, "values": [["5", "one"], ["6", " more"], ["7", "two"]]}]}"#;
    assert_eq!(world.post_json(body).await, taken());
    // What a stage holds is let go with the push: its answer says that all of it is safe.
    assert_eq!(world.intake.lines(), ["{app=\"a\"} one\n more", "{app=\"a\"} two"]);
}

#[tokio::test]
async fn an_answer_waits_for_the_disk() {
    let world = start("{}", 100).await;
    world.intake.set_durable(false);
    let mut answer = Box::pin(world.post(RAW, &[], "x"));
    assert!(futures::poll!(&mut answer).is_pending());
    let taken_up = world.intake.next(1, &*world.seams.clock);
    match select(&mut answer, Box::pin(taken_up)).await {
        Either::Left((answered, _)) => panic!("{answered:?} before it is on disk"),
        Either::Right((entries, _)) => assert_eq!(entries.len(), 1),
    }
    // Other requests have the time to be answered meanwhile.
    for _ in 0..20 {
        let ready = world.client.get(format!("http://{}/ready", world.source.address())).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
        assert!(futures::poll!(&mut answer).is_pending());
    }
    world.intake.set_durable(true);
    assert_eq!(answer.await, taken());
}

#[tokio::test]
async fn without_room_a_push_is_refused_and_may_come_again() {
    let seams = skald_runtime::seams(1, &skald_runtime::Metrics::new("test")).unwrap();
    let clock = SimClock::new(Timestamp::from_secs(1000));
    let server = ServerConfig { http_server_read_timeout: Period::seconds(0), ..ServerConfig::default() };
    let world = start_on(clock.clone(), seams, PushConfig { server, ..PushConfig::default() }, 0, "[]", "[]").await;
    let mut request = Box::pin(world.client.post(format!("http://{}{RAW}", world.source.address())).body("x").send());
    let response = loop {
        clock.advance_to_next_sleeper();
        match futures::poll!(&mut request) {
            Poll::Ready(response) => break response.unwrap(),
            Poll::Pending => tokio::task::yield_now().await,
        }
    };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(world.intake.len(), 0);
    world.intake.make_room(1);
    assert_eq!(world.post(RAW, &[], "x").await, taken());
}

#[tokio::test]
async fn stopping_frees_the_port() {
    let world = start("{}", 100).await;
    let ready = world.client.get(format!("http://{}/ready", world.source.address())).send().await.unwrap();
    assert_eq!((ready.status(), world.source.status().ready), (StatusCode::OK, true));
    world.source.stop().await;
    assert!(!world.source.status().ready);
    world.seams.network.listen(world.source.address()).await.unwrap();
    world.source.stop().await;
}

#[tokio::test]
async fn tls_and_a_prefix_are_those_of_the_server_block() {
    let tls = ServerTlsConfig { cert: Some(SERVER.into()), key: Some(Hidden(SERVER_KEY.into())), ..ServerTlsConfig::default() };
    let server = ServerConfig { http_tls_config: Some(tls), http_path_prefix: "/agent/".into(), ..ServerConfig::default() };
    let world = start_with(PushConfig { server, ..PushConfig::default() }, 100, "[]", "[]").await;
    let ca = Certificate::from_pem(CA.as_bytes()).unwrap();
    let client = client().tls_certs_only([ca]).build().unwrap();
    let url = |path: &str| format!("https://127.0.0.1:{}{path}", world.source.address().port());
    assert_eq!(client.post(url("/agent/promtail/api/v1/raw")).body("x").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(client.post(url(RAW)).body("x").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(world.intake.len(), 1);
}

#[test]
fn an_address_of_ipv6_stands_in_brackets() {
    assert_eq!([listen_address("", 80), listen_address("::1", 80)], [":80", "[::1]:80"]);
    assert_eq!([listen_address("[::1]", 80), listen_address("localhost", 80)], ["[::1]:80", "localhost:80"]);
}
