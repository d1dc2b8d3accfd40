//! `volume` and `volume_range`.

use super::answer::QueryResult;
use super::args::{Cli, VolumeArgs, VolumeRangeArgs};
use super::client::Client;
use super::console::Console;
use super::error::CliError;
use super::lookup::span;
use super::query::{ask, print_samples, seconds, show_remarks};

/// Shows the bytes of a span of time.
///
/// # Errors
/// See [`CliError`].
pub fn instant(client: &Client, args: &VolumeArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    show(client, "/loki/api/v1/index/volume", args, None, cli, console)
}

/// Shows the bytes of each step of a span of time.
///
/// # Errors
/// See [`CliError`].
pub fn range(client: &Client, args: &VolumeRangeArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let step = seconds("--step", Some(&args.step))?;
    show(client, "/loki/api/v1/index/volume_range", &args.volume, step, cli, console)
}

fn show(client: &Client, path: &str, args: &VolumeArgs, step: Option<String>, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let (start, end) = span(&args.time, cli, console)?;
    let by = if args.aggregate_by_labels { "labels" } else { "series" };
    let mut parameters = vec![("aggregateBy", by.to_owned()), ("end", end), ("limit", args.limit.to_string())];
    parameters.extend([("query", args.selector.clone()), ("start", start)]);
    parameters.extend(step.map(|step| ("step", step)));
    if !args.target_labels.is_empty() {
        parameters.push(("targetLabels", args.target_labels.join(",")));
    }
    let answer = ask(client, path, &parameters, &args.selector, console)?;
    show_remarks(&answer, cli, console);
    match answer.result {
        QueryResult::Samples(samples) => print_samples(&samples, console),
        // No server answers so; nothing is lost by showing nothing.
        QueryResult::Entries(_) => Ok(()),
    }
}
