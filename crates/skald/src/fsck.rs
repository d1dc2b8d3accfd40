//! `skald fsck`: reads everything in a data directory and says what is not as it was written.

use crate::cli::args::FsckArgs;
use skald_block::verify_object;
use skald_model::DiskId;
use skald_model::seam::Disk;
use skald_runtime::{OsRandom, StdDisk, chain};
use skald_store::{DataDir, ObjectName};
use skald_wal::{SealedGeneration, Wal, WalConfig};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

type Failure = Box<dyn Error + Send + Sync>;

/// What was read, and what of it is bad.
#[derive(Default)]
struct Report {
    objects: usize,
    object_bytes: u64,
    records: u64,
    bad: Vec<String>,
    /// Folders that are not where a data directory has them: the configuration puts them elsewhere.
    absent: Vec<PathBuf>,
}

/// Checks `args.data_dir`. Exits with 0 when all is well, 1 when something is bad or cannot be read.
pub fn run(args: &FsckArgs) -> ExitCode {
    let result = check(args);
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    // A report that cannot be written has no reader; the exit code still tells.
    match result {
        Ok(report) => {
            for bad in &report.bad {
                let _ = writeln!(stdout, "bad: {bad}");
            }
            for absent in &report.absent {
                let _ = writeln!(stdout, "not checked: there is no '{}'", absent.display());
            }
            let Report { objects, object_bytes, records, bad, .. } = report;
            let _ = writeln!(
                stdout,
                "checked {objects} data objects ({object_bytes} bytes) and {records} records of the log: {} bad",
                bad.len()
            );
            if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(stderr, "fsck: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn check(args: &FsckArgs) -> Result<Report, Failure> {
    let path = &args.data_dir;
    let disk: Arc<dyn Disk> = Arc::new(StdDisk);
    let entries = disk.list(path).map_err(|error| format!("list '{}': {error}", path.display()))?;
    if !entries.iter().any(|entry| entry.name == "skald") {
        return Err(format!("'{}' is not a data directory", path.display()).into());
    }
    let data_dir = DataDir::open(disk.as_ref(), path, &OsRandom::new()?)?;
    let mut report = Report::default();
    let objects = match &args.storage {
        None => path.join("objects"),
        Some(url) => PathBuf::from(url.strip_prefix("file://").ok_or_else(|| format!("--storage '{url}': must be file:///directory"))?),
    };
    if args.storage.is_some() || entries.iter().any(|entry| entry.name == "objects") {
        check_objects(disk.as_ref(), &objects, String::new(), &mut report);
    } else {
        report.absent.push(objects);
    }
    let wal = args.wal_dir.clone().unwrap_or_else(|| path.join("wal"));
    if disk.list(&wal).is_ok() {
        check_wal(disk, &wal, data_dir.disk_id(), &mut report);
    } else {
        report.absent.push(wal);
    }
    Ok(report)
}

/// Checks every record of the log.
fn check_wal(disk: Arc<dyn Disk>, dir: &Path, disk_id: DiskId, report: &mut Report) {
    match Wal::open(disk, dir, disk_id, WalConfig::default()) {
        Ok((_wal, generations)) => generations.iter().for_each(|generation| check_generation(generation, report)),
        Err(error) => report.bad.push(format!("the log: {}", chain(&error))),
    }
}

fn check_generation(generation: &SealedGeneration, report: &mut Report) {
    let (number, mut replay) = (generation.generation(), generation.replay());
    loop {
        match replay.next_record() {
            Ok(Some(record)) => {
                report.records += 1;
                if let Err(error) = skald_proto::decode_frame(record.body) {
                    report.bad.push(format!("generation {number}, {}: {error}", record.position));
                }
            }
            Ok(None) => break,
            Err(error) => {
                report.bad.push(format!("generation {number}: {}", chain(&error)));
                break;
            }
        }
    }
    for range in &replay.report().corrupt {
        let (segment, offset, len) = (range.segment, range.offset, range.len);
        report.bad.push(format!("generation {number}, segment {segment} offset {offset}: {len} bytes are damaged"));
    }
    let missing = replay.report().missing_records;
    if missing > 0 {
        report.bad.push(format!("generation {number}: {missing} records are missing"));
    }
}

/// Checks every object below a folder; `prefix` is the folder's name in the store.
fn check_objects(disk: &dyn Disk, folder: &Path, prefix: String, report: &mut Report) {
    let entries = match disk.list(folder) {
        Ok(entries) => entries,
        Err(error) => {
            report.bad.push(format!("'{}': {error}", folder.display()));
            return;
        }
    };
    for entry in entries {
        let (path, name): (PathBuf, String) = (folder.join(&entry.name), format!("{prefix}{}", entry.name));
        // The store's own: its lock, and what a put that was cut short left behind.
        if name.starts_with('~') {
            continue;
        }
        if entry.is_dir {
            check_objects(disk, &path, format!("{name}/"), report);
            continue;
        }
        if name.parse::<ObjectName>().is_err() {
            report.bad.push(format!("{name}: not the name of a data object"));
            continue;
        }
        report.objects += 1;
        report.object_bytes += entry.len;
        match disk.read(&path) {
            Ok(bytes) => report.bad.extend(verify_object(&bytes.into()).iter().map(|error| format!("{name}: {error}"))),
            Err(error) => report.bad.push(format!("{name}: {error}")),
        }
    }
}
