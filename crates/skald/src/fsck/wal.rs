//! The write-ahead log.

use super::Report;
use skald_model::DiskId;
use skald_model::seam::Disk;
use skald_runtime::chain;
use skald_wal::{SealedGeneration, Wal, WalConfig};
use std::path::Path;
use std::sync::Arc;

/// Checks every record of the log.
pub(super) fn check_wal(disk: Arc<dyn Disk>, dir: &Path, disk_id: DiskId, report: &mut Report) {
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
