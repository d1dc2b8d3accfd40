//! `skald fsck`: reads everything in a data directory and says what is not as it was written, or builds indexes and manifests anew.

mod cache;
mod objects;
mod wal;

use crate::cli::args::FsckArgs;
use cache::check_cache;
use objects::{Store, Totals};
use skald_config::StoreUrl;
use skald_model::seam::Disk;
use skald_runtime::{OsRandom, StdDisk, chain};
use skald_store::DataDir;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use wal::check_wal;

type Failure = Box<dyn Error + Send + Sync>;

/// What was read, and what of it is bad.
#[derive(Default)]
struct Report {
    objects: usize,
    object_bytes: u64,
    tables: usize,
    records: u64,
    /// Objects in the cache.
    copies: usize,
    bad: Vec<String>,
    /// Folders that are not where a data directory has them: the configuration puts them elsewhere.
    absent: Vec<PathBuf>,
}

/// Checks `args.data_dir`, or rebuilds its store. Exits with 0 when all is well, 1 when something is bad or cannot be read.
pub fn run(args: &FsckArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    if args.rebuild {
        return match runtime.block_on(rebuild(args)) {
            Ok(totals) => {
                say(&totals.to_string());
                if totals.damaged + totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => failed(error.as_ref()),
        };
    }
    match runtime.block_on(check(args)) {
        Ok(report) => {
            report.bad.iter().for_each(|bad| say(&format!("bad: {bad}")));
            report.absent.iter().for_each(|absent| say(&format!("not checked: there is no '{}'", absent.display())));
            let Report { objects, object_bytes, tables, records, copies, bad, .. } = &report;
            let copies = if *copies > 0 { format!(", {copies} copies in the cache") } else { String::new() };
            say(&format!(
                "checked {objects} data objects ({object_bytes} bytes) in {tables} tables{copies} and {records} records of the log: {} bad",
                bad.len()
            ));
            if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => failed(error.as_ref()),
    }
}

/// A report that cannot be written has no reader; the exit code still tells.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "fsck: {}", chain(error));
    ExitCode::FAILURE
}

/// The data directory, held, and where its objects lie.
fn open(args: &FsckArgs) -> Result<(DataDir, StoreUrl), Failure> {
    let path = &args.data_dir;
    let entries = StdDisk.list(path).map_err(|error| format!("list '{}': {error}", path.display()))?;
    if !entries.iter().any(|entry| entry.name == "skald") {
        return Err(format!("'{}' is not a data directory", path.display()).into());
    }
    let data_dir = DataDir::open(&StdDisk, path, &OsRandom::new()?)?;
    let objects = match &args.storage {
        None => StoreUrl::File(path.join("objects")),
        Some(url) => url.parse().map_err(|error| format!("--storage: {error}"))?,
    };
    Ok((data_dir, objects))
}

/// The folder of a store of local files that is not there.
fn absent(objects: &StoreUrl) -> Option<(&Path, std::io::Error)> {
    match objects {
        StoreUrl::File(path) => StdDisk.list(path).err().map(|error| (path.as_path(), error)),
        StoreUrl::S3(_) => None,
    }
}

async fn check(args: &FsckArgs) -> Result<Report, Failure> {
    let (data_dir, objects) = open(args)?;
    let mut report = Report::default();
    match absent(&objects) {
        Some((path, _)) if args.storage.is_none() => report.absent.push(path.to_owned()),
        _ => {
            let store = Store::open(&objects, data_dir.disk_id(), false).await?;
            let checked = store.check(&mut report).await;
            store.close().await?;
            checked?;
        }
    }
    let cache = args.data_dir.join("cache");
    if StdDisk.list(&cache).is_ok() {
        check_cache(&cache, "", &mut report);
    }
    let wal = args.wal_dir.clone().unwrap_or_else(|| args.data_dir.join("wal"));
    if StdDisk.list(&wal).is_ok() {
        check_wal(Arc::new(StdDisk), &wal, data_dir.disk_id(), &mut report);
    } else {
        report.absent.push(wal);
    }
    Ok(report)
}

async fn rebuild(args: &FsckArgs) -> Result<Totals, Failure> {
    let (data_dir, objects) = open(args)?;
    if let Some((path, error)) = absent(&objects) {
        return Err(format!("list '{}': {error}", path.display()).into());
    }
    let store = Store::open(&objects, data_dir.disk_id(), true).await?;
    let totals = store.rebuild(|line| say(&line)).await;
    store.close().await?;
    Ok(totals)
}
