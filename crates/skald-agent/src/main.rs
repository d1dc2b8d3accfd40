//! `skald-agent`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    skald_agent::app::run(std::env::args().skip(1))
}
