use super::*;
use crate::{Logging, TokioNetwork, seams};
use async_trait::async_trait;
use axum::routing::get;
use skald_config::{ByteSize, Loaded, LogFormat, LogLevel, Mode};
use skald_model::seam::{Connection, Listener, Network};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A runtime that listens on free ports of this machine.
fn runtime(change: impl FnOnce(&mut Config)) -> Runtime {
    let mut config = Config::defaults(Mode::SingleProcess, ByteSize::gib(1));
    (config.server.http_listen_port, config.server.grpc_listen_port) = (0, 0);
    change(&mut config);
    let metrics = Metrics::new("test");
    let seams = seams(1, &metrics).expect("the system gives threads and randomness");
    let log_control = Logging::new(LogLevel::Info, LogFormat::Logfmt, std::io::sink).control;
    let loaded = Arc::new(Loaded { defaults: config.clone(), config });
    Runtime::new(Common { loaded, metrics, readiness: Readiness::new(), log_control }, seams)
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut connection = TokioNetwork.connect(&address.to_string()).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("it is open");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("it answers");
    answer
}

#[tokio::test]
async fn both_ports_follow_readiness() {
    let runtime = runtime(|_| ());
    let part = runtime.readiness().register("ingester");
    let router = Router::new().route("/own", get(|| async { "mine" }));
    let serving = runtime.serve(router, tonic::service::Routes::default()).await.expect("ports are free");
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", serving.grpc)).expect("it is an address");
    let mut health = HealthClient::new(channel.connect().await.expect("it listens"));
    let mut watched = health.watch(HealthCheckRequest::default()).await.expect("it can be watched").into_inner();
    let mut status = async || watched.message().await.expect("it goes on").expect("it goes on").status();
    use tonic_health::pb::health_check_response::ServingStatus;
    assert_eq!(status().await, ServingStatus::NotServing);
    assert!(ask(serving.http, "/ready").await.starts_with("HTTP/1.1 503"));
    part.ready();
    assert_eq!(status().await, ServingStatus::Serving);
    assert!(ask(serving.http, "/ready").await.starts_with("HTTP/1.1 200"));
    runtime.set_stopping();
    assert_eq!(status().await, ServingStatus::NotServing);
    assert!(ask(serving.http, "/own").await.ends_with("mine"));
    let metrics = ask(serving.http, "/metrics").await;
    for line in [
        "skald_request_duration_seconds_count{method=\"GET\",route=\"ready\",status_code=\"503\"} 1",
        "skald_request_duration_seconds_count{method=\"POST\",route=\"/grpc.health.v1.Health\",status_code=\"200\"} 1",
        "skald_open_connections{protocol=\"grpc\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let runtime = runtime(|_| ());
    let serving = runtime.serve(Router::new(), tonic::service::Routes::default()).await.expect("ports are free");
    let answer = ask(serving.http, "/nowhere").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with("404 page not found\n"), "{answer}");
    let answer = ask(serving.grpc, "/loki/api/v1/push").await;
    assert!(answer.starts_with("HTTP/1.1 415") && answer.contains("gRPC"), "{answer}");
}

/// The real network, of which `open` counts the listeners.
struct Counted {
    open: Arc<()>,
}

struct CountedListener {
    listener: Box<dyn Listener>,
    _open: Arc<()>,
}

#[async_trait]
impl Network for Counted {
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let listener = TokioNetwork.listen(address).await?;
        Ok(Box::new(CountedListener { listener, _open: Arc::clone(&self.open) }))
    }

    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        TokioNetwork.connect(address).await
    }
}

#[async_trait]
impl Listener for CountedListener {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)> {
        self.listener.accept().await
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_address()
    }
}

#[tokio::test]
async fn when_one_port_is_taken_neither_is_listened_on() {
    let first = runtime(|_| ());
    let taken = first.serve(Router::new(), tonic::service::Routes::default()).await.expect("ports are free");
    let second = runtime(|config| config.server.grpc_listen_port = taken.grpc.port());
    let open = Arc::new(());
    let seams = Seams { network: Arc::new(Counted { open: Arc::clone(&open) }), ..second.seams().clone() };
    let second = Runtime::new(second.0.common.clone(), seams);
    let error = second.serve(Router::new(), tonic::service::Routes::default()).await.expect_err("the gRPC port is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {}: address in use", taken.grpc));
    assert!(second.next_stop().is_none());
    // Held by the test and by the network, and by no listener.
    assert_eq!(Arc::strong_count(&open), 2);
}

#[tokio::test]
async fn streams_without_an_end_learn_that_the_process_stops() {
    let runtime = runtime(|_| ());
    let (early, late) = (runtime.stopping(), runtime.clone());
    runtime.set_stopping();
    early.await;
    late.stopping().await;
}

#[tokio::test]
async fn limits_of_tenants_are_loaded_and_their_file_is_watched_by_a_metric() {
    use skald_config::TenantLimits;
    use skald_model::TenantId;
    let dir = tempfile::tempdir().expect("a directory for the test");
    let file = dir.path().join("overrides.yaml");
    let write = |text: &str| {
        use std::io::Write;
        tempfile::NamedTempFile::new_in(&dir).and_then(|mut new| new.write_all(text.as_bytes()).map(|()| new)).map(|new| new.persist(&file))
    };
    write("overrides: {small: {max_query_series: 3}}").expect("room on the disk").expect("the name is free");
    let runtime = runtime(|config| config.runtime_config.file = Some(file.clone()));
    let limits = runtime.tenant_limits().expect("the file is right");
    assert_eq!(limits.limits(&TenantId::parse("small").expect("it is a tenant")).max_query_series, 3);
    assert!(runtime.metrics().encode().contains("skald_runtime_config_last_reload_successful 1"));
    write("overrides: 5").expect("room on the disk").expect("it replaces");
    assert!(limits.reload().is_err());
    assert!(runtime.metrics().encode().contains("skald_runtime_config_last_reload_successful 0"));
}
