//! An evaluator of the plain part of LogQL: goes through the pushed entries one by one, knows nothing of blocks, batches or plans.
//!
//! It answers only where the meaning needs no further rules: `None` for stages that it does not know, and for metric queries over entries
//! with errors, where what a query needs of a line decides which errors it sees.

use crate::data::{Entry, SECOND, Shape, stream_labels};
use crate::query::{Condition, Grouping, LogQuery, Metric, Operand, Range, Stage};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// Labels by name.
pub type Set = BTreeMap<String, String>;

/// An entry and what the stages made of its labels.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    pub entry: &'a Entry,
    stream: Set,
    /// Names of stream labels that a stage took away or covered.
    hidden: BTreeSet<String>,
    metadata: Set,
    parsed: Set,
    /// Names that a parser wrote, even where the label was dropped later.
    written: BTreeSet<String>,
    error: Option<(&'static str, String)>,
}

/// Points of a series by evaluation time in nanoseconds.
pub type Matrix = BTreeMap<Set, BTreeMap<i64, f64>>;

impl<'a> Row<'a> {
    fn new(entry: &'a Entry) -> Self {
        let stream: Set = stream_labels(entry.stream).iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let pushed = entry.metadata.iter().copied().chain(entry.level.map(|level| ("detected_level", level)));
        let metadata = pushed.map(|(name, value)| {
            let name = if stream.contains_key(name) { format!("{name}_extracted") } else { name.to_owned() };
            (name, value.to_owned())
        });
        let (metadata, hidden) = (metadata.collect(), BTreeSet::new());
        Row { entry, stream, hidden, metadata, parsed: Set::new(), written: BTreeSet::new(), error: None }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.parsed.get(name).or_else(|| self.metadata.get(name));
        found.or_else(|| self.stream.get(name).filter(|_| !self.hidden.contains(name))).map(String::as_str)
    }

    fn extract(&mut self, name: &str, value: &str) {
        let taken = self.stream.contains_key(name) || self.metadata.contains_key(name);
        let name = if taken { format!("{name}_extracted") } else { name.to_owned() };
        if self.written.insert(name.clone()) {
            self.metadata.remove(&name);
            self.parsed.insert(name, value.to_owned());
        }
    }

    fn remove(&mut self, name: &str) {
        self.metadata.remove(name);
        self.parsed.remove(name);
        self.hidden.insert(name.to_owned());
    }

    /// All labels of the row at the end.
    pub fn labels(&self) -> Set {
        let stream = self.stream.iter().filter(|(name, _)| !self.hidden.contains(*name));
        let mut all: Set = stream.chain(&self.metadata).chain(&self.parsed).map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some((error, details)) = &self.error {
            all.insert("__error__".to_owned(), (*error).to_owned());
            all.insert("__error_details__".to_owned(), details.clone());
        }
        all
    }
}

/// The rows that the query selects, in order of arrival.
pub fn rows<'a>(query: &LogQuery, entries: &[&'a Entry]) -> Option<Vec<Row<'a>>> {
    let mut rows: Vec<Row<'a>> = entries.iter().map(|entry| Row::new(entry)).collect();
    rows.retain(|row| query.matchers.iter().all(|(name, op, value)| selects(row.stream.get(*name), op, value)));
    let mut kept = Vec::new();
    for row in rows {
        kept.extend(through(&query.stages, row)?);
    }
    Some(kept)
}

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("generated expressions are valid")
}

fn selects(found: Option<&String>, op: &str, value: &str) -> bool {
    let found = found.map_or("", String::as_str);
    let matches = || regex(&format!("^(?s:{value})$")).is_match(found);
    match op {
        "=" => found == value,
        "!=" => found != value,
        "=~" => matches(),
        _ => !matches(),
    }
}

/// The row after the stages; the inner `None` when one drops it.
fn through<'a>(stages: &[Stage], mut row: Row<'a>) -> Option<Option<Row<'a>>> {
    for stage in stages {
        let keep = match stage {
            Stage::Line { op, texts } => line_passes(&row.entry.line, op, texts)?,
            Stage::Json => json(&mut row),
            Stage::Logfmt => logfmt(&mut row),
            Stage::Labels(any) => passes_any(&mut row, any),
            Stage::Drop(names) => {
                names.iter().for_each(|name| row.remove(name));
                true
            }
            Stage::Keep(names) => {
                let all: Vec<String> = row.labels().into_keys().filter(|name| !name.starts_with("__error")).collect();
                all.iter().filter(|name| !names.contains(&name.as_str())).for_each(|name| row.remove(name));
                true
            }
            Stage::Other(_) => return None,
        };
        if !keep {
            return Some(None);
        }
    }
    Some(Some(row))
}

fn line_passes(line: &str, op: &str, texts: &[&str]) -> Option<bool> {
    // Of several operands one that is always true is left out; that is for the other comparisons.
    if texts.len() > 1 && texts.contains(&"") {
        return None;
    }
    let any = match op {
        "|=" | "!=" => texts.iter().any(|text| line.contains(text)),
        _ => texts.iter().any(|text| regex(text).is_match(line)),
    };
    Some(any != op.starts_with('!'))
}

fn json(row: &mut Row<'_>) -> bool {
    match &row.entry.shape {
        Shape::Json { fields, broken } => {
            fields.iter().for_each(|(name, value)| row.extract(name, value));
            if *broken {
                row.error = Some(("JSONParserErr", "Value is array, but can't find closing ']' symbol".to_owned()));
            }
        }
        _ => row.error = Some(("JSONParserErr", "Value looks like object, but can't find closing '}' symbol".to_owned())),
    }
    true
}

fn logfmt(row: &mut Row<'_>) -> bool {
    if let Shape::Logfmt(fields) = &row.entry.shape {
        fields.iter().for_each(|(name, value)| row.extract(name, value));
    }
    true
}

fn passes_any(row: &mut Row<'_>, any: &[Condition]) -> bool {
    any.iter().any(|condition| match condition.value {
        Operand::Text(value) => text_passes(row, condition, value),
        Operand::Number(value) => number_passes(row, condition, value),
    })
}

fn text_passes(row: &Row<'_>, condition: &Condition, value: &str) -> bool {
    let found = if condition.name == "__error__" { row.error.as_ref().map(|error| error.0) } else { row.get(condition.name) };
    let found = found.unwrap_or("");
    let matches = || regex(&format!("^(?:{value})$")).is_match(found);
    match condition.op {
        "=" => found == value,
        "!=" => found != value,
        "=~" => matches(),
        _ => !matches(),
    }
}

fn number_passes(row: &mut Row<'_>, condition: &Condition, value: f64) -> bool {
    let Some(text) = row.get(condition.name) else { return false };
    let Ok(number) = text.parse::<f64>() else {
        let details = format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
        row.error.get_or_insert(("LabelFilterErr", details));
        return true;
    };
    match condition.op {
        ">" => number > value,
        ">=" => number >= value,
        "<" => number < value,
        "==" => number == value,
        _ => number != value,
    }
}

/// The answer to a metric query at these times.
pub fn matrix(metric: &Metric, entries: &[&Entry], times: &[i64]) -> Option<Matrix> {
    match metric {
        Metric::Range(range) => range_matrix(range, entries, times),
        Metric::Vector { op, k: None, grouping, inner } => {
            let inner = matrix(inner, entries, times)?;
            aggregate(op, grouping.as_ref(), &inner)
        }
        _ => None,
    }
}

fn grouped(labels: &Set, grouping: &Grouping) -> Set {
    let listed = |name: &String| grouping.names.contains(&name.as_str());
    labels.iter().filter(|(name, _)| listed(name) != grouping.without).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn aggregate(op: &str, grouping: Option<&Grouping>, of: &Matrix) -> Option<Matrix> {
    let mut groups: BTreeMap<Set, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
    for (labels, points) in of {
        let group = groups.entry(grouping.map_or_else(Set::new, |grouping| grouped(labels, grouping))).or_default();
        points.iter().for_each(|(at, value)| group.entry(*at).or_default().push(*value));
    }
    let value = |values: &[f64]| {
        let sum: f64 = values.iter().sum();
        Some(match op {
            "sum" => sum,
            "count" => values.len() as f64,
            "avg" => sum / values.len() as f64,
            "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
            "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            _ => return None,
        })
    };
    let points =
        |points: BTreeMap<i64, Vec<f64>>| points.into_iter().map(|(at, values)| Some((at, value(&values)?))).collect::<Option<_>>();
    groups.into_iter().map(|(labels, of)| Some((labels, points(of)?))).collect()
}

fn range_matrix(range: &Range, entries: &[&Entry], times: &[i64]) -> Option<Matrix> {
    let mut rows = rows(&range.log, entries)?;
    // A line that is cut off tells its error only to those who read to its end.
    let is_broken = |entry: &Entry| matches!(entry.shape, Shape::Json { broken: true, .. });
    if range.log.stages.iter().any(|stage| matches!(stage, Stage::Json)) && entries.iter().any(|entry| is_broken(entry)) {
        return None;
    }
    rows.sort_by_key(|row| row.entry.at);
    let mut samples: Vec<(i64, Set, f64)> = Vec::new();
    for row in &rows {
        if row.error.is_some() {
            return None;
        }
        let mut labels = row.labels();
        let value = match &range.unwrap {
            None if range.op.starts_with("bytes") => row.entry.line.len() as f64,
            None => 1.0,
            Some(unwrap) if unwrap.text != unwrap.label => return None,
            Some(unwrap) => match row.get(unwrap.label).filter(|text| !text.is_empty()).map(str::parse) {
                None => continue,
                Some(Ok(value)) => value,
                Some(Err(_)) if unwrap.filtered => continue,
                Some(Err(_)) => return None,
            },
        };
        if let Some(unwrap) = &range.unwrap
            && range.grouping.as_ref().is_none_or(|grouping| grouping.without)
        {
            labels.remove(unwrap.label);
        }
        samples.push((row.entry.at, range.grouping.as_ref().map_or_else(|| labels.clone(), |grouping| grouped(&labels, grouping)), value));
    }
    if range.op == "absent_over_time" {
        return Some(absent(range, &samples, times));
    }
    let mut matrix = Matrix::new();
    for at in times {
        let (start, end) = window(range, *at);
        let mut windows: BTreeMap<&Set, Vec<f64>> = BTreeMap::new();
        samples.iter().filter(|sample| start < sample.0 && sample.0 <= end).for_each(|sample| {
            windows.entry(&sample.1).or_default().push(sample.2);
        });
        for (labels, values) in windows {
            matrix.entry(labels.clone()).or_default().insert(*at, folded(range, &values)?);
        }
    }
    Some(matrix)
}

/// Where the window of an evaluation begins, itself outside, and ends, inside.
fn window(range: &Range, at: i64) -> (i64, i64) {
    let end = at - range.offset * SECOND;
    (end - range.seconds as i64 * SECOND, end)
}

/// Has the labels that the selector fixes, and no others.
fn absent(range: &Range, samples: &[(i64, Set, f64)], times: &[i64]) -> Matrix {
    let matchers = &range.log.matchers;
    let fixed = matchers.iter().filter(|(name, op, _)| *op == "=" && matchers.iter().filter(|other| other.0 == *name).count() == 1);
    let labels: Set = fixed.map(|(name, _, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let is_empty = |at: &&i64| {
        let (start, end) = window(range, **at);
        !samples.iter().any(|sample| start < sample.0 && sample.0 <= end)
    };
    let points: BTreeMap<i64, f64> = times.iter().filter(is_empty).map(|at| (*at, 1.0)).collect();
    if points.is_empty() { Matrix::new() } else { Matrix::from([(labels, points)]) }
}

fn folded(range: &Range, values: &[f64]) -> Option<f64> {
    let (sum, count, seconds) = (values.iter().sum::<f64>(), values.len() as f64, range.seconds as f64);
    Some(match range.op {
        "count_over_time" => count,
        "rate" | "bytes_rate" => sum / seconds,
        "bytes_over_time" | "sum_over_time" => sum,
        "avg_over_time" => sum / count,
        "min_over_time" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max_over_time" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "stdvar_over_time" => values.iter().map(|value| (value - sum / count).powi(2)).sum::<f64>() / count,
        "quantile_over_time" => {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            let rank = range.quantile? * (count - 1.0);
            let below = sorted[rank.floor() as usize];
            let above = sorted[(rank.floor() as usize + 1).min(sorted.len() - 1)];
            below + (above - below) * (rank - rank.floor())
        }
        _ => return None,
    })
}
