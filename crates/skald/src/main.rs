//! `skald`: the command line. Installed under the name `logcli` it is the same program.

mod cli;

use std::io::{BufWriter, IsTerminal};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match cli::args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let mut console = cli::Console {
        stdin: Box::new(std::io::stdin().lock()),
        stdout_is_terminal: stdout.is_terminal(),
        stderr_is_terminal: stderr.is_terminal(),
        no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
        stdout: Box::new(BufWriter::new(stdout.lock())),
        stderr: Box::new(stderr),
        clock: Box::new(cli::SystemClock),
    };
    ExitCode::from(cli::run(&args, &mut console))
}
