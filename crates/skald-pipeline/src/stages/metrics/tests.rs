use crate::stages::testing::{Bench, chain, refused, stages};
use crate::{CustomMetrics, Pipeline, Sample};
use std::time::Duration;

/// All metrics, a line each series: `name{labels} value`, of histograms `le:count … sum`.
fn shown(bench: &Bench) -> Vec<String> {
    let mut lines = Vec::new();
    for family in bench.context.metrics.snapshot(bench.now) {
        for (labels, sample) in &family.series {
            let value = match sample {
                Sample::Value(value) => value.to_string(),
                Sample::Histogram { buckets, sum } => {
                    let buckets: Vec<_> = buckets.iter().map(|(bound, count)| format!("{bound}:{count}")).collect();
                    format!("{} sum {sum}", buckets.join(" "))
                }
            };
            lines.push(format!("{}{labels} {value}", family.name));
        }
    }
    lines
}

/// What one metric `m` over `m=` of logfmt lines shows.
#[track_caller]
fn check(options: &str, lines: &[&str], want: &[&str]) {
    let mut bench = Bench::new(&format!("[{{logfmt: {{mapping: {{m: }}}}}}, {{metrics: {{m: {options}}}}}]"));
    for line in lines {
        assert_eq!(bench.push(line).len(), 1);
    }
    assert_eq!(shown(&bench), want, "{options}");
}

#[test]
fn counters_count_entries_values_and_bytes() {
    let lines = ["{app=a} m=2", "{app=b} m=x", "{app=a} m=0.5s", "{app=a} none", "{app=b} m=-1"];
    check("{type: Counter, config: {action: inc}}", &lines, &[r#"promtail_custom_m{app="a"} 2"#, r#"promtail_custom_m{app="b"} 2"#]);
    check("{type: counter, prefix: my_, config: {action: add}}", &lines, &[r#"my_m{app="a"} 2.5"#]);
    check("{type: counter, config: {action: inc, value: x}}", &lines, &[r#"promtail_custom_m{app="b"} 1"#]);
    check(
        "{type: counter, config: {action: inc, match_all: true}}",
        &lines,
        &[r#"promtail_custom_m{app="a"} 3"#, r#"promtail_custom_m{app="b"} 2"#],
    );
    check("{type: counter, config: {action: add, match_all: true, count_entry_bytes: true}}", &["m=2", "é"], &["promtail_custom_m{} 5"]);
    check("{type: counter, source: app, config: {action: inc}}", &["{app=a} x", "x"], &[r#"promtail_custom_m{app="a"} 1"#]);
}

#[test]
fn gauges_rise_and_fall() {
    let gauge = |action: &str| format!("{{type: Gauge, config: {{action: {action}}}}}");
    let lines = ["m=2", "m=3.5", "m=1m", "m=true"];
    check(&gauge("set"), &lines, &["promtail_custom_m{} 60"]);
    check(&gauge("add"), &lines, &["promtail_custom_m{} 65.5"]);
    check(&gauge("sub"), &lines, &["promtail_custom_m{} -65.5"]);
    check(&gauge("Inc"), &lines, &["promtail_custom_m{} 4"]);
    check(&gauge("dec"), &lines, &["promtail_custom_m{} -4"]);
    check("{type: gauge, config: {action: set, value: 5}}", &["m=4", "m=5", "m=6"], &["promtail_custom_m{} 5"]);
}

#[test]
fn histograms_count_below_their_bounds() {
    let lines = ["m=1", "m=1.5", "m=2", "m=9", "m=x"];
    check("{type: Histogram, config: {buckets: [1, 2, 4]}}", &lines, &["promtail_custom_m{} 1:1 2:3 4:3 inf:4 sum 13.5"]);
    check(
        "{type: histogram}",
        &["m=7ms", "m=20"],
        &["promtail_custom_m{} 0.005:0 0.01:1 0.025:1 0.05:1 0.1:1 0.25:1 0.5:1 1:1 2.5:1 5:1 10:1 inf:2 sum 20.007"],
    );
    check("{type: histogram, config: {value: 9, buckets: [1, .inf]}}", &lines, &["promtail_custom_m{} 1:0 inf:1 sum 9"]);
}

#[test]
fn numbers_and_truth_values_of_json_count() {
    let mut bench = Bench::new("[{json: {expressions: {m: }}}, {metrics: {m: {type: gauge, config: {action: add}}}}]");
    for line in [r#"{"m":1.5}"#, r#"{"m":true}"#, r#"{"m":null}"#, r#"{"m":[1]}"#, r#"{"m":"NaN"}"#, "{}"] {
        bench.push(line);
    }
    assert_eq!(shown(&bench), ["promtail_custom_m{} 2.5"]);
}

#[test]
fn series_have_the_labels_of_the_moment_without_internal_ones() {
    let mut bench = Bench::new("[{metrics: {m: {type: counter, config: {action: inc, match_all: true}}}}]");
    bench.push("{__tenant_id__=t, app=a} x");
    bench.push("{app=a} x");
    assert_eq!(shown(&bench), [r#"promtail_custom_m{app="a"} 2"#]);
}

#[test]
fn idle_series_disappear_and_begin_anew() {
    let mut bench = Bench::new("[{metrics: {m: {type: counter, max_idle_duration: 10s, config: {action: inc, match_all: true}}}}]");
    bench.push("{app=a} x");
    bench.push("{app=a} x");
    bench.advance(Duration::from_secs(6));
    bench.push("{app=b} x");
    bench.advance(Duration::from_secs(4));
    assert_eq!(shown(&bench).len(), 2);
    bench.advance(Duration::from_secs(1));
    bench.push("{app=a} x");
    assert_eq!(shown(&bench), [r#"promtail_custom_m{app="a"} 1"#, r#"promtail_custom_m{app="b"} 1"#]);
    bench.advance(Duration::from_secs(10));
    assert_eq!(shown(&bench), [r#"promtail_custom_m{app="a"} 1"#]);
}

#[test]
fn series_are_bounded() {
    let mut bench = Bench::new("[{metrics: {m: {type: counter, config: {action: inc, match_all: true}}}}]");
    for at in 0..CustomMetrics::SERIES_MAX + 5 {
        bench.push(&format!("{{n={at}}} x"));
    }
    bench.push("{n=1} x");
    assert_eq!((shown(&bench).len(), bench.context.metrics.refused()), (CustomMetrics::SERIES_MAX, 5));
    bench.advance(Duration::from_secs(301));
    bench.push("{n=new} x");
    assert_eq!((shown(&bench), bench.context.metrics.refused()), (vec![r#"promtail_custom_m{n="new"} 1"#.to_owned()], 5));
}

#[test]
fn pipelines_share_a_metric_and_it_ends_with_the_last() {
    let counter = "[{metrics: {m: {type: counter, description: lines, config: {action: inc, match_all: true}}}}]";
    let gauge = "[{metrics: {m: {type: gauge, config: {action: inc}}}}]";
    let mut bench = Bench::new(counter);
    let second = Pipeline::new(&stages(counter), &bench.context).expect("agrees");
    bench.push("x");
    let conflict = Pipeline::new(&stages(gauge), &bench.context).err().expect("does not agree");
    assert!(chain(&conflict).ends_with("option type: metric m: another pipeline has a counter of this name"));
    let Bench { context, now, pipeline, instance, .. } = bench;
    drop((pipeline, instance));
    assert_eq!(context.metrics.snapshot(now)[0].help, "lines");
    drop(second);
    assert_eq!(context.metrics.snapshot(now), []);
    assert!(Pipeline::new(&stages(gauge), &context).is_ok());
}

#[test]
fn wrong_options_are_refused() {
    for (options, want) in [
        ("{}", "option type: metric m: is required"),
        ("{type: summary}", "\"summary\" is neither counter, gauge nor histogram"),
        ("{type: counter}", "option config: metric m: action \"\" is neither inc nor add"),
        ("{type: counter, config: {action: dec}}", "action \"dec\" is neither"),
        ("{type: counter, config: {action: inc, match_all: true, value: x}}", "match_all and value exclude each other"),
        ("{type: counter, config: {action: inc, match_all: true, count_entry_bytes: true}}", "count_entry_bytes needs match_all"),
        ("{type: counter, config: {action: add, count_entry_bytes: true}}", "count_entry_bytes needs match_all"),
        ("{type: gauge, config: {action: mul}}", "action \"mul\" is neither set"),
        ("{type: histogram, config: {buckets: [2, 1]}}", "option buckets: metric m: do not ascend"),
        ("{type: counter, max_idle_duration: 5ms, config: {action: inc}}", "5ms is less than a second"),
        ("{type: counter, max_idle_duration: soon, config: {action: inc}}", "time: invalid duration"),
        ("{type: counter, prefix: 'a b', config: {action: inc}}", "\"a bm\" is no name of a metric"),
    ] {
        refused(&format!("- metrics: {{m: {options}}}"), want);
    }
}
