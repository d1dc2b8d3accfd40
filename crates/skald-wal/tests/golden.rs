//! The bytes of the log stay as `docs/formats/wal.md` says: logs that earlier releases wrote are read, and this release writes the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use skald_model::DiskId;
use skald_model::seam::Disk;
use skald_testkit::SimDisk;
use skald_wal::{Wal, WalConfig};
use std::path::Path;
use std::sync::Arc;

const DISK_ID: DiskId = DiskId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
const CONFIG: WalConfig = WalConfig { segment_size: 200, record_size_max: 100 };
const BODIES: [&str; 4] = ["first", "", "third, with a byte that is not ASCII: é", "fourth, on the second segment"];

/// Path in the log, and bytes.
const V1: [(&str, &[u8]); 3] = [
    ("next-generation", include_bytes!("golden/v1/next-generation")),
    ("0000000001/000000.wal", include_bytes!("golden/v1/0000000001/000000.wal")),
    ("0000000001/000001.wal", include_bytes!("golden/v1/0000000001/000001.wal")),
];

fn written() -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let (wal, _) = Wal::open(disk.clone(), Path::new("wal"), DISK_ID, CONFIG).unwrap();
    let mut writer = wal.begin_generation().unwrap();
    writer.append(&BODIES[..2]).unwrap();
    writer.append(&BODIES[2..3]).unwrap();
    writer.append(&BODIES[3..]).unwrap();
    disk
}

#[test]
fn this_release_writes_version_1() {
    let disk = written();
    for (name, golden) in V1 {
        let bytes = disk.read(&Path::new("wal").join(name)).unwrap();
        assert!(
            bytes == golden,
            "{name} changed; a new format needs a new version, its own golden files and an entry in docs/formats/wal.md"
        );
    }
}

#[test]
fn version_1_is_read() {
    let disk = SimDisk::new();
    for (name, golden) in V1 {
        disk.plant(&Path::new("wal").join(name), golden);
    }
    let (wal, sealed) = Wal::open(disk, Path::new("wal"), DISK_ID, CONFIG).unwrap();
    let (mut replay, mut found) = (sealed[0].replay(), Vec::new());
    while let Some(record) = replay.next_record().unwrap() {
        found.push(String::from_utf8(record.body.to_vec()).unwrap());
    }
    assert_eq!(found, BODIES);
    assert!(replay.report().is_clean());
    assert_eq!(wal.begin_generation().unwrap().generation().0, 2);
}

/// With `SKALD_WRITE_GOLDEN` set the files are made anew, for a new version of the format.
#[test]
#[expect(clippy::disallowed_methods, reason = "golden files lie in the source tree, not on a disk of the log's")]
fn golden_files_are_there() {
    let (disk, root) = (written(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1"));
    for (name, _) in V1 {
        let path = root.join(name);
        if std::env::var_os("SKALD_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, disk.read(&Path::new("wal").join(name)).unwrap()).unwrap();
        }
        assert!(path.is_file(), "{name}");
    }
}
