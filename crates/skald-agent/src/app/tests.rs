use super::*;
use crate::config::Flags;
use crate::delivery::testing::read;
use crate::spool::SpoolError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use skald_model::seam::Seams;
use skald_runtime::{HttpServer, Metrics, TokioNetwork, seams};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// A server that keeps what it is sent, as `labels line`.
struct Server {
    received: watch::Receiver<Vec<String>>,
    down: Arc<AtomicBool>,
    http: HttpServer,
}

type Kept = (watch::Sender<Vec<String>>, Arc<AtomicBool>);

impl Server {
    async fn start(seams: &Seams) -> Self {
        let (kept, received) = watch::channel(Vec::new());
        let down = Arc::new(AtomicBool::new(false));
        let take = |State(state): State<Arc<Kept>>, body: Bytes| async move {
            if state.1.load(Ordering::Relaxed) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let lines = read(&body).into_iter().flat_map(|(labels, lines)| lines.into_iter().map(move |line| format!("{labels} {line}")));
            state.0.send_modify(|kept| kept.extend(lines));
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/push", post(take)).with_state(Arc::new((kept, Arc::clone(&down))));
        let address = ([127, 0, 0, 1], 0).into();
        let (clock, spawner) = (Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
        let http = HttpServer::start(address, router, 100, Default::default(), &TokioNetwork, clock, spawner).await.expect("a free port");
        Server { received, down, http }
    }

    /// Waits until exactly these have come, in any order.
    async fn has(&self, want: &[&str]) {
        let mut want: Vec<String> = want.iter().map(|line| (*line).to_owned()).collect();
        want.sort();
        let mut received = self.received.clone();
        let all = received.wait_for(|received| received.len() >= want.len()).await.expect("the server is there").clone();
        let mut all = all;
        all.sort();
        assert_eq!(all, want);
    }
}

/// A directory with a configuration, and what runs by it.
struct Case {
    dir: TempDir,
    seams: Seams,
    server: Server,
}

impl Case {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let seams = seams(1, &Metrics::new("test")).expect("the system has threads");
        let server = Server::start(&seams).await;
        Case { dir, seams, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, jobs: &str) {
        let (dir, server) = (self.dir.path().display(), self.server.http.address());
        let jobs = jobs.replace("DIR", &dir.to_string());
        let text = format!(
            "positions: {{filename: {dir}/positions.yaml, sync_period: 50ms}}\n\
             clients: [{{url: 'http://{server}/push', batchwait: 20ms}}]\n\
             target_config: {{sync_period: 100ms}}\nscrape_configs:\n{jobs}"
        );
        write(&self.path("agent.yaml"), &text);
    }

    fn world(&self, flags: &str) -> Arc<World> {
        let line = format!("-config.file={} {flags}", self.path("agent.yaml").display());
        let flags = Flags::parse(line.split_whitespace().map(str::to_owned)).expect("the flags are known");
        World::new(flags, self.seams.clone(), Metrics::new("test"), "here".to_owned(), None)
    }

    async fn start(&self) -> Arc<Agent> {
        let world = self.world("");
        let loaded = world.load().expect("the configuration is right");
        let agent = loop {
            match Agent::open(Arc::clone(&world), loaded.clone()).await {
                // Tasks of the one before end a moment after it.
                Err(AgentError::Spool(SpoolError::InUse(_))) => tokio::task::yield_now().await,
                opened => break opened.expect("it opens"),
            }
        };
        agent.begin().await.expect("it begins");
        agent
    }
}

#[allow(clippy::disallowed_methods, reason = "tests write real files")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("there is room");
}

#[allow(clippy::disallowed_methods, reason = "tests write real files")]
fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("it can be written");
    file.write_all(text.as_bytes()).expect("there is room");
}

const STATIC: &str =
    "  - {job_name: a, static_configs: [{labels: {job: one, __path__: DIR/*.log}}], pipeline_stages: [labeldrop: [filename]]}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_arrive_once_over_reloads_outages_and_restarts() {
    let case = Case::new().await;
    case.configure(STATIC);
    append(&case.path("x.log"), "1\n2\n");
    let agent = case.start().await;
    case.server.has(&["{job=\"one\"} 1", "{job=\"one\"} 2"]).await;

    assert!(matches!(agent.reload().await, Err(AgentError::Unchanged)));
    case.configure("  - {job_name: a, kafka: {}}\n");
    let refused = agent.reload().await.expect_err("there is no kafka").to_string();
    assert!(refused.contains("kafka is not supported"), "{refused}");
    case.configure(&STATIC.replace("one", "two"));
    agent.reload().await.expect("it is right");
    // Until the new target has found the file, the old one reads it to its end.
    while !agent.statuses().await.iter().all(|source| source.ready) {
        case.seams.clock.sleep(Duration::from_millis(5)).await;
    }
    append(&case.path("x.log"), "3\n");
    case.server.has(&["{job=\"one\"} 1", "{job=\"one\"} 2", "{job=\"two\"} 3"]).await;

    case.server.down.store(true, Ordering::Relaxed);
    append(&case.path("x.log"), "4\n");
    agent.stop().await;
    drop(agent);
    append(&case.path("x.log"), "5\n");
    case.server.down.store(false, Ordering::Relaxed);
    let agent = case.start().await;
    case.server.has(&["{job=\"one\"} 1", "{job=\"one\"} 2", "{job=\"two\"} 3", "{job=\"two\"} 4", "{job=\"two\"} 5"]).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_does_not_start_brings_the_old_one_back() {
    let case = Case::new().await;
    case.configure(STATIC);
    let agent = case.start().await;
    let taken = case.server.http.address();
    case.configure(&format!("  - {{job_name: s, syslog: {{listen_address: '{taken}'}}}}\n"));
    let refused = agent.reload().await.expect_err("the port is taken").to_string();
    assert_eq!(refused, "scrape config \"s\"");
    append(&case.path("x.log"), "1\n");
    case.server.has(&["{job=\"one\"} 1"]).await;
    let jobs: Vec<String> =
        agent.statuses().await.into_iter().map(|status| format!("{} {} {}", status.job, status.kind, status.ready)).collect();
    assert_eq!(jobs, ["a file true"]);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_input_is_sent_to_its_end() {
    let case = Case::new().await;
    case.configure(STATIC);
    let world = case.world("-stdin");
    let loaded = world.load().expect("the configuration is right");
    let lines = |send: mpsc::Sender<String>| (1..=3).for_each(|line| send.blocking_send(line.to_string()).expect("it is received"));
    stdin::run(world, loaded, lines).await.expect("it is sent");
    case.server.has(&["{job=\"one\"} 1", "{job=\"one\"} 2", "{job=\"one\"} 3"]).await;
    assert!(!case.path("positions.yaml").exists(), "nobody's positions are moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_pages_show_what_is_read() {
    use crate::http::Operations;
    let case = Case::new().await;
    case.configure(STATIC);
    append(&case.path("x.log"), "1\n");
    let agent = case.start().await;
    case.server.has(&["{job=\"one\"} 1"]).await;
    let path = case.path("x.log").display().to_string();
    let metrics = agent.metrics().await;
    for want in [
        format!("promtail_read_bytes_total{{path=\"{path}\"}} 2\n"),
        format!("promtail_file_bytes_total{{path=\"{path}\"}} 2\n"),
        format!("promtail_read_lines_total{{path=\"{path}\"}} 1\n"),
        "promtail_files_active_total 1\n".to_owned(),
        "promtail_targets_active_total 1\n".to_owned(),
    ] {
        assert!(metrics.contains(&want), "{want}\n{metrics}");
    }
    let sources = agent.sources().await;
    assert!(sources[0].active[0].details.contains(&(path, "2 of 2 bytes".to_owned())), "{sources:?}");
    assert!(Operations::config(&*agent).contains("job_name: a"));
    agent.stop().await;
}
