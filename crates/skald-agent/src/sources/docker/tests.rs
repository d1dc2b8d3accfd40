use super::fake::FakeEngine;
use super::*;
use crate::sink::fake::{FakeIntake, parts};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use skald_model::Timestamp;
use skald_model::seam::Clock;
use std::time::Duration;

/// A second of the containers' clock.
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_718_000_000 * SECOND;
const RULES: &str = r#"[
    {"source_labels": ["__meta_docker_container_name"], "regex": "/name-(.*)", "target_label": "c"},
    {"source_labels": ["__meta_docker_container_log_stream"], "target_label": "stream"}
]"#;

struct World {
    engine: FakeEngine,
    intake: Arc<FakeIntake>,
    registry: Registry,
    metrics: DockerMetrics,
    seams: Seams,
    clock: Arc<dyn Clock>,
}

/// The real clock, but that sleeps are shorter.
struct Hurried(Arc<dyn Clock>);

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration / 20)
    }
}

impl World {
    fn new() -> Self {
        let mut seams = skald_runtime::seams(1, &skald_runtime::Metrics::new("test")).unwrap();
        let clock = Arc::clone(&seams.clock);
        seams.clock = Arc::new(Hurried(Arc::clone(&clock)));
        let mut registry = Registry::default();
        let metrics = DockerMetrics::register(&mut registry);
        World { engine: FakeEngine::start(), intake: FakeIntake::with_room(100_000), registry, metrics, seams, clock }
    }

    async fn start_with(&self, cursors: &[(&str, &str)], rules: &str, more: &str) -> DockerSource {
        let config: DockerSdConfig = serde_saphyr::from_str(&format!("host: '{}'\n{more}", self.engine.host())).unwrap();
        assert_eq!(config.problems(), [""; 0]);
        let sink = parts(&self.intake, Arc::clone(&self.seams.clock), "[]", rules);
        let cursors = cursors.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        DockerSource::start("job", &[config], &cursors, 0, sink, self.metrics.clone(), &self.seams).await.unwrap()
    }

    async fn start(&self) -> DockerSource {
        self.start_with(&[], RULES, "").await
    }

    /// Writes lines `<from>…<to>` of a container, one a second.
    fn write(&self, id: &str, numbers: std::ops::Range<i64>) {
        numbers.for_each(|number| self.engine.write(id, 1, START + number * SECOND, &format!("{number}\n")));
    }

    /// The next entries, in order of their times.
    async fn lines(&self, count: usize) -> Vec<String> {
        let mut entries = self.intake.next(count, &*self.clock).await;
        entries.sort_by_key(|entry| entry.timestamp);
        entries.into_iter().map(|entry| format!("{} {} {}", entry.timestamp.0 - START, entry.labels, entry.line)).collect()
    }

    /// The next entries must be these lines and no others.
    async fn check_numbers(&self, numbers: std::ops::Range<i64>) {
        let want: Vec<String> = numbers.map(|number| number.to_string()).collect();
        let mut entries = self.intake.next(want.len(), &*self.clock).await;
        entries.sort_by_key(|entry| entry.timestamp);
        let got: Vec<String> = entries.into_iter().map(|entry| entry.line).collect();
        assert_eq!(got, want);
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..3000 {
            if is_so() {
                return;
            }
            self.clock.sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} has not come");
    }

    #[track_caller]
    fn check_metric(&self, line: &str) {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}

fn dropped(source: &DockerSource) -> Vec<(String, String)> {
    source.status().dropped.into_iter().map(|target| (target.details[1].1.clone(), target.reason)).collect()
}

#[tokio::test]
async fn containers_are_followed_with_their_streams_and_labels() {
    let world = World::new();
    world.engine.run("a", false);
    world.engine.write("a", 1, START + 1, "out\n");
    world.engine.write("a", 2, START + 2, "a long l");
    world.engine.write("a", 1, START + 3, "between\n");
    world.engine.write("a", 2, START + 2, "ine\n");
    let source = world.start_with(&[], RULES, "filters: [{name: name, values: [x]}]").await;
    let want = [r#"1 {c="a", stream="stdout"} out"#, r#"2 {c="a", stream="stderr"} a long line"#, r#"3 {c="a", stream="stdout"} between"#];
    assert_eq!(world.lines(3).await, want);
    world.engine.run("t", true);
    world.engine.write("t", 1, START + 4, "prompt\r\n");
    assert_eq!(world.lines(1).await, [r#"4 {c="t", stream="stdout"} prompt"#]);
    let status = source.status();
    assert!(status.ready && status.dropped.is_empty());
    assert_eq!(status.active[0].discovered.get("__meta_docker_network_name"), Some("bridge"));
    assert_eq!(status.active.len(), 2);
    source.stop().await;
    assert!(!source.status().ready);
    assert_eq!(world.engine.asked("/containers/json")[0], "/containers/json?all=true&filters=%7B%22name%22%3A%5B%22x%22%5D%7D");
    assert_eq!(world.engine.asked("a/logs"), ["/containers/a/logs?follow=true&stdout=true&stderr=true&timestamps=true&since=0"]);
    world.check_metric("promtail_docker_target_entries_total 4");
    world.check_metric("promtail_docker_target_parsing_errors_total 0");
}

#[tokio::test]
async fn an_agent_that_comes_back_goes_on_behind_the_last_line() {
    let world = World::new();
    world.engine.run("a", false);
    world.write("a", 0..3);
    // Of one instant, one of them twice.
    ["x\n", "y\n", "x\n"].iter().for_each(|text| world.engine.write("a", 1, START + 5 * SECOND, text));
    let source = world.start().await;
    assert_eq!(world.lines(6).await.len(), 6);
    source.stop().await;
    let cursor = world.intake.cursors().pop().unwrap();
    let (key, value) = cursor.split_once('=').unwrap();
    assert_eq!((key, value.lines().next()), ("a", Some("1718000005")));

    ["x\n", "z\n"].iter().for_each(|text| world.engine.write("a", 1, START + 5 * SECOND, text));
    world.write("a", 6..8);
    let source = world.start_with(&[("cursor-a", value)], RULES, "").await;
    let lines = world.lines(4).await;
    let texts: Vec<&str> = lines.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(texts, ["x", "z", "6", "7"]);
    assert!(world.engine.asked("a/logs").last().unwrap().ends_with("since=1718000003"));
    source.stop().await;
}

#[tokio::test]
async fn what_promtail_kept_is_where_reading_begins() {
    let world = World::new();
    world.engine.run("a", false);
    world.write("a", 0..10);
    let source = world.start_with(&[("cursor-a", "1718000007")], RULES, "").await;
    world.check_numbers(7..10).await;
    source.stop().await;
}

#[tokio::test]
async fn an_engine_that_goes_away_costs_no_line_and_doubles_none() {
    let world = World::new();
    world.engine.run("a", false);
    world.write("a", 0..5);
    world.engine.write("a", 2, START + 5 * SECOND, "a long l");
    let source = world.start().await;
    world.check_numbers(0..5).await;
    for round in 1..4 {
        world.engine.go_away(true);
        world.write("a", 10 * round..10 * round + 5);
        let failures = world.metrics.failures.get();
        world.until("a failure", || world.metrics.failures.get() > failures + 1).await;
        assert_eq!(world.intake.len(), 0);
        world.engine.go_away(false);
        world.check_numbers(10 * round..10 * round + 5).await;
    }
    world.engine.write("a", 2, START + 5 * SECOND, "ine\n");
    assert_eq!(world.lines(1).await, [r#"5000000000 {c="a", stream="stderr"} a long line"#]);
    source.stop().await;
}

#[tokio::test]
async fn a_container_that_ended_is_read_to_its_end_once() {
    let world = World::new();
    world.write("old", 0..2);
    world.engine.write("old", 1, START + 2 * SECOND, "2");
    let source = world.start().await;
    world.check_numbers(0..3).await;
    let ended = vec![("old".to_owned(), "ended, and read to its end".to_owned())];
    world.until("the end", || dropped(&source) == ended).await;
    let lists = world.engine.asked("/containers/json").len();
    world.until("another list", || world.engine.asked("/containers/json").len() > lists + 1).await;
    assert_eq!(world.engine.asked("old/logs").len(), 1);

    // Restarted: only what is new. It may have ended again before it is looked at.
    world.engine.run("old", false);
    world.write("old", 10..12);
    world.check_numbers(10..12).await;
    world.engine.write("old", 1, START + 12 * SECOND, "12");
    world.engine.exit("old");
    world.check_numbers(12..13).await;
    world.until("the end", || dropped(&source) == ended).await;
    for round in 2..4 {
        world.engine.run("old", false);
        world.write("old", 10 * round..10 * round + 2);
        world.engine.exit("old");
        world.check_numbers(10 * round..10 * round + 2).await;
    }
    source.stop().await;
    assert_eq!(world.intake.len(), 0);
}

#[tokio::test]
async fn a_container_that_is_gone_is_forgotten_and_one_that_is_filtered_out_is_not() {
    let world = World::new();
    world.engine.run("a", false);
    world.write("a", 0..2);
    let source = world.start_with(&[], RULES, "refresh_interval: 1s").await;
    world.check_numbers(0..2).await;
    world.engine.hide("a", true);
    world.engine.exit("a");
    let lists = world.engine.asked("/containers/json").len();
    world.until("lists without it", || world.engine.asked("/containers/json").len() > lists + 2).await;
    world.engine.hide("a", false);
    world.engine.run("a", false);
    world.write("a", 2..4);
    world.check_numbers(2..4).await;
    world.engine.remove("a");
    world.until("it to go", || source.status().active.is_empty() && source.status().dropped.is_empty()).await;
    source.stop().await;
}

#[tokio::test]
async fn what_relabeling_drops_is_not_read() {
    let world = World::new();
    ["a", "b"].iter().for_each(|id| world.engine.run(id, false));
    world.engine.write("a", 1, START, "out\n");
    world.engine.write("a", 2, START + 1, "err\n");
    world.engine.write("b", 2, START + 2, "no\n");
    let rules = r#"[
        {"source_labels": ["__meta_docker_container_name"], "regex": "/name-a", "action": "keep"},
        {"source_labels": ["__meta_docker_container_log_stream"], "regex": "stdout", "action": "drop"},
        {"target_label": "job", "replacement": "j"}
    ]"#;
    let source = world.start_with(&[], rules, "").await;
    assert_eq!(world.lines(1).await, [r#"1 {job="j"} err"#]);
    assert_eq!(dropped(&source), [("b".to_owned(), "dropped by relabel_configs".to_owned())]);
    source.stop().await;
    assert_eq!(world.engine.asked("b/"), [""; 0]);
    // The place is behind the line that was dropped, too.
    assert_eq!(world.intake.cursors().last().unwrap().lines().filter(|line| line.starts_with("17180")).count(), 2);
    world.check_metric("promtail_docker_target_entries_total 1");
}

#[tokio::test]
async fn an_engine_that_tells_no_events_and_no_networks_is_listed() {
    let world = World::new();
    world.engine.refuse(&["/events", "/networks"]);
    world.engine.run("a", false);
    let source = world.start_with(&[], RULES, "refresh_interval: 1s").await;
    world.write("a", 0..2);
    world.check_numbers(0..2).await;
    world.engine.run("b", false);
    world.write("b", 2..4);
    world.check_numbers(2..4).await;
    world.engine.exit("b");
    world.until("the end", || dropped(&source).len() == 1).await;
    // Between two lists, and nobody told.
    world.write("b", 4..6);
    world.check_numbers(4..6).await;
    source.stop().await;
}
