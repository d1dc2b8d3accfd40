//! `labels`, `series` and `stats`.

use super::answer::{self, labels as label_set};
use super::args::{Cli, LabelsArgs, SeriesArgs, StatsArgs, TimeArgs};
use super::client::{self, Client, ClientError};
use super::console::Console;
use super::entries::is_colored;
use super::error::CliError;
use super::query::epoch_nanos;
use super::size::human_bytes;
use super::time;
use serde::Deserialize;
use skald_model::Labels;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// Answer of the label and series endpoints; `data` is missing when nothing was found.
#[derive(Deserialize)]
struct ListAnswer<T> {
    data: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct StatsAnswer {
    streams: u64,
    chunks: u64,
    bytes: u64,
    entries: u64,
}

/// Lists label names, or the values of a label.
///
/// # Errors
/// See [`CliError`].
pub fn labels(client: &Client, args: &LabelsArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let path = match &args.name {
        Some(name) => format!("/loki/api/v1/label/{}/values", client::escape(name)),
        None => "/loki/api/v1/labels".to_owned(),
    };
    let (start, end) = span(&args.time, cli, console)?;
    let answer = client.get(&path, &[("end", end), ("start", start)], console)?;
    let found = answer::read::<ListAnswer<String>>(answer)?.data.unwrap_or_default();
    found.iter().try_for_each(|name| console.data(&format!("{name}\n")))
}

/// Lists streams, or counts the values of their labels.
///
/// # Errors
/// See [`CliError`].
pub fn series(client: &Client, args: &SeriesArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let (start, end) = span(&args.time, cli, console)?;
    let parameters = [("end", end), ("match", args.matcher.clone()), ("start", start)];
    let answer = client.get("/loki/api/v1/series", &parameters, console).map_err(|error| rejected(error, &args.matcher))?;
    let found = answer::read::<ListAnswer<BTreeMap<String, String>>>(answer)?.data.unwrap_or_default();
    let mut found = found.into_iter().map(label_set).collect::<Result<Vec<Labels>, ClientError>>()?;
    found.sort();
    match args.analyze_labels {
        true => console.data(&analysis(&found)),
        false => found.iter().try_for_each(|labels| console.data(&format!("{labels}\n"))),
    }
}

/// How many values each label has and in how many streams it is.
fn analysis(streams: &[Labels]) -> String {
    let mut names: BTreeMap<&str, (HashSet<&str>, usize)> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(Labels::iter) {
        let (values, count) = names.entry(name).or_default();
        values.insert(value);
        *count += 1;
    }
    let mut rows: Vec<(&str, usize, usize)> = names.iter().map(|(name, (values, count))| (*name, values.len(), *count)).collect();
    rows.sort_by_key(|(name, values, _)| (std::cmp::Reverse(*values), *name));
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).max("Label Name".len());
    let mut out = format!("Total Streams:  {}\nUnique Labels:  {}\n\n", streams.len(), rows.len());
    let _ = writeln!(out, "{:width$}  Unique Values  Found In Streams", "Label Name");
    for (name, values, count) in rows {
        let _ = writeln!(out, "{name:width$}  {values:<13}  {count}");
    }
    out
}

/// Counts what a selector covers.
///
/// # Errors
/// See [`CliError`].
pub fn stats(client: &Client, args: &StatsArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let (start, end) = span(&args.time, cli, console)?;
    let parameters = [("end", end), ("query", args.selector.clone()), ("start", start)];
    let answer = client.get("/loki/api/v1/index/stats", &parameters, console).map_err(|error| rejected(error, &args.selector))?;
    let StatsAnswer { streams, chunks, bytes, entries } = answer::read(answer)?;
    let (on, off) = if is_colored(cli.output.color, console) { ("\x1b[34m", "\x1b[0m") } else { ("", "") };
    let rows =
        [("streams", streams.to_string()), ("chunks", chunks.to_string()), ("bytes", human_bytes(bytes)), ("entries", entries.to_string())];
    let rows = rows.map(|(name, value)| format!("  {on}{name}{off}: {value}\n"));
    console.data(&format!("{{\n{}}}\n", rows.concat()))
}

/// Start and end of a span, as the API reads them.
///
/// # Errors
/// [`CliError::Time`], and a usage error when the end is before the start.
pub fn span(args: &TimeArgs, cli: &Cli, console: &Console) -> Result<(String, String), CliError> {
    let range = time::range(args, console.clock.now(), &time::zone(cli.output.timezone))?;
    Ok((epoch_nanos(range.start), epoch_nanos(range.end)))
}

/// The server's refusal of `query`.
pub fn rejected(source: ClientError, query: &str) -> CliError {
    CliError::Query { query: query.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_most_values_come_first() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).expect("no name twice");
        let streams = [set(&[("app", "a"), ("pod", "1")]), set(&[("app", "a"), ("pod", "2")]), set(&[("app", "b")])];
        let want = "Total Streams:  3\nUnique Labels:  2\n\n\
                    Label Name  Unique Values  Found In Streams\n\
                    app         2              3\n\
                    pod         2              2\n";
        assert_eq!(analysis(&streams), want);
    }
}
