//! Promises of whole pipelines, over random stages and lines.

use crate::stages::testing::{Bench, START, check, entry};
use crate::{Entry, Inspected, Inspector, Mark, Pipeline};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stages that take the line out of another, and drop none. They come first: of lines that were joined or packed they would cut the beginning.
const READING: &[&str] = &[
    "cri:",
    "cri: {max_partial_lines: 1}",
    "docker:",
    "match: {selector: '{s=\"1\"} |= \"x\"', stages: [{cri: }, {multiline: {firstline: 'a'}}]}",
];

/// Other stages that hold entries back, or change all but the numbers in their lines.
const KEEPING: &[&str] = &[
    "multiline: {firstline: '^a', max_lines: 3}",
    "multiline: {firstline: 'e ', max_wait_time: 5s}",
    "match: {selector: '{stream=\"stdout\"}', stages: [{match: {selector: '{}', stages: [{multiline: {firstline: 'b'}}]}}, {static_labels: {s: 2}}]}",
    "labels: {stream:, other: s}",
    "labeldrop: [s]",
    "structured_metadata: {s:}",
    "pack: {labels: [stream]}",
    "limit: {rate: 1, burst: 1}",
    "decolorize:",
    "tenant: {source: s}",
];

/// Stages that may drop.
const DROPPING: &[&str] = &[
    "drop: {expression: 'b+'}",
    "drop: {source: s}",
    "sampling: {rate: 0.5}",
    "limit: {rate: 1, burst: 2, drop: true}",
    "limit: {rate: 1, burst: 2, drop: true, by_label_name: s}",
    "match: {selector: '{s=\"1\"}', action: drop}",
    "match: {selector: '{} |= \"x\"', stages: [{sampling: {rate: 0.5}}]}",
    "labels: {other: s}",
];

/// What happens to a source: a line, or time that goes by and perhaps is noticed.
#[derive(Debug, Clone)]
enum Step {
    Line(String),
    Wait { seconds: u64, tick: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let line = ("(\\{s=[12]\\} )?", 0..6_u8, "[ab x]{0,6}").prop_map(|(labels, form, text)| {
        let log = match form {
            0 => format!("2024-05-06T07:08:09Z stdout F {text}#"),
            1 => format!("2024-05-06T07:08:09Z stdout P {text}#"),
            2 => format!("2024-05-06T07:08:09Z stderr P:x {text}#"),
            3 => format!(r#"{{"log":"{text}#\n","stream":"stdout"}}"#),
            4 => format!(r#"{{"log":"{text}#{}","stream":"stdout"}}"#, "y".repeat(16 << 10)),
            _ => format!("{text}#"),
        };
        Step::Line(labels + &log)
    });
    let wait = (0..10_u64, any::<bool>()).prop_map(|(seconds, tick)| Step::Wait { seconds, tick });
    prop_oneof![5 => line, 1 => wait]
}

/// Up to two of the first stages and three of the second.
fn pipeline(first: &'static [&'static str], second: &'static [&'static str]) -> impl Strategy<Value = String> {
    let stages = |of: &'static [&'static str], most| proptest::collection::vec(proptest::sample::select(of), 0..=most);
    (stages(first, 2), stages(second, 3)).prop_map(|(first, second)| {
        let stages: Vec<String> = first.iter().chain(&second).map(|stage| format!("{{{stage}}}")).collect();
        format!("[{}]", stages.join(", "))
    })
}

/// Numbers of the lines that are in these entries. Each line has its number between `#` and `;`.
fn numbers(entries: &[Entry]) -> Vec<u64> {
    let number = |part: &str| part.split_once(';').expect("a number ends").0.parse().expect("it is a number");
    entries.iter().flat_map(|entry| entry.line.split('#').skip(1).map(number)).collect()
}

proptest! {
    #![proptest_config(skald_testkit::property(300))]

    #[test]
    fn every_line_comes_out_once_and_marks_say_from_where_on_not_yet(yaml in pipeline(READING, KEEPING), steps in proptest::collection::vec(step(), 0..40)) {
        let mut bench = Bench::new(&yaml);
        let (mut pushed, mut inside) = (0_u64, BTreeSet::new());
        for step in steps {
            let out = match step {
                Step::Line(text) => {
                    inside.insert(pushed);
                    pushed += 1;
                    bench.push(&text.replacen('#', &format!("#{};", pushed - 1), 1))
                }
                Step::Wait { seconds, tick } => {
                    bench.advance(Duration::from_secs(seconds));
                    if tick { bench.tick() } else { Vec::new() }
                }
            };
            for number in numbers(&out) {
                prop_assert!(inside.remove(&number), "line {number} came twice");
            }
            prop_assert_eq!(bench.instance.oldest_held().map(|mark| mark.0), inside.first().copied());
            if bench.instance.next_deadline().is_some() {
                prop_assert!(!inside.is_empty());
            }
        }
        for number in numbers(&bench.flush()) {
            prop_assert!(inside.remove(&number), "line {number} came twice");
        }
        prop_assert!(inside.is_empty(), "not out: {inside:?}");
        prop_assert_eq!(bench.instance.oldest_held(), None);
        prop_assert_eq!(bench.dropped(), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_come_out_is_counted(yaml in pipeline(DROPPING, DROPPING), steps in proptest::collection::vec(step(), 0..40)) {
        let mut bench = Bench::new(&yaml);
        let (mut pushed, mut out) = (0, 0);
        for step in steps {
            match step {
                Step::Line(text) => {
                    pushed += 1;
                    out += bench.push(&text).len() as u64;
                }
                Step::Wait { seconds, .. } => bench.advance(Duration::from_secs(seconds)),
            }
        }
        let dropped: u64 = bench.context.counters.reasons().iter().map(|(_, lines)| lines).sum();
        prop_assert_eq!(out + dropped, pushed);
    }

    #[test]
    fn deadlines_that_are_kept_leave_nothing_waiting(steps in proptest::collection::vec(step(), 0..40)) {
        let mut bench = Bench::new("- multiline: {firstline: '^a', max_wait_time: 2s}\n- match: {selector: '{s=\"1\"}', stages: [{multiline: {firstline: x}}]}");
        for step in steps {
            if let Step::Line(text) = step {
                bench.push(&text);
            }
        }
        for _ in 0..3 {
            if let Some(deadline) = bench.instance.next_deadline() {
                bench.advance(deadline - bench.now.monotonic);
                bench.tick();
            }
        }
        prop_assert_eq!(bench.instance.next_deadline(), None);
        prop_assert_eq!(bench.instance.oldest_held(), None);
    }
}

#[test]
fn without_stages_entries_pass() {
    check("[]", &["{a=1} x", ""], &[r#"{a="1"} x"#, "{} "]);
}

#[test]
fn what_is_released_passes_the_stages_behind() {
    let yaml = "- multiline: {firstline: ^a}\n- multiline: {firstline: ^ab}\n- static_labels: {l: 1}";
    check(yaml, &["ab", "1", "a", "2", "ab"], &["{l=\"1\"} ab\n1\na\n2", "{l=\"1\"} ab"]);
}

#[test]
fn a_line_that_was_held_before_begins_what_it_is_joined_to() {
    let mut bench = Bench::new("[{cri: {max_partial_lines: 1}}, {labeldrop: [s, stream]}, {multiline: {firstline: ^a}}]");
    bench.push("2024-05-06T07:08:09Z stdout P late");
    bench.push("{s=1} 2024-05-06T07:08:09Z stdout F a");
    bench.push("2024-05-06T07:08:09Z stderr P x");
    assert_eq!(bench.instance.oldest_held(), Some(Mark(0)));
    assert_eq!(bench.flush()[0].line, "a\nlate\nx");
}

#[test]
fn the_first_deadline_counts() {
    let mut bench = Bench::new(
        "- multiline: {firstline: ^a, max_wait_time: 9s}\n- match: {selector: '{}', stages: [{multiline: {firstline: ^a, max_wait_time: 1s}}]}",
    );
    bench.push("a");
    assert_eq!(bench.instance.next_deadline(), Some(bench.now.monotonic + Duration::from_secs(9)));
    bench.push("a");
    assert_eq!(bench.instance.next_deadline(), Some(bench.now.monotonic + Duration::from_secs(1)));
}

#[test]
fn instances_share_nothing_that_is_held() {
    let mut bench = Bench::new("- multiline: {firstline: ^a}");
    bench.push("a");
    let mut other = bench.pipeline.clone().instance();
    let mut out = Vec::new();
    other.process(entry(" b", bench.now), Mark(0), bench.now, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(other.oldest_held(), None);
}

#[test]
fn the_longest_pause_is_asked_for() {
    let mut bench = Bench::new("- limit: {rate: 1, burst: 1}\n- limit: {rate: 4, burst: 1}\n- limit: {rate: 2, burst: 1}");
    bench.push("x");
    assert_eq!(bench.pause, Duration::ZERO);
    bench.push("x");
    assert_eq!(bench.pause, Duration::from_secs(1));
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Inspector for Seen {
    fn inspect(&self, job: &str, name: &str, before: &Inspected, after: &[Inspected]) {
        let lines: Vec<&str> = after.iter().map(|after| after.entry.line.as_str()).collect();
        let text = format!("{job}/{name}: {:?} -> {lines:?}, {:?}", before.entry.line, after.last().map(|after| &after.extracted));
        self.0.lock().expect("no test fails while it holds the lock").push(text);
    }
}

#[test]
fn an_inspector_sees_each_stage() {
    let bench = Bench::new("[]");
    let seen = Arc::new(Seen::default());
    let mut context = bench.context.clone();
    context.inspector = Some(Arc::clone(&seen) as Arc<dyn Inspector>);
    let yaml = "- match: {selector: '{}', stages: [{multiline: {firstline: ^a}}]}\n- labeldrop: [s]\n- drop: {expression: gone}";
    let mut instance = Pipeline::new(&crate::stages::testing::stages(yaml), &context).expect("the stages are good").instance();
    let mut out = Vec::new();
    for line in ["{s=1} a gone", "{s=1} a"] {
        instance.process(entry(line, bench.now), Mark(0), bench.now, &mut out);
    }
    let seen = seen.0.lock().expect("no test fails while it holds the lock");
    let extracted = r#"Some([("s", "1")])"#;
    assert_eq!(
        *seen,
        [
            r#"job/multiline: "a gone" -> [], None"#.to_owned(),
            r#"job/match: "a gone" -> [], None"#.to_owned(),
            format!(r#"job/multiline: "a" -> ["a gone"], {extracted}"#),
            format!(r#"job/match: "a" -> ["a gone"], {extracted}"#),
            format!(r#"job/labeldrop: "a gone" -> ["a gone"], {extracted}"#),
            r#"job/drop: "a gone" -> [], None"#.to_owned(),
        ]
    );
    assert!(out.is_empty());
    assert_eq!(bench.now.wall.0, START);
}
