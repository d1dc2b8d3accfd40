//! Segments of the write-ahead log, and what is appended to them.

use crate::Target;
use skald_model::DiskId;
use skald_model::seam::Disk;
use skald_testkit::SimDisk;
use skald_wal::{Record, ReplayReport, Wal, WalConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DISK_ID: DiskId = DiskId(7);
const CONFIG: WalConfig = WalConfig { segment_size: 1 << 20, record_size_max: 1 << 20 };
const SEGMENT_HEADER_LEN: usize = 56;
const RECORD_HEADER_LEN: usize = 24;

pub(crate) const SEGMENT: Target = Target {
    name: "wal-segment",
    about: "a segment of the log, as it is and with its checksums put right; every byte is accounted for",
    seeds: || vec![segment(&[&b"first"[..], b"", &[7; 300], b"last"]), segment(&crate::frame::seeds())],
    tokens: &["\u{0}", "Sk"],
    run: |bytes| {
        replay(bytes);
        let mut sealed = bytes.to_vec();
        put_checksums_right(&mut sealed);
        replay(&sealed);
    },
};

pub(crate) const BODIES: Target = Target {
    name: "wal-append",
    about: "records, each after a line feed; what was appended is replayed",
    seeds: || vec![b"one\ntwo\n\nfour".to_vec(), vec![0xf5; 100]],
    tokens: &["\n", "SKALDWAL"],
    run: |bytes| {
        let bodies: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').take(1000).collect();
        let (records, report) = replay(&segment(&bodies));
        assert!(records.iter().map(|record| &record.body[..]).eq(bodies));
        assert!(report.is_clean());
    },
};

fn path() -> PathBuf {
    Path::new("wal").join("0000000001/000000.wal")
}

/// A log of one generation and one segment.
fn log(bodies: &[impl AsRef<[u8]>]) -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let (wal, _) = Wal::open(disk.clone(), Path::new("wal"), DISK_ID, CONFIG).expect("an empty disk");
    wal.begin_generation().expect("the disk works").append(bodies).expect("the disk works");
    disk
}

fn segment(bodies: &[impl AsRef<[u8]>]) -> Vec<u8> {
    log(bodies).read(&path()).expect("it was written")
}

/// Replays a log whose only segment has these bytes.
fn replay(bytes: &[u8]) -> (Vec<Record>, ReplayReport) {
    let disk = log(&[b"x"]);
    disk.plant(&path(), bytes);
    let Ok((_, sealed)) = Wal::open(disk, Path::new("wal"), DISK_ID, CONFIG) else { return Default::default() };
    let (mut replay, mut records) = (sealed[0].replay(), Vec::new());
    loop {
        match replay.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => break,
            Err(error) => {
                drop((error.kind(), error.to_string()));
                return Default::default();
            }
        }
    }
    let report = replay.report().clone();
    let records_len = report.records * RECORD_HEADER_LEN as u64 + report.body_bytes;
    let header = sealed[0].bytes() - records_len - report.corrupt_bytes - report.torn_tail_bytes;
    assert!(header == 0 || header == SEGMENT_HEADER_LEN as u64, "{header} bytes are not accounted for: {report:?}");
    assert_eq!(report.records, records.len() as u64);
    (records, report)
}

/// Makes the header of the segment right, and every record that stands where one is expected.
fn put_checksums_right(bytes: &mut [u8]) {
    if bytes.len() < SEGMENT_HEADER_LEN {
        return;
    }
    let mut place = DISK_ID.0.to_le_bytes().to_vec();
    place.extend_from_slice(&1u64.to_le_bytes());
    place.extend_from_slice(&0u64.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..52]);
    bytes[52..56].copy_from_slice(&crc.to_le_bytes());
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(header) = bytes.get(at..at + RECORD_HEADER_LEN) {
        let len = u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
        let body_crc = bytes.get(at + RECORD_HEADER_LEN..at + RECORD_HEADER_LEN + len).map(crc32fast::hash);
        bytes[at..at + 4].copy_from_slice(&[0xf5, b'S', b'k', 0xa1]);
        bytes[at + 16..at + 20].copy_from_slice(&body_crc.unwrap_or_default().to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&place);
        hasher.update(&(at as u64).to_le_bytes());
        hasher.update(&bytes[at..at + 20]);
        bytes[at + 20..at + 24].copy_from_slice(&hasher.finalize().to_le_bytes());
        at += RECORD_HEADER_LEN + len;
    }
}
