use super::*;
use crate::ast::*;
use crate::exec::*;
use skald_model::{Column, ErrorKind, Labels, Rows, RowsBuilder};
use std::sync::Arc;

mod hostile;
mod log_queries;
mod long_queries;
mod metric_queries;
mod stages;
mod unwrapped;
mod worked_examples;

/// One entry of a stream: seconds, line, structured metadata.
type Given<'a> = (i64, &'a str, &'a [(&'a str, &'a str)]);

fn rows(entries: &[Given<'_>]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (seconds, line, metadata) in entries {
        builder.push(Timestamp::from_secs(*seconds), line.as_bytes());
        metadata.iter().for_each(|(name, value)| builder.set_metadata(name, value.as_bytes(), false));
    }
    builder.finish()
}

/// The same rows, each column keeping each value once.
fn with_dictionaries(rows: &Rows) -> Rows {
    let dictionary = |column: &Column| {
        let mut words: Vec<&[u8]> = (0..column.len()).map(|row| column.value(row)).collect();
        words.sort_unstable();
        words.dedup();
        let ids = (0..column.len()).map(|row| words.binary_search(&column.value(row)).expect("is a word") as u32).collect();
        let ends = words.iter().scan(0, |end, word| {
            *end += word.len() as u32;
            Some(*end)
        });
        Column::dictionary_of(column.name().clone(), column.is_derived(), ids, ends.collect(), words.concat())
    };
    let columns = rows.columns().iter().map(dictionary).collect();
    let (timestamps, ends, lines) = (rows.timestamps().to_vec(), rows.line_ends().to_vec(), rows.line_bytes().to_vec());
    Rows::from_columns(timestamps, ends, lines, columns).expect("fits")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("distinct names")
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), op, value: value.to_owned() }
}

fn log(stages: Vec<Stage>) -> LogExpr {
    LogExpr { matchers: vec![matcher("job", MatchOp::Equal, "web")], stages }
}

fn line(op: LineOp, text: &str) -> Stage {
    Stage::LineFilter(LineFilter { op, operands: vec![LineOperand::Text(text.to_owned())] })
}

fn json() -> Stage {
    Stage::Json(Vec::new())
}

fn logfmt() -> Stage {
    Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() }
}

fn text_filter(name: &str, op: MatchOp, value: &str) -> LabelFilter {
    LabelFilter::Text(matcher(name, op, value))
}

fn equals(name: &str, value: &str) -> Stage {
    Stage::LabelFilter(text_filter(name, MatchOp::Equal, value))
}

fn number(name: &str, op: CompareOp, value: f64) -> LabelFilter {
    LabelFilter::Number { name: name.to_owned(), op, value }
}

fn name(name: &str) -> NamedOrMatcher {
    NamedOrMatcher::Name(name.to_owned())
}

fn params() -> Params {
    Params {
        start: Timestamp::from_secs(0),
        end: Timestamp::from_secs(10_000),
        step: None,
        limit: 100,
        direction: Direction::Forward,
        interval: Duration::ZERO,
        max_series: 500,
        now: Timestamp::from_secs(20_000),
        approx_topk: true,
        profile: None,
        rewrites: Rewrites::ALL,
    }
}

/// How a batch is cut before it is added.
const CUTS: [usize; 3] = [usize::MAX, 2, 1];

fn pieces<'a>(labels: &'a Labels, rows: &'a Rows, cut: usize) -> Vec<(usize, Batch<'a>)> {
    let batch = Batch::new(labels, rows);
    (0..batch.len()).step_by(cut.min(batch.len().max(1))).map(|at| (at, batch.slice(at..at.saturating_add(cut).min(batch.len())))).collect()
}
