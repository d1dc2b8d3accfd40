use super::testing::{chain, check, context, refused, stages};
use crate::Pipeline;

#[test]
fn a_stage_is_one_name_with_its_options() {
    let names: Vec<_> = stages("- decolorize:\n- output: {source: a}\n- decolorize: {}").iter().map(|stage| stage.name()).collect();
    assert_eq!(names, ["decolorize", "output", "decolorize"]);
    refused("- colour: {}", "unknown stage type: \"colour\"");
    refused("- output: {source: a}\n  decolorize:", "two names, \"output\" and \"decolorize\"");
    refused("- {}", "a stage has no name");
    refused("- output", "expected mapping start");
    refused("- output: [a]", "line 1");
}

/// A pipeline of every stage with many of its options.
const ALL: &str = r#"
- cri: {max_partial_lines: 7, max_partial_line_size: 1kb, max_partial_line_size_truncate: true}
- decolorize:
- docker: {}
- drop: {source: [a, b], separator: '-', value: 1-2, older_than: 1h, longer_than: 8kb, drop_counter_reason: why}
- drop: {source: a, expression: x+}
- eventlogmessage: {source: msg, drop_invalid_labels: true, overwrite_existing: true}
- json: {expressions: {a:, b: c.d}, source: msg, drop_malformed: true}
- labelallow: [a, b]
- labeldrop: [c]
- labels: {a:, b: c}
- limit: {rate: 10.5, burst: 20, drop: true, by_label_name: app, max_distinct_labels: 5}
- logfmt: {mapping: {a:, b: c}, source: msg}
- match: {selector: '{a="b"} |= "c"', pipeline_name: p, stages: [{output: {source: a}}, {match: {selector: '{}', action: drop}}]}
- metrics: {lines: {type: Counter, description: text, source: a, max_idle_duration: 1h, config: {action: inc, match_all: true}}}
- multiline: {firstline: ^a, max_wait_time: 5s, max_lines: 10}
- output: {source: a}
- pack: {labels: [a], ingest_timestamp: false}
- regex: {expression: '(?P<a>.)', source: msg}
- replace: {expression: (a), replace: b, source: msg}
- sampling: {rate: 0.5, drop_counter_reason: why}
- static_labels: {a: b, c:, d: 1}
- non_indexed_labels: {a:, b: c}
- template: {source: a, template: '{{ .Value }}'}
- tenant: {value: t}
- timestamp: {source: a, format: RFC3339, fallback_formats: [Unix], location: UTC, action_on_failure: skip}
"#;

#[test]
fn a_stage_is_written_as_it_is_read() {
    let read = stages(ALL);
    let written = serde_saphyr::to_string(&read).expect("stages can be written");
    assert_eq!(stages(&written), read, "{written}");
    Pipeline::new(&read, &context()).unwrap_or_else(|err| panic!("{}", chain(&err)));
}

#[test]
fn options_that_are_not_known_are_ignored_and_those_without_a_value_have_their_defaults() {
    check(
        "- output: {source: a, colour: red}\n- multiline: {firstline: ^1, max_lines: , max_wait_time: , shape: round}",
        &["{a=1} x"],
        &[r#"{a="1"} 1"#],
    );
    refused("- output: {source: }", "stage 1 (output): option source is required");
}
