//! `detected-fields`.

use super::answer;
use super::args::{Cli, DetectedFieldsArgs, OutputMode};
use super::client::{self, Client};
use super::console::Console;
use super::entries::is_colored;
use super::error::CliError;
use super::lookup::{rejected, span};
use super::query::seconds;
use serde::Deserialize;

/// The answer leaves out what it has nothing of.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    fields: Option<Vec<Field>>,
    #[serde(default)]
    values: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Field {
    label: String,
    #[serde(rename = "type")]
    kind: String,
    cardinality: u64,
}

/// Lists the fields of the entries of a query, or the values of one of them.
///
/// # Errors
/// See [`CliError`].
pub fn run(client: &Client, args: &DetectedFieldsArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let path = match &args.field {
        Some(name) => format!("/loki/api/v1/detected_field/{}/values", client::escape(name)),
        None => "/loki/api/v1/detected_fields".to_owned(),
    };
    let (start, end) = span(&args.time, cli, console)?;
    let step = seconds("--step", Some(&args.step))?;
    let mut parameters = vec![("end", end), ("limit", args.limit.to_string()), ("line_limit", args.line_limit.to_string())];
    parameters.extend([("query", args.query.clone()), ("start", start)]);
    parameters.extend(step.map(|step| ("step", step)));
    let answer = client.get(&path, &parameters, console).map_err(|error| rejected(error, &args.query))?;
    if cli.output.output == OutputMode::Raw {
        return console.data(&format!("{answer}\n"));
    }
    let Answer { fields, values } = answer::read(answer)?;
    if args.field.is_some() {
        return values.unwrap_or_default().iter().try_for_each(|value| console.data(&format!("{value}\n")));
    }
    let mut fields = fields.unwrap_or_default();
    fields.sort_by(|a, b| a.label.cmp(&b.label));
    let (on, off) = if is_colored(cli.output.color, console) { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    fields.iter().try_for_each(|Field { label, kind, cardinality }| {
        console.data(&format!("label: {on}{label}{off}  type: {on}{kind}{off}  cardinality: {on}{cardinality}{off}\n"))
    })
}
