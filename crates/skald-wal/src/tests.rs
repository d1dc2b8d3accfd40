mod append;
mod crash;
mod damage;
mod follow;
mod open;
mod random;

use crate::{Record, ReplayReport, SealedGeneration, Wal, WalConfig, WalError};
use skald_model::seam::Disk;
use skald_model::{DiskId, Generation};
use skald_testkit::SimDisk;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DISK_ID: DiskId = DiskId(0x1234_5678_9abc_def0);
const DIR: &str = "/data/wal";

/// Small segments, so that a few records fill one.
const SMALL: WalConfig = WalConfig { segment_size: 300, record_size_max: 1000 };

fn open(disk: &Arc<SimDisk>) -> (Wal, Vec<SealedGeneration>) {
    try_open(disk).unwrap()
}

fn try_open(disk: &Arc<SimDisk>) -> Result<(Wal, Vec<SealedGeneration>), WalError> {
    Wal::open(disk.clone(), Path::new(DIR), DISK_ID, SMALL)
}

/// All records of a generation, and the report.
fn replay(sealed: &SealedGeneration) -> (Vec<Record>, ReplayReport) {
    let (mut replay, mut records) = (sealed.replay(), Vec::new());
    while let Some(record) = replay.next_record().unwrap() {
        records.push(record);
    }
    assert_eq!(replay.next_record().unwrap(), None);
    (records, replay.report().clone())
}

/// The bodies of the one generation there is, as text, and the report.
fn replay_only(disk: &Arc<SimDisk>) -> (Vec<String>, ReplayReport) {
    let (_, sealed) = open(disk);
    assert_eq!(sealed.len(), 1);
    let (records, report) = replay(&sealed[0]);
    (texts(&records), report)
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.body.to_vec()).unwrap()).collect()
}

/// Writes each group into a new generation.
fn write(disk: &Arc<SimDisk>, groups: &[&[&str]]) -> Generation {
    let mut writer = open(disk).0.begin_generation().unwrap();
    groups.iter().for_each(|group| writer.append(group).unwrap());
    writer.generation()
}

fn segment(generation: u64, segment: u64) -> PathBuf {
    Path::new(DIR).join(format!("{generation:010}/{segment:06}.wal"))
}

/// Names in the log's directory, or in a folder of it.
fn names(disk: &SimDisk, folder: &str) -> Vec<String> {
    disk.list(&Path::new(DIR).join(folder)).unwrap().into_iter().map(|entry| entry.name).collect()
}
