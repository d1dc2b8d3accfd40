use super::*;
use crate::stages::testing::{Bench, check, refused, show_all};

const BLOCKS: &str = "- multiline: {firstline: '^\\S', max_lines: 3}";

#[test]
fn lines_join_until_the_next_first_line() {
    check(BLOCKS, &["a", " b", "c", "d", " e", " f"], &["{} a\n b", "{} c", "{} d\n e\n f"]);
}

#[test]
fn lines_before_the_first_pass() {
    check(BLOCKS, &[" x", " y", "a", " b"], &["{}  x", "{}  y", "{} a\n b"]);
}

#[test]
fn label_sets_are_apart() {
    check(BLOCKS, &["{s=1} a", "{s=2} b", "{s=1}  c", "{s=2}  d", "{s=3}  e"], &[r#"{s="3"}  e"#, "{s=\"1\"} a\n c", "{s=\"2\"} b\n d"]);
}

#[test]
fn an_entry_has_the_time_and_values_of_its_first_line_even_when_lines_are_too_many() {
    let mut bench = Bench::new(BLOCKS);
    let mut out = Vec::new();
    for line in ["a", " 1", " 2", " 3", " 4", "b"] {
        out.extend(bench.push(line));
        bench.advance(Duration::from_nanos(1));
    }
    out.extend(bench.flush());
    assert_eq!(show_all(&out), ["{} a\n 1\n 2", "{}  3\n 4", "{} @+5ns b"]);
}

#[test]
fn metadata_of_the_first_line_stays() {
    let yaml = "- structured_metadata: {id:}\n- multiline: {firstline: ^a}";
    check(yaml, &["{id=1} a", "{id=2} b", "{id=3} a"], &["{} [id=1] a\nb", "{} [id=3] a"]);
}

#[test]
fn a_block_waits_for_its_time() {
    let mut bench = Bench::new(BLOCKS);
    let (start, second) = (bench.now.monotonic, Duration::from_secs(1));
    assert_eq!(bench.instance.next_deadline(), None);
    bench.push("a");
    assert_eq!(bench.instance.next_deadline(), Some(start + 3 * second));
    bench.advance(2 * second);
    bench.push(" b");
    assert_eq!(bench.instance.next_deadline(), Some(start + 5 * second));
    bench.advance(2 * second);
    assert!(bench.tick().is_empty());
    bench.advance(second);
    assert_eq!(show_all(&bench.tick()), ["{} a\n b"]);
    assert_eq!(bench.instance.next_deadline(), None);
    // What follows is an entry of its own time.
    assert!(bench.push(" c").is_empty());
    assert_eq!(show_all(&bench.push("d")), ["{} @+5000000000ns  c"]);
}

#[test]
fn only_a_tick_ends_a_block_that_has_waited() {
    let mut bench = Bench::new(BLOCKS);
    bench.push("a");
    bench.advance(Duration::from_secs(60));
    assert!(bench.push(" late").is_empty());
    assert_eq!(show_all(&bench.flush()), ["{} a\n late"]);
}

#[test]
fn marks_are_those_of_held_lines() {
    let mut bench = Bench::new(BLOCKS);
    let mut held = Vec::new();
    for line in [" x", "a", " 1", " 2", " 3", "{s=1} b", "c"] {
        bench.push(line);
        held.push(bench.instance.oldest_held().map(|mark| mark.0));
    }
    assert_eq!(held, [None, Some(1), Some(1), None, Some(4), Some(4), Some(5)]);
    bench.flush();
    assert_eq!(bench.instance.oldest_held(), None);
}

#[test]
fn held_bytes_are_bounded() {
    let mut bench = Bench::new("- multiline: {firstline: ^a, max_lines: 1000000}");
    let line = "x".repeat(1 << 20);
    assert!(bench.push("a").is_empty());
    let out: Vec<usize> = (0..8).map(|_| bench.push(&line).iter().map(|entry| entry.line.len()).sum()).collect();
    assert_eq!(out, [0, 0, 0, (4 << 20) + 5, 0, 0, 0, (4 << 20) + 3]);
}

#[test]
fn bytes_are_counted_out_as_they_were_counted_in() {
    let first = options::regex("firstline", "^a").expect("it is a pattern");
    let limits = Limits { first, wait: Duration::from_secs(1), lines: 3 };
    let mut blocks = Blocks { limits, by_labels: FxHashMap::default(), bytes: 0 };
    let (mut run, mut out) = (Run::at(Bench::new("[]").now), Vec::new());
    for line in ["a", "b", "c", "d", "a", ""] {
        let work = Work::new(crate::stages::testing::entry(line, run.now), Mark(0));
        assert!(blocks.process(work, &mut run, &mut out).is_none());
    }
    assert_eq!(blocks.bytes, "a\n\n".len());
    blocks.flush(&mut run, &mut out);
    assert_eq!((blocks.bytes, out.len()), (0, 3));
}

#[test]
fn label_sets_are_bounded() {
    let mut bench = Bench::new(BLOCKS);
    for at in 0..LABEL_SETS_MAX {
        assert!(bench.push(&format!("{{s={at}}} a")).is_empty());
    }
    assert!(bench.push("{s=7}  b").is_empty());
    let out = bench.push("{s=new} a");
    assert_eq!(out.len(), LABEL_SETS_MAX);
    assert_eq!(out[7].line, "a\n b");
    assert_eq!(show_all(&bench.push("{s=7}  c")), [r#"{s="7"}  c"#]);
    assert_eq!(bench.flush().len(), 1);
}

#[test]
fn options_are_checked() {
    refused("- multiline:", "stage 1 (multiline): option firstline is required");
    refused("- multiline: {firstline: '['}", "option firstline is no regular expression");
    refused("- multiline: {firstline: a, max_wait_time: soon}", "option max_wait_time: ");
}
