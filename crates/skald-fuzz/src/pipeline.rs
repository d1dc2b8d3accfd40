//! Lines from outside on their way through an agent's stages, and the stages as operators write them.

use crate::Target;
use skald_model::Timestamp;
use skald_pipeline::{Counters, CustomMetrics, Entry, LabelSet, Mark, Now, Pipeline, PipelineContext, StageConfig};
use skald_testkit::SeededRandom;
use std::sync::Arc;
use std::time::Duration;

/// Stages of a pipeline that is run.
const STAGES_MAX: usize = 20;
/// 2024-05-06T07:08:09Z.
const START: i64 = 1_714_979_289_000_000_000;

pub(crate) const STAGES: Target = Target {
    name: "stages",
    about: "a count, as many numbers of stages, and lines; as many entries come out as went in, less those that were joined or dropped for a reason, and the same every time",
    seeds: || {
        let pipelines: [&[u8]; 7] =
            [&[0, 2, 8], &[1, 3, 9], &[4, 10, 11, 12], &[5, 6, 7], &[13, 14, 15, 16], &[17, 18, 19], &[20, 21, 22, 23]];
        let text = LINES.join("\n");
        pipelines.map(|stages| [&[stages.len() as u8], stages, text.as_bytes()].concat()).into()
    },
    tokens: WORDS,
    run: |bytes| {
        let Some((count, rest)) = bytes.split_first() else { return };
        let (numbers, text) = rest.split_at(rest.len().min(usize::from(*count % 6)));
        let stages: Vec<_> = numbers.iter().map(|number| STAGE_TEXTS[usize::from(*number) % STAGE_TEXTS.len()]).collect();
        let yaml = format!("[{}]", stages.join(", "));
        let stages: Vec<StageConfig> = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        let lines = String::from_utf8_lossy(text);
        let out = run(&stages, &lines).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        assert_eq!(run(&stages, &lines), Ok(out), "{yaml}");
    },
};

pub(crate) const YAML: Target = Target {
    name: "pipeline",
    about: "stages as operators write them; those that compile take the same lines, and are written and read to the same",
    seeds: || STAGE_TEXTS.windows(2).map(|pair| format!("- {}\n- {}\n", pair[0], pair[1]).into_bytes()).collect(),
    tokens: &[
        ":",
        "- ",
        "\n",
        "  ",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        "null",
        "~",
        "true",
        "-1",
        "1e999",
        "source: app",
        "json:",
        "regex:",
        "(?P<a>",
        "{{",
        "}}",
        ".Value",
        "| ",
        "2006",
        "Jan",
        "Unix",
        "match:",
        "stages:",
        "selector: '{a=\"b\"}'",
        "|= \"x\"",
        "labels:",
        "8kb",
        "24h",
        "a.b",
        "[0]",
        "*",
    ],
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(stages) = serde_saphyr::from_str::<Vec<StageConfig>>(text) else { return };
        let printed = serde_saphyr::to_string(&stages).expect("what was read is written");
        let again = serde_saphyr::from_str::<Vec<StageConfig>>(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"));
        assert_eq!(again, stages, "{printed}");
        // Each stage may make lines longer, so the work grows with the square of their number.
        if stages.len() <= STAGES_MAX {
            drop(run(&stages, &LINES.join("\n")));
        }
    },
};

pub(crate) const CONTAINER: Target = Target {
    name: "container",
    about: "a choice of cri or docker, and lines of that runtime; what comes out is made of what went in, in order",
    seeds: || {
        let cri = CRI.join("\n");
        let docker = DOCKER.join("\n");
        vec![[&[0], cri.as_bytes()].concat(), [&[1], docker.as_bytes()].concat()]
    },
    tokens: &[
        "\n",
        " ",
        "2024-05-06T07:08:09.123456789Z",
        "2024-05-06T07:08:09+02:00",
        "stdout",
        "stderr",
        " P ",
        " F ",
        " P:x ",
        "F",
        "P",
        "{\"log\":\"",
        "\\n\"",
        ",\"stream\":\"stdout\"",
        ",\"time\":\"2024-05-06T07:08:09Z\"}",
        "{",
        "}",
        "\\u00e9",
        "\\ud800",
        "null",
        "\u{e9}",
        "\r",
    ],
    run: |bytes| {
        let Some((choice, text)) = bytes.split_first() else { return };
        let docker = choice % 2 == 1;
        let yaml = if docker { "[{docker: {}}]" } else { "[{cri: {max_partial_lines: 2}}]" };
        let stages: Vec<StageConfig> = serde_saphyr::from_str(yaml).expect("is a pipeline");
        let lines = String::from_utf8_lossy(text);
        let out = run(&stages, &lines).expect("it compiles");
        let len = |entries: &[Entry]| entries.iter().map(|entry| entry.line.len()).sum::<usize>();
        assert!(len(&out) <= lines.len(), "more came out than went in");
        if !docker {
            assert!(out.iter().all(|entry| entry.line.is_empty() || lines.contains(entry.line.chars().last().expect("is not empty"))));
        }
    },
};

/// Runs a pipeline on the lines of a text, as those of two label sets in turn. The error says why it does not compile.
fn run(stages: &[StageConfig], text: &str) -> Result<Vec<Entry>, String> {
    let context = PipelineContext {
        job: "fuzz".into(),
        counters: Arc::new(Counters::default()),
        metrics: Arc::new(CustomMetrics::default()),
        random: Arc::new(SeededRandom::new(1)),
        inspector: None,
    };
    let mut instance = Pipeline::new(stages, &context).map_err(|error| error.to_string())?.instance();
    let labels = ["a", "b"].map(|app| [("app", app), ("filename", "/var/log/x.log")].into_iter().collect::<LabelSet>());
    let (mut out, mut lines, mut now) = (Vec::new(), 0, Now { wall: Timestamp(START), monotonic: Duration::ZERO });
    for line in text.split('\n') {
        let entry = Entry { labels: labels[lines % 2].clone(), timestamp: now.wall, line: line.to_owned(), metadata: Vec::new() };
        instance.process(entry, Mark(lines as u64), now, &mut out);
        lines += 1;
        now = Now { wall: now.wall.plus(Duration::from_millis(700)), monotonic: now.monotonic + Duration::from_millis(700) };
        if instance.next_deadline().is_some_and(|deadline| deadline <= now.monotonic) {
            instance.tick(now, &mut out);
        }
        assert!(instance.oldest_held().is_none_or(|mark| mark.0 < lines as u64), "it holds a line that did not come yet");
    }
    instance.flush(now, &mut out);
    assert_eq!(instance.oldest_held(), None, "something is held behind a flush");
    let dropped: u64 = context.counters.reasons().iter().map(|(_, lines)| lines).sum();
    assert!(out.len() as u64 + dropped <= lines as u64, "{} of {lines} lines came out, {dropped} were dropped", out.len());
    assert!(out.is_empty() || !context.metrics.snapshot(now).iter().any(|family| family.name.is_empty()));
    Ok(out)
}

const STAGE_TEXTS: &[&str] = &[
    "{cri: {}}",
    "{docker: {}}",
    "{json: {expressions: {level: , msg: message, id: user.id, time: , tags: }}}",
    "{json: {expressions: {first: 'tags[0]', n: 'length(tags || `[]`)', u: '{a: user.id}'}, drop_malformed: true}}",
    "{logfmt: {mapping: {level: , took: duration, msg: }}}",
    "{regex: {expression: '^(?P<ip>\\S+) \\S+ (?P<user>\\S+)? ?\\[(?P<time>[^\\]]+)\\]'}}",
    "{replace: {expression: '(?:password|token)=(?P<secret>\\S*)', replace: '{{ .Value | Hash \"salt\" | trunc 6 }}'}}",
    "{replace: {expression: '([a-c]+)|(\\d)', replace: '<{{ .Value | ToUpper }}{{ .app }}>'}}",
    "{timestamp: {source: time, format: RFC3339Nano, fallback_formats: [Unix, 'Jan _2 15:04:05', '02/Jan/2006:15:04:05 -0700'], location: Europe/Berlin}}",
    "{timestamp: {source: time, format: '2006-01-02 15:04:05.000 MST', action_on_failure: skip}}",
    "{template: {source: level, template: '{{ if .Value }}{{ ToLower .Value }}{{ else }}{{ .msg | default \"none\" | trunc 9 }}{{ end }}'}}",
    "{template: {source: msg, template: '{{ .Entry | splitList \" \" | uniq | join \",\" }}{{ regexReplaceAll \"[aeiou]+\" .Value \"$0-\" }}'}}",
    "{labels: {level: , user: , took: }}",
    "{metrics: {lines: {type: counter, config: {action: inc, match_all: true}}, took: {type: histogram, config: {buckets: [1, 5]}}, id: {type: gauge, config: {action: set}}}}",
    "{multiline: {firstline: '^\\S', max_wait_time: 2s, max_lines: 3}}",
    "{structured_metadata: {id: , msg: }}",
    "{output: {source: msg}}",
    "{match: {selector: '{app=\"a\"} |= \"e\"', stages: [{drop: {longer_than: 1kb}}, {static_labels: {matched: 'yes'}}]}}",
    "{match: {selector: '{app=~\".+\"} !~ \"x$\"', stages: [{multiline: {firstline: '\\d'}}]}}",
    "{match: {selector: '{level=\"debug\"}', action: drop}}",
    "{drop: {expression: '^\\s*$'}}",
    "{limit: {rate: 1, burst: 2, drop: true}}",
    "{sampling: {rate: 0.5}}",
    "{pack: {labels: [app, level]}}",
    "{tenant: {source: level}}",
    "{decolorize: {}}",
    "{eventlogmessage: {source: msg}}",
    "{labelallow: [app, level]}",
    "{labeldrop: [filename]}",
];

const LINES: &[&str] = &[
    r#"2024-05-06T07:08:09.123456789Z stdout P {"level":"WARN","#,
    r#"2024-05-06T07:08:09.223456789Z stdout F "message":"é","user":{"id":7},"time":1714979289.5,"tags":["a",{"b":[1.0,null]}]}"#,
    r#"{"log":"level=info duration=1.5s msg=\"x \\\"y\\\"\"\n","stream":"stderr","time":"2024-05-06T07:08:09Z"}"#,
    r#"{"log":"half ","stream":"stdout","time":"2024-05-06T07:08:09Z"}"#,
    r#"{"level":"debug","message":"k: v\r\nother: w","user":{"id":"u"},"time":"May  6 07:08:09","tags":[]}"#,
    r#"10.0.0.1 - bob [06/May/2024:07:08:09 +0200] "GET /?token=abc123&password=hunter2 HTTP/1.1" 200"#,
    "\u{1b}[31mred\u{1b}[0m level=error took=x",
    "  at java.lang.Thread.run(Thread.java:750)",
    "",
    "2024-05-06 07:08:09.123 CEST plain",
];

const WORDS: &[&str] = &[
    "\n",
    " ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "=",
    "level=",
    "msg=\"",
    "\"level\":\"",
    "\"user\":{\"id\":",
    "\"time\":",
    "\"tags\":[",
    "null",
    "1e308",
    "2024-05-06T07:08:09Z stdout F ",
    "2024-05-06T07:08:09Z stderr P ",
    "{\"log\":\"",
    "\\n\"}",
    "Dec 31 23:59:60",
    "password=",
    "\u{1b}[1m",
    "\u{e9}",
    "\t",
    "\0",
];

const CRI: &[&str] = &[
    "2024-05-06T07:08:09.123456789Z stdout P one ",
    "2024-05-06T07:08:09.223456789Z stderr P:tag other",
    "2024-05-06T07:08:09.323456789+02:00 stdout F two",
    "2024-05-06T07:08:10Z stderr F  three  ",
    "2024-05-06T07:08:10Z stdout F",
    "no container wrote this",
    "2024-05-06T07:08:11Z stdout P é",
];

const DOCKER: &[&str] = &[
    r#"{"log":"one\n","stream":"stdout","time":"2024-05-06T07:08:09.123456789Z"}"#,
    r#"{"log":"half ","stream":"stderr","time":"2024-05-06T07:08:09.223456789Z"}"#,
    r#"{"log":"other half\n","stream":"stderr","time":"2024-05-06T07:08:09.323456789+02:00"}"#,
    r#"{"log":"","stream":"stdout","attrs":{"a":"b"},"time":"x"}"#,
    "no container wrote this",
    r#"{"log":"end without a line feed"}"#,
];
