//! Queries within bounds: of memory, of time, of those who wait. What they hold is given back, and others go on.

use futures::FutureExt;
use parking_lot::Mutex;
use skald_config::ByteSize;
use skald_model::Timestamp;
use skald_model::seam::{CpuPool, Job};
use skald_querier::{Answer, AnswerData, QueryError, QueryRequest};
use skald_rpc::{Ingester, PushBatch, StreamRows};
use skald_sim::{Node, World, tenant};
use skald_testkit::labels;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const BASE: i64 = 1_768_435_200_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// One query of every kind that holds memory in its own way.
const QUERIES: [&str; 14] = [
    r#"{app=~".+"}"#,
    r#"{app="a"} |= "status=500""#,
    r#"{app="a"} |~ "user=1[0-9] " | logfmt | status="200""#,
    r#"{app=~"a|b"} | trace="trace-7""#,
    r#"sum by (app) (count_over_time({app=~".+"}[1m]))"#,
    r#"sum by (detected_level) (rate({app=~".+"}[5m]))"#,
    r#"count_over_time({app=~".+"} | logfmt | keep user [2m])"#,
    r#"topk(3, sum by (user) (count_over_time({app=~".+"} | logfmt [10m])))"#,
    r#"quantile_over_time(0.9, {app=~".+"} | logfmt | unwrap took [5m]) by (app)"#,
    r#"sum(rate_counter({app=~".+"} | logfmt | unwrap took [5m]))"#,
    r#"max by (status) (max_over_time({app=~".+"} | logfmt | unwrap took [1m]))"#,
    r#"sum by (app) (count_over_time({app=~".+"}[1m])) / on (app) sum by (app) (bytes_over_time({app=~".+"}[1m]))"#,
    r#"sum by (user) (count_over_time({app="a"} | logfmt [1m])) or sum by (user) (count_over_time({app="b"} | logfmt [1m]))"#,
    r#"absent_over_time({app="none"}[1m])"#,
];

fn request(text: &str) -> QueryRequest {
    QueryRequest {
        text: text.to_owned(),
        start: Timestamp(BASE),
        end: Timestamp(BASE + 1800 * SECOND),
        step: Some(Duration::from_secs(30)),
        interval: Duration::ZERO,
        limit: 100_000,
        forward: false,
    }
}

fn ask(node: &Node, text: &str) -> Result<Answer, QueryError> {
    node.spawner.run(node.querier.query(&node.querier.caller(vec![tenant("t")], Default::default()), request(text)))
}

fn shown(answer: Answer) -> String {
    assert_eq!(answer.warnings, Vec::<String>::new());
    match answer.data {
        AnswerData::Entries(entries) => format!("{:?}", entries.categorised()),
        AnswerData::Metric(result) => format!("{result:?}"),
    }
}

/// Pushes entries with metadata, some of them twice.
fn push(node: &Node, round: i64) {
    for app in ["a", "b", "c"] {
        let mut rows = skald_model::RowsBuilder::default();
        for i in 0..400 {
            let (user, status) = ((i * 7 + round) % 60, if i % 10 == 0 { 500 } else { 200 });
            let line = format!("level=info user={user} status={status} took={} path=/api/{app}/{i} padding={:040}", i % 97, i * 31);
            rows.push(Timestamp(BASE + (round * 200 + i) * SECOND / 2), line.as_bytes());
            rows.set_metadata("trace", format!("trace-{}", i % 20).as_bytes(), false);
            rows.set_metadata("detected_level", b"info", true);
        }
        let batch = PushBatch { streams: vec![StreamRows { labels: labels(&[("app", app)]), rows: rows.finish() }] };
        let pushed = node.spawner.run(node.ingester.push(&tenant("t"), batch));
        assert!(pushed.is_ok(), "{pushed:?}");
    }
}

/// Entries in three objects that overlap in time, and in memory.
fn filled(mut world: World) -> World {
    world.limits.max_query_series = 100_000;
    let node = world.start().expect("it starts");
    for round in 0..4 {
        push(&node, round);
        // The same entries again, in another generation.
        if round > 0 {
            node.flush();
            push(&node, round);
        }
    }
    drop(node);
    world
}

#[test]
fn every_query_is_exact_or_fails_for_its_memory_and_gives_it_back() {
    let mut world = filled(World::new(1));
    let node = world.start().expect("it starts");
    let exact: Vec<String> = QUERIES.iter().map(|query| shown(ask(&node, query).expect("there is memory"))).collect();
    assert_eq!(node.querier.memory_held(), 0);
    drop(node);
    let (mut answered, mut failed) = (0, 0);
    for power in 10..26 {
        world.config.querier.query_memory_budget = ByteSize(1 << power);
        let node = world.start().expect("it starts");
        for (query, exact) in QUERIES.iter().zip(&exact) {
            match ask(&node, query) {
                Ok(answer) => {
                    assert!(shown(answer) == *exact, "{query} with 2^{power} bytes");
                    answered += 1;
                }
                Err(QueryError::Budget(error)) => {
                    assert!(error.to_string().contains(&ByteSize(1 << power).to_string()), "{error}");
                    failed += 1;
                }
                Err(error) => panic!("{query} with 2^{power} bytes: {error:?}"),
            }
            assert_eq!(node.querier.memory_held(), 0, "{query} with 2^{power} bytes");
        }
        let caller = node.querier.caller(vec![tenant("t")], Default::default());
        let selector = [skald_logql::exec::Selector::compile(&[]).expect("valid")];
        let series = node.spawner.run(node.querier.series(&caller, &selector, skald_model::TimeRange::ALL));
        assert!(series.is_ok_and(|(found, _)| found.len() == 3) || power < 16);
        drop(caller);
        assert_eq!(node.querier.memory_held(), 0);
    }
    assert!(answered > 50 && failed > 50, "{answered} answered, {failed} failed");
}

#[test]
fn the_memory_of_all_queries_is_bounded_and_those_that_fit_go_on() {
    let mut world = filled(World::new(2));
    world.config.querier.memory_budget = ByteSize(40 << 20);
    world.config.querier.query_memory_budget = ByteSize(40 << 20);
    let gate = Arc::new(Gate::default());
    let node = world.start().expect("it starts");
    let exact = shown(ask(&node, QUERIES[4]).expect("it fits"));
    drop(node);
    world.cpu = gate.clone();
    let node = start(&world, &gate);
    // A query that is in the middle of its work holds what it has.
    let mut one = running(&node, QUERIES[0]);
    let mut held = 0;
    for _ in 0..200 {
        if one.as_mut().now_or_never().is_some() {
            break;
        }
        gate.run_one();
        held = held.max(node.querier.memory_held());
    }
    assert!(held > 0 && held <= 40 << 20, "{held}");
    drop(one);
    while gate.run_one() {}
    assert_eq!(node.querier.memory_held(), 0);
    let mut other = running(&node, QUERIES[4]);
    let answer = loop {
        match other.as_mut().now_or_never() {
            Some(answer) => break answer,
            None => assert!(gate.run_one(), "the query waits for nothing"),
        }
    };
    assert!(shown(answer.expect("it fits")) == exact);
}

/// A pool whose jobs run when told, one by one.
#[derive(Default)]
struct Gate {
    jobs: Mutex<VecDeque<Job>>,
    open: std::sync::atomic::AtomicBool,
}

impl Gate {
    fn run_one(&self) -> bool {
        let job = self.jobs.lock().pop_front();
        job.map(|job| job()).is_some()
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, std::sync::atomic::Ordering::SeqCst);
    }
}

impl CpuPool for Gate {
    fn submit(&self, job: Job) {
        if self.open.load(std::sync::atomic::Ordering::SeqCst) {
            return job();
        }
        self.jobs.lock().push_back(job);
    }

    fn threads(&self) -> usize {
        2
    }
}

/// Starts a node whose jobs wait from then on.
fn start(world: &World, gate: &Gate) -> Node {
    gate.set_open(true);
    let node = world.start().expect("it starts");
    gate.set_open(false);
    node
}

type Running = std::pin::Pin<Box<dyn Future<Output = Result<Answer, QueryError>>>>;

fn running(node: &Node, text: &str) -> Running {
    let (querier, request) = (node.querier.clone(), request(text));
    let caller = querier.caller(vec![tenant("t")], Default::default());
    Box::pin(async move { querier.query(&caller, request).await })
}

/// Wherever a query is when its client leaves: at most what runs already ends, nothing more starts, and everything it held is given back.
#[test]
fn nothing_goes_on_once_the_client_has_left() {
    let mut world = filled(World::new(3));
    world.config.querier.max_concurrent = 1;
    world.config.querier.query_memory_budget = ByteSize(64 << 20);
    let gate = Arc::new(Gate::default());
    world.cpu = gate.clone();
    let node = start(&world, &gate);
    for text in QUERIES {
        let mut steps = 0;
        loop {
            let mut query = running(&node, text);
            let mut done = false;
            for _ in 0..steps {
                done = query.as_mut().now_or_never().is_some();
                if done || !gate.run_one() {
                    break;
                }
            }
            if !done {
                done = query.as_mut().now_or_never().is_some();
            }
            drop(query);
            let left = gate.jobs.lock().len();
            assert!(left <= 2, "{text}: no more jobs are handed over than there are threads");
            let mut ran = 0;
            while gate.run_one() {
                ran += 1;
            }
            assert!(ran <= 64, "{text}: queued jobs end without handing over others than those that were queued");
            assert_eq!(node.querier.memory_held(), 0, "{text} after {steps} jobs");
            if done {
                assert!(steps > 1, "{text}");
                break;
            }
            steps += 1 + steps / 4;
        }
    }
}

#[test]
fn a_query_out_of_time_ends_and_its_turn_is_free() {
    let mut world = filled(World::new(4));
    world.limits.query_timeout = Duration::from_secs(60);
    world.config.querier.max_concurrent = 1;
    let gate = Arc::new(Gate::default());
    world.cpu = gate.clone();
    let node = start(&world, &gate);
    let mut query = running(&node, QUERIES[7]);
    for _ in 0..6 {
        assert!(query.as_mut().now_or_never().is_none());
        assert!(gate.run_one());
    }
    world.clock.advance(Duration::from_secs(60));
    assert!(matches!(query.as_mut().now_or_never(), Some(Err(QueryError::Timeout))));
    drop(query);
    while gate.run_one() {}
    assert_eq!(node.querier.memory_held(), 0);
    gate.set_open(true);
    assert!(ask(&node, QUERIES[7]).is_ok());
}

#[test]
fn unreadable_parts_are_told_by_every_kind_of_answer() {
    let world = filled(World::new(5));
    let objects = Path::new(skald_sim::DATA_DIR).join("objects");
    let node = world.start().expect("it starts");
    node.flush();
    drop(node);
    let file = first_file(&world, &objects);
    let len = skald_model::seam::Disk::open(world.disk.as_ref(), &file).and_then(|file| file.len()).expect("it is there");
    // The end of an object is its footer: all of it is unreadable.
    world.disk.flip_bit(&file, len - 20, 3);
    let node = world.start().expect("it starts");
    for query in [QUERIES[0], QUERIES[1], QUERIES[4], QUERIES[8]] {
        let answer = ask(&node, query).expect("the rest is answered");
        assert!(!answer.warnings.is_empty() && answer.stats.unreadable > 0 && !answer.stats.is_complete(), "{query}");
    }
    let caller = || node.querier.caller(vec![tenant("t")], Default::default());
    let selector = [skald_logql::exec::Selector::compile(&[]).expect("valid")];
    let (_, warnings) =
        node.spawner.run(node.querier.series(&caller(), &selector, skald_model::TimeRange::ALL)).expect("the rest is answered");
    assert_eq!(warnings.len(), 1);
}

fn first_file(world: &World, folder: &Path) -> std::path::PathBuf {
    use skald_model::seam::Disk;
    let entries = world.disk.list(folder).expect("the folder is there");
    let entry = entries.iter().find(|entry| !entry.name.starts_with('~') && entry.name != "lock").expect("it is not empty");
    let path = folder.join(&entry.name);
    if entry.is_dir { first_file(world, &path) } else { path }
}
