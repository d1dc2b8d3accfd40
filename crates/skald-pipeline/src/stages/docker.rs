use super::partial::{Partials, read_time};
use crate::extracted::Value;
use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Holding, Options, Run, Work};
use crate::{Mark, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Docker cuts longer lines into pieces of this size. A shorter piece without a line feed is the last that a container wrote.
const PIECE_BYTES: usize = 16 << 10;
/// Lines of different label sets that may be unfinished at a time.
const PARTIAL_LINES_MAX: usize = 100;

/// Reads lines of Docker's json-file logging driver.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Docker {}

impl Options for Docker {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let stream = Text::from("stream");
        let (output, timestamp) = (build.if_mentioned("output"), build.if_mentioned("timestamp"));
        Ok(Compiled::holding(move || Lines {
            stream: Text::clone(&stream),
            output: output.clone(),
            timestamp: timestamp.clone(),
            memo: LabelMemo::default(),
            partials: Partials::new(PARTIAL_LINES_MAX, usize::MAX),
        }))
    }
}

struct Lines {
    stream: Text,
    /// Names of what is extracted besides; `None` where no one looks at it.
    output: Option<Text>,
    timestamp: Option<Text>,
    memo: LabelMemo,
    partials: Partials,
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
}

impl Holding for Lines {
    fn process(&mut self, mut work: Work, _run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        let line = std::mem::take(&mut work.entry.line);
        let Ok(read) = serde_json::from_str::<DockerLine<'_>>(&line) else {
            work.entry.line = line;
            return Some(work);
        };
        self.describe(&mut work, &read);
        let Some(log) = read.log else {
            work.entry.line = line;
            return Some(work);
        };
        let text = log.strip_suffix('\n');
        let partial = text.is_none() && log.len() >= PIECE_BYTES;
        work.entry.line = text.unwrap_or(&log).to_owned();
        if let Some(name) = &self.output {
            work.extracted.set(name, Value::Text(work.entry.line.clone()));
        }
        if partial {
            self.partials.add(work, released);
            return None;
        }
        Some(self.partials.complete(work))
    }

    fn tick(&mut self, _run: &mut Run, _released: &mut Vec<Work>) {}

    fn flush(&mut self, _run: &mut Run, released: &mut Vec<Work>) {
        self.partials.flush(released);
    }

    /// None: the rest of a line may come late, and without it the line would be torn.
    fn next_deadline(&self) -> Option<Duration> {
        None
    }

    fn oldest_held(&self) -> Option<Mark> {
        self.partials.oldest()
    }
}

impl Lines {
    /// Takes stream and time.
    fn describe(&mut self, work: &mut Work, read: &DockerLine<'_>) {
        if let Some(stream) = &read.stream {
            let before = work.entry.labels.clone();
            self.memo.set(&mut work.entry.labels, std::iter::once((&self.stream, Cow::Borrowed(&**stream))));
            work.extracted.set_label(&self.stream, &before, &work.entry.labels);
        }
        let Some(text) = &read.time else { return };
        if let Some(time) = read_time(text) {
            work.entry.timestamp = time;
        }
        if let Some(name) = &self.timestamp {
            work.extracted.set(name, Value::Text(text.clone().into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{Bench, check, show_all};

    fn line(log: &str, time: u32) -> String {
        serde_json::json!({"log": log, "stream": "stdout", "attrs": {"a": [1]}, "time": format!("2024-05-06T07:08:09.{time:09}Z")})
            .to_string()
    }

    #[test]
    fn log_stream_and_time_are_taken() {
        check(
            "- docker:",
            &[&line("say \"hi\"\t\\ é\n", 1), &line("\n", 2)],
            &["{stream=\"stdout\"} @+1ns say \"hi\"\t\\ é", r#"{stream="stdout"} @+2ns "#],
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_left() {
        check(
            "- docker: {}",
            &["plain", r#"{"log":"x\n"}"#, r#"{"log":"x\n","time":"never"}"#, r#"{"stream":"stderr"}"#, r#"{"log":1}"#, "[1]"],
            &["{} plain", "{} x", "{} x", r#"{stream="stderr"} {"stream":"stderr"}"#, r#"{} {"log":1}"#, "{} [1]"],
        );
    }

    #[test]
    fn pieces_are_joined_with_the_time_of_the_last() {
        let piece = "x".repeat(PIECE_BYTES);
        let mut bench = Bench::new("- docker:");
        assert!(bench.push(&line(&piece, 1)).is_empty());
        assert!(bench.push(&line(&piece, 2)).is_empty());
        assert_eq!(bench.instance.oldest_held(), Some(Mark(0)));
        assert_eq!(show_all(&bench.push(&line("end\n", 3))), [format!(r#"{{stream="stdout"}} @+3ns {piece}{piece}end"#)]);
        assert_eq!(bench.instance.oldest_held(), None);
    }

    #[test]
    fn a_short_piece_is_the_last_a_container_wrote() {
        check(
            "- docker:",
            &[&line("last words", 1), &line("next run\n", 2)],
            &[r#"{stream="stdout"} @+1ns last words"#, r#"{stream="stdout"} @+2ns next run"#],
        );
        let piece = "x".repeat(PIECE_BYTES);
        check(
            "- docker:",
            &[&line(&piece, 1), &line("last words", 2), &line("next run\n", 3)],
            &[&format!(r#"{{stream="stdout"}} @+2ns {piece}last words"#), r#"{stream="stdout"} @+3ns next run"#],
        );
    }

    #[test]
    fn what_is_held_is_flushed() {
        let mut bench = Bench::new("- docker:");
        bench.push(&line(&"x".repeat(PIECE_BYTES), 1));
        assert_eq!(bench.flush()[0].line.len(), PIECE_BYTES);
        assert!(bench.flush().is_empty());
    }

    #[test]
    fn the_parts_can_be_used_by_later_stages() {
        let yaml = "- docker:\n- labels: {o: output, s: stream, t: timestamp}\n- labeldrop: [stream]";
        check(yaml, &[&line("hello\n", 1)], &[r#"{o="hello", s="stdout", t="2024-05-06T07:08:09.000000001Z"} @+1ns hello"#]);
    }
}
