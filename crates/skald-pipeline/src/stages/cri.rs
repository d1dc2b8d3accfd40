use super::options;
use super::partial::{Partials, read_time};
use crate::extracted::Value;
use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Holding, Options, Run, Work};
use crate::{Mark, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Reads lines of container runtimes: `time stream flags content`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cri {
    /// Lines of different label sets that may be unfinished at a time: 100.
    max_partial_lines: Option<usize>,
    /// Bytes of a line in pieces; the rest is cut when the next option says so.
    max_partial_line_size: Option<String>,
    /// Whether it is.
    max_partial_line_size_truncate: Option<bool>,
}

impl Options for Cri {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let size = self.max_partial_line_size.as_deref().map(|text| options::bytes("max_partial_line_size", text)).transpose()?;
        let truncate = self.max_partial_line_size_truncate.unwrap_or(false);
        let line_bytes = size.filter(|size| truncate && *size > 0).unwrap_or(usize::MAX);
        let lines = self.max_partial_lines.filter(|lines| *lines > 0).unwrap_or(100);
        let names = Names {
            stream: "stream".into(),
            time: build.if_mentioned("time"),
            flags: build.if_mentioned("flags"),
            content: build.if_mentioned("content"),
        };
        Ok(Compiled::holding(move || Lines {
            names: names.clone(),
            memo: LabelMemo::default(),
            partials: Partials::new(lines, line_bytes),
        }))
    }
}

/// Names of what is extracted; `None` where no one looks at it.
#[derive(Clone)]
struct Names {
    stream: Text,
    time: Option<Text>,
    flags: Option<Text>,
    content: Option<Text>,
}

struct Lines {
    names: Names,
    memo: LabelMemo,
    partials: Partials,
}

/// The four parts of a line.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    time: &'a str,
    stream: &'a str,
    flags: &'a str,
    content: &'a str,
}

impl<'a> Parts<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut at = 0;
        let mut word = || {
            let rest = &line[at..];
            let end = memchr::memchr(b' ', rest.as_bytes()).filter(|end| *end > 0)?;
            at += end + 1;
            let word = &rest[..end];
            (!word.bytes().any(|byte| byte.is_ascii_whitespace())).then_some(word)
        };
        let (time, stream, flags) = (word()?, word()?, word()?);
        matches!(stream, "stdout" | "stderr").then_some(Parts { time, stream, flags, content: &line[at..] })
    }

    /// Whether more of the same line follows. Of several tags the first says it.
    fn is_partial(&self) -> bool {
        self.flags == "P" || self.flags.starts_with("P:")
    }
}

impl Holding for Lines {
    fn process(&mut self, mut work: Work, _run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        let line = std::mem::take(&mut work.entry.line);
        let Some(parts) = Parts::of(&line) else {
            work.entry.line = line;
            return Some(work);
        };
        if let Some(time) = read_time(parts.time) {
            work.entry.timestamp = time;
        }
        self.names.set(&mut work, &parts, &mut self.memo);
        let (partial, start) = (parts.is_partial(), line.len() - parts.content.len());
        work.entry.line = line;
        work.entry.line.drain(..start);
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

impl Names {
    fn set(&self, work: &mut Work, parts: &Parts<'_>, memo: &mut LabelMemo) {
        let before = work.entry.labels.clone();
        memo.set(&mut work.entry.labels, std::iter::once((&self.stream, Cow::Borrowed(parts.stream))));
        work.extracted.set_label(&self.stream, &before, &work.entry.labels);
        for (name, value) in [(&self.time, parts.time), (&self.flags, parts.flags), (&self.content, parts.content)] {
            if let Some(name) = name {
                work.extracted.set(name, Value::Text(value.to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{Bench, check, refused, show_all};

    const T1: &str = "2024-05-06T07:08:09.000000001Z";
    const T2: &str = "2024-05-06T07:08:09.000000002Z";

    #[test]
    fn a_line_has_four_parts() {
        let line = |time, stream, flags, content| Some(Parts { time, stream, flags, content });
        for (text, want) in [
            ("t stdout F hello world", line("t", "stdout", "F", "hello world")),
            ("t stderr P  indented ", line("t", "stderr", "P", " indented ")),
            ("t stdout F ", line("t", "stdout", "F", "")),
            ("t stdout F a\nb", line("t", "stdout", "F", "a\nb")),
            ("t stdout F", None),
            ("t stdin F x", None),
            ("t  stdout F x", None),
            (" t stdout F x", None),
            ("t stdout  x", None),
            ("a\nt stdout F x", None),
            ("t stdout F\tx y", None),
            ("plain text of four words", None),
            ("", None),
        ] {
            assert_eq!(Parts::of(text), want, "{text:?}");
        }
    }

    #[test]
    fn time_stream_and_content_are_taken() {
        check(
            "- cri:",
            &[&format!("{{pod=p}} {T1} stderr F hello"), "2024-05-06T09:08:08+02:00 stdout F x"],
            &[r#"{pod="p", stream="stderr"} @+1ns hello"#, r#"{stream="stdout"} @-1000000000ns x"#],
        );
    }

    #[test]
    fn other_lines_pass_untouched_and_wrong_times_are_left() {
        check("- cri: {}", &["{stream=mine} some line", "never stdout F x"], &[r#"{stream="mine"} some line"#, r#"{stream="stdout"} x"#]);
    }

    #[test]
    fn pieces_are_joined_with_the_time_of_the_last() {
        let line = |time: &str, flags: &str, text: &str| format!("{time} stdout {flags} {text}");
        check(
            "- cri:",
            &[&line(T1, "P", "a "), &line(T1, "P:x", "b"), &line(T2, "F:x", " c"), &line(T2, "F", "d")],
            &[r#"{stream="stdout"} @+2ns a b c"#, r#"{stream="stdout"} @+2ns d"#],
        );
    }

    #[test]
    fn pieces_of_other_streams_are_apart() {
        check(
            "- cri:",
            &[&format!("{T1} stdout P a"), &format!("{T1} stderr P b"), &format!("{T2} stdout F c"), &format!("{T2} stderr F d")],
            &[r#"{stream="stdout"} @+2ns ac"#, r#"{stream="stderr"} @+2ns bd"#],
        );
    }

    #[test]
    fn too_many_unfinished_lines_go_out_as_they_are() {
        let mut bench = Bench::new("- cri: {max_partial_lines: 2}");
        let piece = |pod: &str, flags: &str| format!("{{pod={pod}}} {T1} stdout {flags} {pod}");
        assert!(bench.push(&piece("a", "P")).is_empty());
        assert!(bench.push(&piece("b", "P")).is_empty());
        assert!(bench.push(&piece("a", "P")).is_empty());
        assert_eq!(
            show_all(&bench.push(&piece("c", "P"))),
            [r#"{pod="a", stream="stdout"} @+1ns aa"#, r#"{pod="b", stream="stdout"} @+1ns b"#]
        );
        assert_eq!(bench.instance.oldest_held(), Some(Mark(3)));
        assert_eq!(show_all(&bench.push(&piece("c", "F"))), [r#"{pod="c", stream="stdout"} @+1ns cc"#]);
    }

    #[test]
    fn held_pieces_are_bounded_in_bytes() {
        let mut bench = Bench::new("- cri:");
        let piece = format!("{T1} stdout P {}", "x".repeat(1 << 20));
        let held: Vec<usize> = (0..6).map(|_| bench.push(&piece).iter().map(|entry| entry.line.len()).sum()).collect();
        assert_eq!(held, [0, 0, 0, 0, 5 << 20, 0]);
        assert_eq!(bench.flush()[0].line.len(), 1 << 20);
        let last = format!("{T1} stdout F ");
        for _ in 0..6 {
            assert!(bench.push(&piece).is_empty());
            assert_eq!(bench.push(&last)[0].line.len(), 1 << 20);
        }
    }

    #[test]
    fn a_long_line_is_cut_only_when_told_to() {
        let lines =
            [format!("{T1} stdout P abc"), format!("{T1} stdout P def"), format!("{T1} stdout F ghi"), format!("{T1} stdout F jklmno")];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let joined = |text: &str| format!(r#"{{stream="stdout"}} @+1ns {text}"#);
        check("- cri: {max_partial_line_size: 4}", &lines, &[&joined("abcdefghi"), &joined("jklmno")]);
        check("- cri: {max_partial_line_size: 4, max_partial_line_size_truncate: true}", &lines, &[&joined("abcd"), &joined("jklmno")]);
        let first = format!("{T1} stdout P äöü");
        check("- cri: {max_partial_line_size: 3, max_partial_line_size_truncate: true}", &[&first, lines[2]], &[&joined("äg")]);
        refused("- cri: {max_partial_line_size: big}", "option max_partial_line_size: \"big\" is no size");
    }

    #[test]
    fn what_is_held_is_marked_and_flushed() {
        let mut bench = Bench::new("- cri:");
        bench.push(&format!("{T1} stdout F x"));
        assert_eq!(bench.instance.oldest_held(), None);
        bench.push(&format!("{T1} stdout P a"));
        bench.push(&format!("{T1} stderr P b"));
        assert_eq!(bench.instance.oldest_held(), Some(Mark(1)));
        bench.push(&format!("{T1} stdout F c"));
        assert_eq!(bench.instance.oldest_held(), Some(Mark(2)));
        assert_eq!(bench.instance.next_deadline(), None);
        assert_eq!(show_all(&bench.flush()), [r#"{stream="stderr"} @+1ns b"#]);
        assert_eq!(bench.instance.oldest_held(), None);
    }

    #[test]
    fn the_parts_can_be_used_by_later_stages() {
        let lines = [format!("{{stream=old}} {T1} stdout F hello")];
        let yaml = "- cri:\n- labels: {f: flags, s: stream, t: time}\n- static_labels: {stream: x}\n- output: {source: content}";
        check(yaml, &[&lines[0]], &[&format!(r#"{{f="F", s="stdout", stream="x", t="{T1}"}} @+1ns hello"#)]);
        check("- decolorize:\n- cri:\n- drop: {source: stream, value: stdout}", &[&lines[0]], &[]);
    }
}
