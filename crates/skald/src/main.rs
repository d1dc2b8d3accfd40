//! `skald`: the server in one process, and the command line. Installed under the name `logcli` it is the same program.

mod cli;
mod fsck;
mod serve;
mod storage;

use cli::args::{Ask, Cli, Command, ConfigArgs, ServeArgs};
use skald_config::{Mode, Source};
use skald_runtime::StdDisk;
use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// Entries are allocated by the threads that take pushes and freed by those that flush: jemalloc gives such memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Freed memory goes back to the system within half a second. No huge pages: they keep memory that is mostly free.
#[allow(unsafe_code, reason = "jemalloc reads its options from a symbol of this name")]
// SAFETY: the symbol is jemalloc's own for this, a pointer to a text that ends with a zero byte and lives as long as the process.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_OPTIONS: &[u8; 69] = b"thp:never,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    let args = match cli::args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    match &args.command {
        Command::Serve(serve) => skald_runtime::run("skald", source(serve), serve::start),
        Command::Config(config) => print_config(config),
        Command::Fsck(fsck) => fsck::run(fsck),
        Command::Ask(ask) => run_command_line(&args, ask),
    }
}

/// Where the configuration of the server comes from: what flags say comes last.
fn source(args: &ServeArgs) -> Source {
    let mut source = Source::new(Mode::SingleProcess);
    if let Some(file) = &args.config {
        source = source.file(file);
    }
    if let Some(dir) = &args.data_dir {
        source = source.flag("--data-dir", "storage.data_dir", dir.display());
    }
    if let Some(url) = &args.storage {
        source = source.flag("--storage", "storage.url", url);
    }
    if let Some(address) = &args.http_listen {
        source = source.flag("--http-listen", "server.http_listen_address", address.ip());
        source = source.flag("--http-listen", "server.http_listen_port", address.port());
    }
    if let Some(address) = &args.grpc_listen {
        source = source.flag("--grpc-listen", "server.grpc_listen_address", address.ip());
        source = source.flag("--grpc-listen", "server.grpc_listen_port", address.port());
    }
    source
}

fn print_config(args: &ConfigArgs) -> ExitCode {
    let mut source = Source::new(Mode::SingleProcess);
    if let Some(file) = &args.config {
        source = source.file(file);
    }
    let (text, code) = match skald_config::load(&source, &StdDisk) {
        Ok(loaded) => (skald_config::render(&loaded.config), ExitCode::SUCCESS),
        Err(error) => {
            // When even that fails there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{}", skald_runtime::chain(&error));
            return ExitCode::from(2);
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run_command_line(args: &Cli, ask: &Ask) -> ExitCode {
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
    ExitCode::from(cli::run(args, ask, &mut console))
}
