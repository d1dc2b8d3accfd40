//! The result cache changes no answer: the same question with and without it, while data comes late and twice, is flushed, merged, removed,
//! and found again after restarts.

use skald_block::{ObjectInfo, ObjectWriter, WriterOptions};
use skald_config::ByteSize;
use skald_logql::exec::MetricResult;
use skald_model::{Day, DiskId, Generation, GenerationPart, Labels, Timestamp};
use skald_querier::{Answer, AnswerData, QueryError, QueryRequest, QueryTags};
use skald_sim::{Node, World, tenant};
use skald_store::{ObjectName, TableId};
use skald_testkit::{SeededRandom, labels, rows};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
/// Ten minutes before midnight, so that generations span two days.
const BASE: i64 = (1_768_435_200 + 86_400 - 600) * SECOND;
/// Questions of one run.
const PANELS: u64 = 3;
const ALL: &str = r#"{app=~".+"}"#;

/// Every function over windows, with what it may stand under. `$L` is a selector and stages, `$W` a window.
const QUERIES: [&str; 24] = [
    "count_over_time($L$W)",
    "rate($L$W)",
    "bytes_over_time($L$W)",
    "bytes_rate($L |= `k=1` $W)",
    "absent_over_time($L$W)",
    "sum(count_over_time($L$W))",
    "sum by (app) (rate($L |~ `v=[0-4]` $W))",
    "sum without (app) (bytes_over_time($L | logfmt k $W))",
    "topk(1, sum by (k) (count_over_time($L | logfmt $W)))",
    "sum by (app) (count_over_time($L$W)) / sum by (app) (rate($L$W))",
    "sum by (k) (count_over_time($L | json $W))",
    "sum by (app, __error__) (count_over_time($L | json $W))",
    "sum_over_time($L | logfmt | unwrap v | __error__=`` $W)",
    "sum by (app) (sum_over_time($L | logfmt | unwrap v | __error__=`` $W))",
    "sum(rate($L | logfmt | unwrap v | __error__=`` $W))",
    "avg_over_time($L | logfmt | unwrap v | __error__=`` $W) by (k)",
    "min_over_time($L | logfmt | unwrap v $W) by (k)",
    "max_over_time($L | logfmt | unwrap v | __error__=`` $W) by (app)",
    "stdvar_over_time($L | logfmt | unwrap v | __error__=`` $W) by (app)",
    "stddev_over_time($L | logfmt | unwrap v | __error__=`` $W) without (v, k)",
    "quantile_over_time(0.9, $L | logfmt | unwrap v | __error__=`` $W) by (app)",
    "first_over_time($L | logfmt | unwrap v | __error__=`` $W) by (k)",
    "last_over_time($L | logfmt | unwrap v | __error__=`` $W) by (app)",
    "rate_counter($L | logfmt | unwrap v | __error__=`` $W)",
];

fn seeds(few: u64) -> u64 {
    std::env::var("SKALD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn one_of<T: Copy>(random: &SeededRandom, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

fn stream(i: u64) -> Labels {
    labels(&[("app", ["a", "b", "c"][(i % 3) as usize])])
}

/// Entries by stream.
type Push = Vec<(u64, Vec<(i64, String)>)>;

/// What happens to a node, and what it is asked.
struct Run {
    random: SeededRandom,
    /// The few questions that are asked again and again, without their times.
    panels: Vec<(String, Option<u64>)>,
    world: World,
    /// Seconds after [`BASE`] of the newest entries.
    now: i64,
    /// All pushes, to be sent again.
    sent: Vec<Push>,
    merged: u64,
    found: u64,
    asked: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.config.ingester.generation.target_size = ByteSize(3000);
        world.config.ingester.wal.segment_size = ByteSize(1500);
        let random = SeededRandom::new(seed);
        world.limits.retention_period = Duration::from_secs(86_400);
        world.clock.advance(Duration::from_secs(86_400));
        let selector = one_of(&random, &[ALL, ALL, r#"{app="a"}"#, r#"{app=~"a|c"}"#]);
        let panel = |i: u64| {
            let query = QUERIES[((seed * PANELS + i) % QUERIES.len() as u64) as usize].replace("$L", selector);
            (query, one_of(&random, &[Some(15), Some(60), Some(60), Some(90), None]))
        };
        let panels = (0..PANELS).map(panel).collect();
        Run { random, panels, world, now: 0, sent: Vec::new(), merged: 0, found: 0, asked: 0 }
    }

    fn push(&mut self, node: &Node) {
        let again = self.random.below(6) == 0 && !self.sent.is_empty();
        let push: Push = if again {
            let age = self.random.below(12.min(self.sent.len() as u64)) as usize;
            self.sent[self.sent.len() - 1 - age].clone()
        } else {
            self.now += self.random.below(40) as i64;
            let late = one_of(&self.random, &[0, 0, 5, 60, 900]);
            let entry = |i: i64| {
                let at = (self.now - self.random.below(late + 1) as i64) * SECOND + one_of(&self.random, &[0, 0, i, 500_000_000]);
                let value = match self.random.below(200) {
                    0 => "oops".to_owned(),
                    value => format!("{}", value as f64 / 8.0),
                };
                let line = format!("v={value} k={} {}", self.random.below(3), "x".repeat(self.random.below(30) as usize));
                (BASE + at, if self.random.below(20) == 0 { format!(r#"{{"k":"{}"}}"#, self.random.below(3)) } else { line })
            };
            let entries = |_| (self.random.below(3), (0..1 + self.random.below(6) as i64).map(entry).collect());
            (0..1 + self.random.below(3)).map(entries).collect()
        };
        for (app, entries) in &push {
            let borrowed: Vec<(i64, &str)> = entries.iter().map(|(at, line)| (*at, line.as_str())).collect();
            // Too late is refused, which is as good as never sent.
            let _ = node.push("t", &stream(*app), &borrowed);
        }
        self.sent.push(push);
    }

    /// Replaces the objects of a day by one of another name, as compaction does.
    fn merge_day(&mut self, node: &Node) {
        node.flush();
        let owner = tenant("t");
        let days = node.catalog.days(&owner);
        let Some((day, _)) = days.get(self.random.below(days.len() as u64) as usize).copied() else { return };
        let Ok(Answer { data: AnswerData::Entries(entries), .. }) = node.query("t", ALL) else { panic!("entries") };
        self.merged += 1;
        let at = GenerationPart { generation: Generation(1_000_000 + self.merged), part: 0 };
        let disk = DiskId(7);
        let info = ObjectInfo {
            tenant: owner.clone(),
            day,
            class: "default".to_owned(),
            disk,
            generation: at.generation,
            part: at.part,
            replaces: Vec::new(),
        };
        let mut writer = ObjectWriter::new(info, WriterOptions::default()).expect("valid");
        for stream in entries.streams() {
            let of_day = stream.entries.iter().filter(|entry| Day::of(entry.timestamp) == day);
            let of_day: Vec<(i64, String)> =
                of_day.map(|entry| (entry.timestamp.0, String::from_utf8_lossy(&entry.line).into_owned())).collect();
            let borrowed: Vec<(i64, &str)> = of_day.iter().map(|(at, line)| (*at, line.as_str())).collect();
            let pairs: Vec<(&str, &str)> = stream.labels.iter().collect();
            if !borrowed.is_empty() {
                writer.add_stream(&labels(&pairs), &rows(&borrowed)).expect("in order");
            }
        }
        let name = ObjectName::incoming(TableId { tenant: owner.clone(), day }, disk, at, "default");
        node.spawner.run(node.catalog.remove_day(&owner, day, &node.publisher())).expect("removed");
        node.spawner.run(node.catalog.sweep()).expect("swept");
        node.spawner.run(node.catalog.publish(name, writer.finish().expect("has rows"))).expect("published");
    }

    /// A panel of a dashboard at some time. Windows of one instant may be any: they have their states in common.
    fn question(&self) -> QueryRequest {
        let (query, step) = &self.panels[self.random.below(PANELS) as usize];
        let windows = ["[60s]", "[5m]", "[60s] offset 30s", "[5m] offset 4m", "[60s] offset -1m", "[7s]", "[1h]", "[20m]"];
        let windows = if step.is_some() { &windows[..5] } else { &windows };
        let end = BASE / SECOND + self.now - one_of(&self.random, &[0, 0, 0, 13, 120, 700]);
        let start = end - one_of(&self.random, &[0, 60, 600, 1800, 7200]);
        QueryRequest {
            text: query.replace("$W", one_of(&self.random, windows)),
            start: Timestamp::from_secs(if step.is_some() { start } else { end }),
            end: Timestamp::from_secs(end),
            step: step.map(Duration::from_secs),
            interval: Duration::ZERO,
            limit: 100,
            forward: true,
        }
    }

    fn ask(&mut self, node: &Node) {
        let request = self.question();
        // A caller is of one request.
        let caller = || node.querier.caller(vec![tenant("t")], QueryTags::default());
        let want = node.spawner.run(node.querier.query(&caller().without_cache(), request.clone()));
        for time in ["first", "second"] {
            let got = node.spawner.run(node.querier.query(&caller(), request.clone()));
            assert_same(&got, &want, &format!("{time} time: {request:?}"));
            if let Ok(answer) = got {
                self.asked += answer.stats.cache.requested;
                self.found += answer.stats.cache.found;
            }
        }
        assert_eq!(want.map_or(0, |answer| answer.stats.cache.requests), 0, "without the cache it is not asked");
    }
}

type Found = Vec<(String, i64, f64)>;

fn values(result: &MetricResult) -> Found {
    match result {
        MetricResult::Scalar { at, value } => vec![(String::new(), at.0, *value)],
        MetricResult::Vector(samples) => samples.iter().map(|sample| (sample.labels.to_string(), sample.at.0, sample.value)).collect(),
        MetricResult::Matrix(series) => {
            let points = |series: &skald_logql::exec::Series| {
                let labels = series.labels.to_string();
                series.points.iter().map(|(at, value)| (labels.clone(), at.0, *value)).collect::<Found>()
            };
            series.iter().flat_map(points).collect()
        }
    }
}

#[track_caller]
fn assert_same(got: &Result<Answer, QueryError>, want: &Result<Answer, QueryError>, what: &str) {
    let (got, want) = match (got, want) {
        (Ok(got), Ok(want)) => (got, want),
        (Err(got), Err(want)) => return assert_eq!(got.to_string(), want.to_string(), "{what}"),
        (got, want) => panic!("{what}: {:?} {:?}", got.as_ref().err(), want.as_ref().err()),
    };
    assert_eq!(got.warnings, want.warnings, "{what}");
    let (AnswerData::Metric(got), AnswerData::Metric(want)) = (&got.data, &want.data) else { panic!("{what}: no numbers") };
    let (got, want) = (values(got), values(want));
    let near = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
    let same = got.len() == want.len() && got.iter().zip(&want).all(|(a, b)| (&a.0, a.1) == (&b.0, b.1) && near(a.2, b.2));
    assert!(same, "{what}:\n  got {got:?}\n want {want:?}");
}

#[test]
fn no_answer_differs_with_the_cache() {
    let (mut found, mut asked) = (0, 0);
    for seed in 0..seeds(8) {
        let mut run = Run::new(seed);
        let mut node = run.world.start().expect("a new disk starts");
        for _ in 0..150 {
            match run.random.below(40) {
                0..18 => run.push(&node),
                18..20 => node.flush(),
                20 => run.merge_day(&node),
                21 if run.random.below(3) == 0 => {
                    drop(node);
                    run.world.disk.kill();
                    node = run.world.start().expect("it starts again");
                }
                22 if run.random.below(8) == 0 => {
                    run.world.clock.advance(Duration::from_secs(86_400));
                    node.spawner.run(node.compactor(&run.world).apply_retention());
                }
                23 if run.random.below(4) == 0 => node.querier.deletes_changed(&tenant("t")),
                _ => run.ask(&node),
            }
        }
        found += run.found;
        asked += run.asked;
    }
    assert!(found * 3 > asked, "the cache is used: {found} of {asked}");
}

#[test]
fn what_cannot_be_read_is_not_kept_and_what_was_kept_goes_with_its_day() {
    let mut world = World::new(5);
    world.limits.retention_period = Duration::from_secs(86_400);
    let node = world.start().expect("starts");
    let random = SeededRandom::new(5);
    let noise = || (0..1000).map(|_| char::from(b'!' + (random.below(90) as u8))).collect::<String>();
    for app in 0..3 {
        let lines: Vec<String> = (0..1200).map(|i| format!("line {i} {}", noise())).collect();
        let entries: Vec<(i64, &str)> = lines.iter().enumerate().map(|(i, line)| (BASE + i as i64, line.as_str())).collect();
        node.push("t", &stream(app), &entries).expect("acknowledged");
    }
    node.flush();
    let object = node.spawner.run(node.catalog.objects(&tenant("t"), skald_model::TimeRange::ALL)).remove(0);
    let path = std::path::Path::new(skald_sim::DATA_DIR).join("objects").join(&object.path);
    let count = |want_warnings: usize, want_found: u64, want_stored: u64| {
        let answer = node.query("t", r#"sum(count_over_time({app=~".+"} |= "line" [1000000h]))"#).expect("answered");
        let cache = answer.stats.cache;
        assert_eq!((answer.warnings.len(), cache.found, cache.stored), (want_warnings, want_found, want_stored), "{:?}", answer.warnings);
        let AnswerData::Metric(result) = answer.data else { panic!("numbers") };
        values(&result)[0].2
    };
    world.disk.flip_bit(&path, 300_000, 3);
    assert!(count(1, 0, 0) < 3600.0);
    assert!(count(1, 0, 0) < 3600.0);
    world.disk.flip_bit(&path, 300_000, 3);
    assert_eq!(count(0, 0, 1), 3600.0);
    assert_eq!(count(0, 1, 0), 3600.0);
    world.disk.flip_bit(&path, 300_000, 3);
    assert_eq!(count(0, 1, 0), 3600.0, "what was counted of an object stays true");
    node.querier.deletes_changed(&tenant("t"));
    assert!(count(1, 0, 0) < 3600.0, "after a delete nothing of before is found");
    world.clock.advance(Duration::from_secs(10 * 86_400));
    node.spawner.run(node.compactor(&world).apply_retention());
    node.push("t", &stream(0), &[(BASE + 20 * 86_400 * SECOND, "line new")]).expect("acknowledged");
    node.flush();
    assert_eq!(count(0, 0, 1), 1.0);
}
