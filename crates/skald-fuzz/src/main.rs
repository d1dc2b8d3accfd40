//! Runs decoders and parsers on many damaged inputs: `make fuzz`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command for people, which looks at its own process"
)]

use clap::Parser;
use skald_fuzz::{CASE_SECONDS_MAX, PEAK_MIB_MAX, Run, TARGETS, Target, target};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Runs decoders and parsers on damaged inputs, and prints for each what it took.
#[derive(Debug, Parser)]
struct Args {
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
    /// Inputs of each target.
    #[arg(long, default_value_t = 10_000)]
    cases: u64,
    /// Decides the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first input.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Gives the target this file, and nothing else.
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
    /// Writes the inputs that targets start from into folders named after them, for libFuzzer, and does nothing else.
    #[arg(long)]
    write_seeds: Option<PathBuf>,
    /// Prints the number of each case before it runs, for one that ends the process.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let targets: Vec<&Target> = match &args.target {
        Some(name) => {
            let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
            vec![target(name).ok_or_else(|| format!("no target '{name}'; there are {}", names()))?]
        }
        None => TARGETS.iter().collect(),
    };
    if let Some(folder) = &args.write_seeds {
        return targets.iter().try_for_each(|target| write_seeds(target, &folder.join(target.name)));
    }
    if let Some(path) = &args.input {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        targets.iter().for_each(|target| (target.run)(&bytes));
        println!("no promise is broken");
        return Ok(());
    }
    let run = Run { seed: args.seed, cases: args.first..args.first.saturating_add(args.cases) };
    println!("{:<16} {:>9} {:>9} {:>11} {:>9}", "target", "cases", "seconds", "slowest ms", "peak MiB");
    targets.iter().try_for_each(|target| run_target(target, &run, args.verbose))
}

fn run_target(target: &'static Target, run: &Run, verbose: bool) -> Result<(), String> {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    reset_peak();
    let ended = Arc::new(AtomicBool::new(false));
    watch(target.name, run.seed, &BEGUN, ended.clone());
    let outcome = run.of(target, |case, _| {
        BEGUN.store(case, Ordering::Relaxed);
        if verbose {
            eprintln!("{} {case}", target.name);
        }
    });
    ended.store(true, Ordering::Relaxed);
    let outcome = outcome.map_err(|failure| failure.to_string())?;
    let (slowest, peak, case) = (outcome.slowest.0, peak_mib(), outcome.slowest.1);
    let cases = run.cases.end - run.cases.start;
    println!("{:<16} {cases:>9} {:>9.1} {:>11} {peak:>9}", target.name, outcome.took.as_secs_f64(), slowest.as_millis());
    if slowest.as_secs() > CASE_SECONDS_MAX {
        return Err(format!("{} takes {slowest:?} for case {case}", target.name));
    }
    if peak > PEAK_MIB_MAX {
        return Err(format!("{} takes {peak} MiB for inputs of 64 KiB", target.name));
    }
    Ok(())
}

/// Ends the process when a case does not end.
fn watch(name: &'static str, seed: u64, begun: &'static AtomicU64, ended: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let (mut last, mut seconds) = (u64::MAX, 0);
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(1));
            let case = begun.load(Ordering::Relaxed);
            seconds = if case == last { seconds + 1 } else { 0 };
            last = case;
            if seconds > 6 * CASE_SECONDS_MAX && !ended.load(Ordering::Relaxed) {
                eprintln!("{name} hangs\nmake it again: make fuzz TARGET={name} SEED={seed} FIRST={case} CASES=1");
                std::process::exit(1);
            }
        }
    });
}

fn write_seeds(target: &Target, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let seeds = (target.seeds)();
    seeds.iter().enumerate().try_for_each(|(i, seed)| std::fs::write(folder.join(format!("{i:04}")), seed)).map_err(failed)
}

/// Has the kernel forget the most memory that this process had, where it can.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most resident memory since then; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib / 1024)
}
