//! The command line: pushes files to a server and asks it questions.
//!
//! Standard output carries data only; the URL of each request, notices and errors go to standard error, each line behind a
//! timestamp. Exit codes: 0 done, 1 failure, 2 usage, 3 the server rejected the request, 4 no answer from the server.

mod answer;
pub mod args;
mod client;
mod console;
mod entries;
mod error;
mod explain;
mod fields;
mod highlight;
mod lookup;
mod paging;
mod progress;
mod push;
mod query;
mod settings;
mod size;
mod statistics;
mod tail;
mod time;
mod volume;

#[cfg(test)]
mod fake_server;
#[cfg(test)]
mod tests;

pub use console::{Console, SystemClock};

use args::{Ask, Cli};
use client::Client;
use error::CliError;

/// Runs one command and returns the exit code of the process. Errors are told on standard error.
pub fn run(cli: &Cli, ask: &Ask, console: &mut Console) -> u8 {
    let result = execute(cli, ask, console).and_then(|code| console.flush().map(|()| code));
    match result {
        Ok(code) => code,
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            console.notice(&error.to_string());
            error.exit_code()
        }
    }
}

fn execute(cli: &Cli, ask: &Ask, console: &mut Console) -> Result<u8, CliError> {
    let client = Client::new(&cli.connection, cli.output.quiet)?;
    match ask {
        Ask::Push(args) => return push::run(&client, args, cli, console),
        Ask::Query(args) => query::range(&client, args, cli, console)?,
        Ask::Tail(args) => tail::run(&client, args, cli, console)?,
        Ask::InstantQuery(args) => query::instant(&client, args, cli, console)?,
        Ask::Labels(args) => lookup::labels(&client, args, cli, console)?,
        Ask::Series(args) => lookup::series(&client, args, cli, console)?,
        Ask::Stats(args) => lookup::stats(&client, args, cli, console)?,
        Ask::Volume(args) => volume::instant(&client, args, cli, console)?,
        Ask::VolumeRange(args) => volume::range(&client, args, cli, console)?,
        Ask::DetectedFields(args) => fields::run(&client, args, cli, console)?,
    }
    Ok(0)
}
