//! `--explain`: what a query did, operator by operator.

use super::args::{Cli, OutputMode};
use super::client::{Client, ClientError};
use super::console::Console;
use super::error::CliError;
use super::size::human_bytes;
use serde_json::Value;
use std::fmt::Write;

/// How much is shown of what blocks must hold.
const TEXT_LEN_MAX: usize = 100;

/// Runs a query and prints what it did instead of its answer: a table, or with `-o jsonl` the JSON of the server.
///
/// # Errors
/// See [`CliError`].
pub fn run(
    client: &Client,
    path: &str,
    mut parameters: Vec<(&'static str, String)>,
    query: &str,
    cli: &Cli,
    console: &mut Console,
) -> Result<(), CliError> {
    parameters.push(("explain", "true".to_owned()));
    let answer = match client.get(path, &parameters, console) {
        Ok(answer) => answer,
        Err(source @ ClientError::Refused { status: 400, .. }) => return Err(CliError::Query { query: query.to_owned(), source }),
        Err(error) => return Err(error.into()),
    };
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        console.notice(&format!("warning of the server: {}", warning.as_str().unwrap_or_default()));
    }
    let plan = &answer["data"]["plan"];
    match cli.output.output {
        OutputMode::Jsonl => console.data(&format!("{plan}\n")),
        OutputMode::Default | OutputMode::Raw => console.data(&render(plan)),
    }
}

/// The plan as an indented table.
fn render(plan: &Value) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} query, {} returned, {} ms", word(&plan["type"]), plan["returned"], plan["milliseconds"]);
    line(&mut out, 1, &times(&plan["times"]));
    operator(&mut out, &plan["root"], 0);
    out
}

fn operator(out: &mut String, node: &Value, level: usize) {
    let said = ["parameter", "entries", "order", "groups", "pairs", "labels", "value", "selector", "window", "offset"];
    let texts = said
        .iter()
        .filter_map(|name| node[*name].as_str().map(|text| if *name == "entries" { format!("{text} entries") } else { text.to_owned() }));
    line(out, level, &std::iter::once(word(&node["operator"]).to_owned()).chain(texts).collect::<Vec<_>>().join("  "));
    if node["measured"].is_object() {
        leaf(out, node, level + 1);
    }
    node["inputs"].as_array().into_iter().flatten().for_each(|input| operator(out, input, level + 1));
}

/// What was read, and what became of it.
fn leaf(out: &mut String, node: &Value, level: usize) {
    let measured = &node["measured"];
    let (blocks, lines, bytes) = (&measured["blocks"], &measured["lines"], &measured["bytes"]);
    let metadata = match node["metadata"].as_array() {
        Some(names) if names.is_empty() => "none".to_owned(),
        Some(names) => names.iter().map(word).collect::<Vec<_>>().join(", "),
        None => word(&node["metadata"]).to_owned(),
    };
    let size = |value: &Value| human_bytes(value.as_u64().unwrap_or_default());
    let mut row = |name: &str, text: String| {
        if !text.is_empty() {
            line(out, level, &format!("{name:10}{text}"));
        }
    };
    row("rewrites", node["rewrites"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", "));
    row("columns", format!("lines {}, metadata {metadata}", word(&node["lines"])));
    row("must hold", cut(word(&node["blocks_must_hold"])));
    row(
        "index",
        format!(
            "{} streams in {} objects and {} chunks of memory, {} streams ruled out",
            measured["streams"], measured["objects"], measured["chunks_in_memory"], measured["streams_ruled_out_by_index"]
        ),
    );
    let tables = &measured["tables"];
    if tables["indexes_asked"].as_u64().unwrap_or_default() > 0 {
        row(
            "tables",
            format!(
                "{} indexes asked, {} streams selected, {} objects skipped, {} read in {} requests",
                tables["indexes_asked"],
                tables["streams_selected"],
                tables["objects_skipped"],
                size(&tables["bytes"]),
                tables["requests"]
            ),
        );
    }
    row("estimate", format!("{} of lines in {} blocks", size(&measured["estimated"]["bytes"]), measured["estimated"]["blocks"]));
    row(
        "blocks",
        format!(
            "{} of {}, ruled out by index {}, by time {}, by filter {}",
            blocks["read"], blocks["of_objects"], blocks["ruled_out_by_index"], blocks["ruled_out_by_time"], blocks["ruled_out_by_filter"]
        ),
    );
    row(
        "lines",
        format!(
            "{} read, {} counted without reading, {} repeated, {} passed",
            lines["read"], lines["counted_without_reading"], lines["repeated"], lines["passed"]
        ),
    );
    row("bytes", format!("{} of lines, {} read from the store", size(&bytes["of_lines"]), size(&bytes["read_from_store"])));
    if measured["from_cache"]["objects"] != 0 {
        row("cache", format!("{} objects, {}", measured["from_cache"]["objects"], size(&measured["from_cache"]["bytes"])));
    }
    row("times", times(&measured["times"]));
    let stages = node["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !stages.is_empty() {
        row("stages", format!("{:>12}{:>12}{:>12}", "rows in", "rows out", "ms"));
    }
    for stage in stages {
        let (rows_in, rows_out, spent) = (&stage["rows_in"], &stage["rows_out"], &stage["milliseconds"]);
        row(
            "",
            format!(
                "{:>12}{:>12}{:>12}  {} ({})",
                rows_in.to_string(),
                rows_out.to_string(),
                spent.to_string(),
                word(&stage["stage"]),
                word(&stage["runs"])
            ),
        );
    }
}

fn line(out: &mut String, level: usize, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(out, "{}{text}", "  ".repeat(level));
    }
}

/// A text that may be long, in the default output.
fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_LEN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Steps and their milliseconds, in the order of the work.
fn times(times: &Value) -> String {
    let steps = ["index", "overlap", "directory", "filters", "fetch", "decode", "evaluate", "merge", "finish"];
    let spent = steps.iter().filter_map(|step| times.get(*step).map(|spent| format!("{step} {spent} ms")));
    spent.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_is_an_indented_table() {
        let measured = json!({
            "estimated": {"blocks": 3, "bytes": 2048}, "objects": 1, "streams": 1, "chunks_in_memory": 1, "runs": 3, "streams_ruled_out_by_index": 4,
            "tables": {"indexes_asked": 2, "streams_selected": 1, "objects_skipped": 7, "requests": 1, "bytes": 2048},
            "blocks": {"of_objects": 9, "ruled_out_by_index": 5, "ruled_out_by_time": 1, "ruled_out_by_filter": 2, "read": 1},
            "lines": {"read": 20, "counted_without_reading": 0, "passed": 2, "repeated": 0}, "bytes": {"of_lines": 2048, "read_from_store": 512},
            "from_cache": {"objects": 0, "bytes": 0}, "unreadable": 0, "times": {"index": 0.5, "evaluate": 1.25},
        });
        let plan = json!({
            "type": "log", "query": "{app=\"a\"} |= \"x\"", "milliseconds": 2.5, "returned": 2, "times": {},
            "root": {"operator": "limit", "entries": "30", "order": "newest first", "inputs": [{
                "operator": "select", "selector": "{app=\"a\"}", "lines": "all", "metadata": "all", "blocks_must_hold": "x",
                "rewrites": ["blocks_from_filters"], "measured": measured,
                "stages": [{"stage": "|= \"x\"", "runs": "over lines", "rows_in": 20, "rows_out": 2, "milliseconds": 0.01}],
            }]},
        });
        let want = "\
log query, 2 returned, 2.5 ms
limit  30 entries  newest first
  select  {app=\"a\"}
    rewrites  blocks_from_filters
    columns   lines all, metadata all
    must hold x
    index     1 streams in 1 objects and 1 chunks of memory, 4 streams ruled out
    tables    2 indexes asked, 1 streams selected, 7 objects skipped, 2.0 kB read in 1 requests
    estimate  2.0 kB of lines in 3 blocks
    blocks    1 of 9, ruled out by index 5, by time 1, by filter 2
    lines     20 read, 0 counted without reading, 0 repeated, 2 passed
    bytes     2.0 kB of lines, 512 B read from the store
    times     index 0.5 ms, evaluate 1.25 ms
    stages         rows in    rows out          ms
                        20           2        0.01  |= \"x\" (over lines)
";
        assert_eq!(render(&plan), want, "{}", render(&plan));
    }
}
