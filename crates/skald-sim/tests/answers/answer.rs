//! Answers in a form that can be compared.

use skald_logql::exec::MetricResult;
use skald_model::ErrorKind;
use skald_querier::{Answer, AnswerData, QueryError};
use std::collections::BTreeMap;

/// An entry of an answer: time, line, and the categories of its labels as text.
pub type Row = (i64, String, String);
/// Entries of each stream, by its labels as text, in the order of the answer.
pub type Streams = BTreeMap<String, Vec<Row>>;
/// Points of each series; several series of the same labels (of `label_replace`) one after the other.
pub type Series = BTreeMap<String, Vec<(i64, f64)>>;

/// The streams of a log answer, or the kind of its error.
pub fn streams(answer: Result<Answer, QueryError>) -> Result<Streams, ErrorKind> {
    let answer = answer.map_err(|error| error.kind())?;
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    let AnswerData::Entries(entries) = answer.data else { panic!("not a log answer") };
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    // The same entries, once with all labels on the stream and once at each entry.
    let flat = entries.streams().into_iter().map(|stream| {
        let rows = stream.entries.iter().map(|entry| (entry.timestamp.0, text(&entry.line), String::new()));
        (stream.labels.to_string(), rows.collect::<Vec<_>>())
    });
    let categorised = entries.categorised().into_iter().map(|stream| {
        let rows = stream.entries.iter().map(|entry| {
            let categories = format!("{:?} {:?}", entry.metadata, entry.parsed);
            (entry.timestamp.0, text(&entry.line), categories)
        });
        (format!("categorised {}", stream.labels), rows.collect())
    });
    Ok(flat.chain(categorised).collect())
}

/// The entries with all their labels, in the order of time.
pub fn all_rows(streams: &Streams) -> Vec<Row> {
    let flat = streams.iter().filter(|(labels, _)| !labels.starts_with("categorised"));
    let mut rows: Vec<Row> = flat.flat_map(|(labels, rows)| rows.iter().map(|(at, line, _)| (*at, line.clone(), labels.clone()))).collect();
    rows.sort();
    rows
}

/// The series of a metric answer, or the kind of its error.
pub fn series(answer: Result<Answer, QueryError>) -> Result<Series, ErrorKind> {
    let answer = answer.map_err(|error| error.kind())?;
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    let AnswerData::Metric(result) = answer.data else { panic!("not a metric answer") };
    let mut found = Series::new();
    match result {
        MetricResult::Scalar { at, value } => found.entry("scalar".to_owned()).or_default().push((at.0, value)),
        MetricResult::Vector(samples) => {
            samples.iter().for_each(|sample| found.entry(sample.labels.to_string()).or_default().push((sample.at.0, sample.value)));
        }
        MetricResult::Matrix(series) => {
            series.into_iter().for_each(|series| {
                found.entry(series.labels.to_string()).or_default().extend(series.points.iter().map(|(at, value)| (at.0, *value)));
            });
        }
    }
    Ok(found)
}

/// What differs first, if anything does.
pub fn streams_difference(want: &Streams, got: &Streams) -> Option<String> {
    let labels = want.keys().chain(got.keys()).find(|labels| want.get(*labels) != got.get(*labels))?;
    let (want, got) = (want.get(labels).map_or(&[][..], Vec::as_slice), got.get(labels).map_or(&[][..], Vec::as_slice));
    let at = want.iter().zip(got).position(|(want, got)| want != got).unwrap_or(want.len().min(got.len()));
    Some(format!("{labels}: {} rows for {}, and row {at} is {:?}\nwanted {:?}", got.len(), want.len(), got.get(at), want.get(at)))
}

/// What differs first, if anything does; `slack` is absolute.
pub fn difference(want: &Series, got: &Series, slack: f64) -> Option<String> {
    let names = |of: &Series| of.keys().cloned().collect::<Vec<_>>();
    if names(want) != names(got) {
        return Some(format!("series {:?}\nwanted {:?}", names(got), names(want)));
    }
    let near = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= (1e-9 * a.abs().max(b.abs())).max(slack);
    let equal = |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && near(a.1, b.1);
    let differs = want.iter().find(|(labels, points)| {
        let others = &got[*labels];
        points.len() != others.len() || !points.iter().zip(others).all(equal)
    });
    differs.map(|(labels, points)| format!("{labels}: {:?}\nwanted {points:?}", got[labels]))
}
