//! `skald fsck`: reads everything in a data directory and says what is not as it was written, or builds indexes and manifests anew.

mod cache;
mod objects;
mod wal;

use crate::cli::args::FsckArgs;
use cache::check_cache;
use objects::{Store, Totals};
use skald_config::{Config, Mode, Source, StoreUrl};
use skald_model::DiskId;
use skald_model::seam::{Disk, Random};
use skald_runtime::{OsRandom, StdDisk, chain};
use skald_store::DataDir;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
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

/// What is looked at: the configuration of the server that uses it, and its data directory, held.
struct Target {
    config: Config,
    /// A bucket needs none.
    data_dir: Option<DataDir>,
    disk_id: DiskId,
}

impl Target {
    fn open(args: &FsckArgs) -> Result<Self, Failure> {
        let config = skald_config::load(&source(args), &StdDisk)?.config;
        let (path, random) = (&config.storage.data_dir, OsRandom::new()?);
        let is_there = StdDisk.list(path).map(|entries| entries.iter().any(|entry| entry.name == "skald"));
        let data_dir = match is_there {
            Ok(true) => Some(DataDir::open(&StdDisk, path, &random)?),
            _ if matches!(config.store_url(), Some(StoreUrl::S3(_))) => None,
            Ok(false) => return Err(format!("'{}' is not a data directory", path.display()).into()),
            Err(error) => return Err(format!("list '{}': {error}", path.display()).into()),
        };
        let disk_id = data_dir.as_ref().map_or_else(|| DiskId(random.next_id()), DataDir::disk_id);
        Ok(Target { config, data_dir, disk_id })
    }

    /// The bucket, when that is where the objects go.
    async fn bucket(&self) -> Result<Option<Store>, Failure> {
        match self.config.store_url() {
            Some(StoreUrl::S3(url)) => Ok(Some(Store::of_bucket(&url, &self.config.storage.s3, self.disk_id).await?)),
            Some(StoreUrl::File(_)) | None => Ok(None),
        }
    }
}

/// Where the configuration comes from, as for `skald serve`.
fn source(args: &FsckArgs) -> Source {
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
    if let Some(dir) = &args.wal_dir {
        source = source.flag("--wal-dir", "ingester.wal.dir", dir.display());
    }
    source
}

async fn check(args: &FsckArgs) -> Result<Report, Failure> {
    let target = Target::open(args)?;
    let mut report = Report::default();
    let bucket = target.bucket().await?;
    let is_bucket = bucket.is_some();
    if let Some(bucket) = bucket {
        let checked = bucket.check(&mut report).await;
        bucket.close().await;
        checked?;
    }
    if target.data_dir.is_none() {
        return Ok(report);
    }
    // In front of a bucket, what is to be uploaded.
    let objects = target.config.objects_dir();
    // A folder that somebody named has to be there.
    let is_named = matches!(target.config.store_url(), Some(StoreUrl::File(_)));
    if is_named || StdDisk.list(&objects).is_ok() {
        Store::of_files(&objects, target.disk_id, false).await?.check(&mut report).await?;
    } else if !is_bucket {
        report.absent.push(objects);
    }
    let cache = target.config.cache_dir();
    if StdDisk.list(&cache).is_ok() {
        check_cache(&cache, "", &mut report);
    }
    let wal = target.config.wal_dir();
    if StdDisk.list(&wal).is_ok() {
        check_wal(Arc::new(StdDisk), &wal, target.disk_id, &mut report);
    } else {
        report.absent.push(wal);
    }
    Ok(report)
}

async fn rebuild(args: &FsckArgs) -> Result<Totals, Failure> {
    let target = Target::open(args)?;
    let store = match target.bucket().await? {
        Some(bucket) => bucket,
        None => {
            let objects = target.config.objects_dir();
            StdDisk.list(&objects).map_err(|error| format!("list '{}': {error}", objects.display()))?;
            Store::of_files(&objects, target.disk_id, true).await?
        }
    };
    let totals = store.rebuild(|line| say(&line)).await;
    store.close().await;
    Ok(totals)
}
