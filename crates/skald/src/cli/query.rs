//! `query` and `instant-query`.

use super::answer::{QueryAnswer, QueryResult};
use super::args::{Cli, InstantQueryArgs, QueryArgs};
use super::client::{Client, ClientError};
use super::console::Console;
use super::entries::EntryPrinter;
use super::error::CliError;
use super::paging::{Page, Paging};
use super::progress::Progress;
use super::tail::{self, Follow};
use super::{explain, statistics, time};
use skald_model::Timestamp;

/// Runs a query over a span of time, page by page.
///
/// # Errors
/// See [`CliError`].
pub fn range(client: &Client, args: &QueryArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let zone = time::zone(cli.output.timezone);
    let range = time::range(&args.time, console.clock.now(), &zone)?;
    if args.tail || args.follow {
        let QueryArgs { query, limit, delay_for, entries, .. } = args;
        return tail::follow(client, &Follow { query, start: range.start, limit: *limit, delay_for: *delay_for, entries }, cli, console);
    }
    let (step, interval) = (seconds("--step", args.step.as_deref())?, seconds("--interval", args.interval.as_deref())?);
    if args.explain {
        let limit = if args.limit == 0 { u64::from(args.batch) } else { args.limit };
        let parameters = range_parameters(args, &Page { range, limit }, step.as_deref(), interval.as_deref());
        return explain::run(client, "/loki/api/v1/query_range", parameters, &args.query, cli, console);
    }
    let printer = EntryPrinter::new(cli, &args.entries, &args.query, console);
    let is_long = args.limit == 0 || args.limit > u64::from(args.batch);
    let progress = match is_long && !console.stdout_is_terminal {
        true => Progress::new(cli.output.progress, console.stderr_is_terminal, None),
        false => Progress::hidden(),
    };
    let mut paging = Paging::new(range, args.forward, args.batch, args.limit);
    while let Some(page) = paging.next_page()? {
        let parameters = range_parameters(args, &page, step.as_deref(), interval.as_deref());
        let answer = progress.aside(|| ask(client, "/loki/api/v1/query_range", &parameters, &args.query, console))?;
        show_remarks(&answer, cli, console);
        let entries = match answer.result {
            QueryResult::Entries(entries) => paging.take(&page, entries)?,
            QueryResult::Samples(samples) => return print_samples(&samples, console),
        };
        if !entries.is_empty() {
            progress.aside(|| printer.print(&entries, console))?;
        }
        progress.add(entries.len() as u64, entries.iter().map(|entry| entry.line.len() as u64).sum());
    }
    progress.finish();
    Ok(())
}

fn range_parameters(args: &QueryArgs, page: &Page, step: Option<&str>, interval: Option<&str>) -> Vec<(&'static str, String)> {
    let direction = if args.forward { "FORWARD" } else { "BACKWARD" };
    let mut parameters = vec![("direction", direction.to_owned()), ("end", epoch_nanos(page.range.end))];
    parameters.extend(interval.map(|interval| ("interval", interval.to_owned())));
    parameters.extend([("limit", page.limit.to_string()), ("query", args.query.clone()), ("start", epoch_nanos(page.range.start))]);
    parameters.extend(step.map(|step| ("step", step.to_owned())));
    parameters
}

/// Runs a metric query at one time.
///
/// # Errors
/// See [`CliError`].
pub fn instant(client: &Client, args: &InstantQueryArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let now = console.clock.now();
    let at = time::parse_flag("--now", args.now.as_deref(), now, &time::zone(cli.output.timezone))?.unwrap_or(now);
    let parameters = [("limit", args.limit.to_string()), ("query", args.query.clone()), ("time", epoch_nanos(at))];
    if args.explain {
        return explain::run(client, "/loki/api/v1/query", parameters.to_vec(), &args.query, cli, console);
    }
    let answer = ask(client, "/loki/api/v1/query", &parameters, &args.query, console)?;
    show_remarks(&answer, cli, console);
    match answer.result {
        QueryResult::Entries(entries) => EntryPrinter::new(cli, &args.entries, &args.query, console).print(&entries, console),
        QueryResult::Samples(samples) => print_samples(&samples, console),
    }
}

/// Asks an endpoint that answers as queries do.
///
/// # Errors
/// See [`CliError`].
pub fn ask(
    client: &Client,
    path: &str,
    parameters: &[(&str, String)],
    query: &str,
    console: &mut Console,
) -> Result<QueryAnswer, CliError> {
    match client.get(path, parameters, console) {
        Ok(answer) => Ok(QueryAnswer::read(answer)?),
        Err(source @ ClientError::Refused { status: 400, .. }) => Err(CliError::Query { query: query.to_owned(), source }),
        Err(error) => Err(error.into()),
    }
}

/// Tells the warnings of an answer, and its cost where that is asked for.
pub fn show_remarks(answer: &QueryAnswer, cli: &Cli, console: &mut Console) {
    for warning in &answer.warnings {
        console.notice(&format!("warning of the server: {warning}"));
    }
    if cli.output.stats && answer.stats.is_object() {
        console.notice(&statistics::render(&answer.stats));
    }
}

/// Prints a matrix, vector or scalar.
///
/// # Errors
/// [`CliError::Output`]
pub fn print_samples(samples: &serde_json::Value, console: &mut Console) -> Result<(), CliError> {
    console.data(&format!("{samples:#}"))
}

/// A time as the API reads it. Numbers of up to ten characters would be taken for seconds, so those are written as such.
pub fn epoch_nanos(at: Timestamp) -> String {
    let nanos = at.0.to_string();
    if nanos.len() > 10 { nanos } else { format!("{:.9}", at.0 as f64 / 1e9) }
}

/// A duration in seconds, as the API reads it; `None` for none or zero.
///
/// # Errors
/// [`CliError::Time`]
pub fn seconds(flag: &'static str, text: Option<&str>) -> Result<Option<String>, CliError> {
    let duration = text.map(time::parse_duration).transpose().map_err(|source| CliError::Time { flag, source })?;
    Ok(duration.filter(|duration| !duration.is_zero()).map(|duration| duration.as_secs_f64().to_string()))
}
