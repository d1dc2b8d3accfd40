#![allow(clippy::disallowed_methods, reason = "real senders have real files")]

use super::*;
use crate::config::settings::Hidden;
use crate::delivery::config::TlsConfig;
use crate::sink::fake::{FakeIntake, parts};
use crate::sources::tls::tests::{CA, SERVER, SERVER_KEY, connector, localhost};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use skald_pipeline::Entry;
use std::path::PathBuf;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A source on a port of its own, over the real network.
struct World {
    intake: Arc<FakeIntake>,
    registry: Registry,
    source: SyslogSource,
    seams: Seams,
}

const RULES: &str = r#"[
    {"action": "labelmap", "regex": "__syslog_message_(.+)"},
    {"source_labels": ["__syslog_connection_ip_address"], "target_label": "ip"},
    {"source_labels": ["__syslog_connection_hostname"], "target_label": "peer"}
]"#;

async fn start(config: &str, room: usize) -> World {
    let seams = skald_runtime::seams(1, &skald_runtime::Metrics::new("test")).unwrap();
    let (intake, mut registry) = (FakeIntake::with_room(room), Registry::default());
    let config = SyslogConfig { listen_address: "127.0.0.1:0".to_owned(), ..serde_saphyr::from_str(config).unwrap() };
    assert!(config.problems().is_empty());
    let names = HostNames::new(Arc::new(|_| Some("peer.example".to_owned())), Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
    let sink = parts(&intake, Arc::clone(&seams.clock), "[]", RULES);
    let metrics = SyslogMetrics::register(&mut registry);
    let source = SyslogSource::start("job", config, sink, names, metrics, &seams).await.unwrap();
    World { intake, registry, source, seams }
}

impl World {
    async fn connect(&self) -> Box<dyn skald_model::seam::Connection> {
        self.seams.network.connect(&self.source.address().to_string()).await.unwrap()
    }

    async fn send(&self, text: &str) {
        let mut connection = self.connect().await;
        connection.write_all(text.as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
    }

    async fn send_datagram(&self, text: &str) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(text.as_bytes(), self.source.address()).await.unwrap();
    }

    /// The next entries, so many, in the order of their lines.
    async fn entries(&self, count: usize) -> Vec<Entry> {
        let mut entries = self.intake.next(count, &*self.seams.clock).await;
        entries.sort_by(|a, b| a.line.cmp(&b.line));
        entries
    }

    async fn lines(&self, count: usize) -> Vec<String> {
        self.entries(count).await.into_iter().map(|entry| entry.line).collect()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }

    /// Waits until a metric has this value.
    async fn metric(&self, line: &str) {
        for _ in 0..1000 {
            if self.metrics().lines().any(|found| found == line) {
                return;
            }
            self.seams.clock.sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the metrics have no line {line}");
    }

    fn logger(&self, arguments: &[&str]) -> bool {
        let address = self.source.address();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let ran = Command::new("logger").args(["--server", &host, "--port", &port]).args(arguments).status();
        ran.is_ok_and(|status| status.success())
    }
}

const ONE: &str = "<165>1 2026-01-15T00:00:00.5Z host app 12 id [x@1 a=\"1\"] one";

#[tokio::test]
async fn connections_are_read_by_line_and_by_length() {
    let world = start("labels: {job: syslog}", 100).await;
    world.send(&format!("{ONE}\n<34>Oct 11 22:14:15 h su[9]: two")).await;
    let entries = world.entries(2).await;
    let labels = r#"{app_name="app", facility="local4", hostname="host", ip="127.0.0.1", job="syslog", msg_id="id", peer="peer.example", proc_id="12", severity="notice"}"#;
    assert_eq!(entries[0].labels.to_string(), labels);
    assert!(entries[1].labels.to_string().contains(r#"app_name="su""#));
    // Read one after the other, and so at different times.
    assert!(entries[0].timestamp < entries[1].timestamp);
    world.send(&format!("{} {ONE}", ONE.len())).await;
    assert_eq!(world.lines(1).await, ["one"]);
    world.metric("promtail_syslog_target_entries_total 3").await;
    world.metric("promtail_syslog_target_parsing_errors_total 0").await;
}

#[tokio::test]
async fn what_a_config_asks_for_is_kept_of_a_message() {
    let config = "label_structured_data: true\nuse_incoming_timestamp: true\nuse_rfc5424_message: true";
    let world = start(config, 100).await;
    world.send(ONE).await;
    let entry = world.entries(1).await.remove(0);
    assert_eq!(entry.line, ONE);
    assert_eq!(entry.timestamp, skald_model::Timestamp(1_768_435_200_500_000_000));
    assert_eq!(entry.labels.get("sd_x_1_a"), Some("1"));
}

#[tokio::test]
async fn what_is_wrong_is_counted_and_kept_as_far_as_it_goes() {
    let world = start("max_message_length: 40", 100).await;
    world.send("<13>1 - h a p m -\n<13>1 - h a p m [ text\nno priority\n").await;
    world.send(&format!("<13>1 - h a p m - {}\n", "x".repeat(100))).await;
    world.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(world.lines(3).await, ["[ text", "no priority", &"x".repeat(22)]);
    world.metric("promtail_syslog_empty_messages_total 1").await;
    world.metric("promtail_syslog_target_parsing_errors_total 3").await;
    world.metric("promtail_syslog_target_truncated_messages_total 1").await;
    world.metric("promtail_syslog_target_senders 0").await;
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let world = start("idle_timeout: 50ms", 100).await;
    let mut connection = world.connect().await;
    connection.write_all(b"<13>1 - h a p m - last words").await.unwrap();
    let mut end = Vec::new();
    connection.read_to_end(&mut end).await.unwrap();
    assert_eq!(world.lines(1).await, ["last words"]);
}

#[tokio::test]
async fn a_connection_waits_while_there_is_no_room() {
    let world = start("{}", 1).await;
    world.send("<13>1 - h a p m - one\n<13>1 - h a p m - two\n<13>1 - h a p m - three\n").await;
    assert_eq!(world.lines(1).await, ["one"]);
    world.intake.make_room(2);
    assert_eq!(world.lines(2).await, ["three", "two"]);
}

#[tokio::test]
async fn stopping_offers_what_was_read_and_frees_the_port() {
    let world = start("{}", 100).await;
    let address = world.source.address();
    let mut connection = world.connect().await;
    connection.write_all(b"<13>1 - h a p m - whole\n<13>1 - h a p m - unfinished").await.unwrap();
    assert_eq!(world.lines(1).await, ["whole"]);
    assert!(world.source.status().ready);
    world.source.stop().await;
    assert!(!world.source.status().ready);
    assert_eq!(world.lines(1).await, ["unfinished"]);
    world.seams.network.listen(address).await.unwrap();
}

#[tokio::test]
async fn datagrams_are_read_and_dropped_when_too_many_wait() {
    let world = start("listen_protocol: udp", 2).await;
    world.send_datagram("<13>1 - h a p m - one").await;
    world.send_datagram("21 <13>1 - h a p m - two").await;
    assert_eq!(world.lines(2).await, ["one", "two"]);
    // The queue and what its task holds, and then no more.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(world.source.address()).await.unwrap();
    let big = format!("<13>1 - h a p m - {}", "x".repeat(60_000));
    let mut sent = 0;
    loop {
        socket.send(big.as_bytes()).await.unwrap();
        sent += 1;
        if !world.metrics().contains("dropped_datagrams_total 0") {
            break;
        }
        assert!(sent < 5000, "nothing is dropped");
        tokio::task::yield_now().await;
    }
    world.intake.make_room(100_000);
    world.entries(100).await;
    world.source.stop().await;
}

#[tokio::test]
async fn senders_of_datagrams_are_forgotten() {
    let world = start("{listen_protocol: udp, idle_timeout: 20ms}", 100).await;
    for round in 0..2 {
        world.send_datagram(&format!("<13>1 - h a p m - {round}")).await;
        assert_eq!(world.lines(1).await, [round.to_string()]);
        world.metric("promtail_syslog_target_senders 0").await;
    }
}

fn tls(ca: Option<&str>) -> TlsConfig {
    TlsConfig { cert: Some(SERVER.to_owned()), key: Some(Hidden(SERVER_KEY.to_owned())), ca: ca.map(str::to_owned), ..TlsConfig::default() }
}

#[tokio::test]
async fn with_a_ca_only_senders_with_a_certificate_are_heard() {
    let seams = skald_runtime::seams(1, &skald_runtime::Metrics::new("test")).unwrap();
    let intake = FakeIntake::with_room(10);
    let config = SyslogConfig { listen_address: "127.0.0.1:0".to_owned(), tls_config: Some(tls(Some(CA))), ..SyslogConfig::default() };
    let names = HostNames::new(Arc::new(|_| None), Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
    let sink = parts(&intake, Arc::clone(&seams.clock), "[]", "[]");
    let source = SyslogSource::start("job", config, sink, names, SyslogMetrics::default(), &seams).await.unwrap();
    for (with_certificate, line) in [(false, "no"), (true, "yes")] {
        let connection = seams.network.connect(&source.address().to_string()).await.unwrap();
        let mut connection = connector(with_certificate).connect(localhost(), connection).await.unwrap();
        // Refused only once the server has seen that there is no certificate.
        let sent = connection.write_all(format!("<13>1 - h a p m - {line}\n").as_bytes()).await;
        drop(sent.and(connection.shutdown().await));
    }
    assert_eq!(intake.next(1, &*seams.clock).await[0].line, "yes");
    source.stop().await;
    assert_eq!(intake.len(), 0);
}

#[tokio::test]
async fn a_taken_port_and_a_bad_certificate_are_named() {
    let world = start("{}", 0).await;
    let start = |config: SyslogConfig| {
        let names = HostNames::of_system(Arc::clone(&world.seams.clock), Arc::clone(&world.seams.spawner));
        let sink = parts(&world.intake, Arc::clone(&world.seams.clock), "[]", "[]");
        let seams = world.seams.clone();
        async move { SyslogSource::start("job", config, sink, names, SyslogMetrics::default(), &seams).await.err().unwrap() }
    };
    let taken = SyslogConfig { listen_address: world.source.address().to_string(), ..SyslogConfig::default() };
    let refused = start(taken).await;
    assert_eq!(refused.to_string(), format!("cannot listen on {}", world.source.address()));
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let tls = TlsConfig { cert_file: Some("/none".into()), key_file: Some("/none".into()), ..TlsConfig::default() };
    let refused = start(SyslogConfig { listen_address: ":0".into(), tls_config: Some(tls), ..SyslogConfig::default() }).await;
    assert_eq!(refused.to_string(), "cannot read the certificate from /none");
}

#[tokio::test(flavor = "multi_thread")]
async fn logger_is_understood_in_every_format() {
    if Command::new("logger").arg("--version").output().is_err() {
        eprintln!("logger of util-linux is not installed");
        return;
    }
    let (tcp, udp) = (start("{}", 100).await, start("listen_protocol: udp", 100).await);
    for (number, format) in
        [["--rfc5424"].as_slice(), &["--rfc3164"], &["--rfc5424", "--octet-count"], &["--rfc3164", "--octet-count"]].iter().enumerate()
    {
        for (world, transport) in [(&tcp, "--tcp"), (&udp, "--udp")] {
            let text = format!("message {number}");
            let arguments = [&[transport, "--tag", "backup", "--id=77", "--priority", "local3.err"], *format, &[&text]].concat();
            assert!(world.logger(&arguments), "logger {arguments:?}");
            let entry = world.entries(1).await.remove(0);
            let label = |name: &str| entry.labels.get(name).unwrap_or_default().to_owned();
            let found = [label("app_name"), label("proc_id"), label("facility"), label("severity"), entry.line.clone()];
            assert_eq!(found, ["backup", "77", "local3", "error", &text], "{arguments:?}");
            assert_ne!(label("hostname"), "");
        }
    }
    for world in [&tcp, &udp] {
        world.metric("promtail_syslog_target_parsing_errors_total 0").await;
    }
}

/// A program that runs until the test has ended.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[tokio::test]
async fn rsyslogd_is_understood_over_tcp_and_udp() {
    let tools = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/rsyslog"));
    let libraries = std::fs::read_dir(tools.join("usr/lib")).into_iter().flatten().flatten();
    let Some(modules) = libraries.map(|folder| folder.path().join("rsyslog")).find(|path| path.exists()) else {
        eprintln!("scripts/log-senders.sh has not installed rsyslogd");
        return;
    };
    let (tcp, udp) = (start("use_incoming_timestamp: true", 10_000).await, start("listen_protocol: udp", 10_000).await);
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let forward = |world: &World, more: &str| {
        let address = world.source.address();
        format!("action(type=\"omfwd\" target=\"{}\" port=\"{}\" {more})", address.ip(), address.port())
    };
    let config = [
        format!("global(workDirectory=\"{}\")", folder.path().display()),
        "module(load=\"imfile\")".to_owned(),
        format!("input(type=\"imfile\" File=\"{}\" Tag=\"backup:\" Severity=\"error\" Facility=\"local3\")", path("lines")),
        forward(&tcp, r#"protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format""#),
        forward(&udp, r#"protocol="udp" template="RSYSLOG_TraditionalForwardFormat""#),
    ];
    std::fs::write(path("config"), config.join("\n") + "\n").unwrap();
    let lines: Vec<String> = (0..100).map(|number| format!("line {number:03} caf\u{e9} <1> [x]")).collect();
    std::fs::write(path("lines"), lines.join("\n") + "\n").unwrap();
    let mut rsyslogd = Command::new(tools.join("run"));
    rsyslogd.args(["usr/sbin/rsyslogd", "-n", "-f", &path("config"), "-i", &path("pid"), "-M"]).arg(modules);
    let _running = Running(rsyslogd.spawn().unwrap());
    for world in [&tcp, &udp] {
        let entries = world.entries(100).await;
        assert!(entries.iter().map(|entry| &entry.line).eq(&lines), "{:?}", entries[0]);
        let label = |name: &str| entries[0].labels.get(name).unwrap_or_default();
        assert_eq!([label("app_name"), label("facility"), label("severity")], ["backup", "local3", "error"]);
        world.metric("promtail_syslog_target_parsing_errors_total 0").await;
    }
}
