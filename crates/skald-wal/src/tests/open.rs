use super::*;
use crate::format::{NextGeneration, SegmentHeader, SegmentId};
use skald_model::ErrorKind;
use skald_testkit::Op;

#[test]
fn generations_are_found_in_order_and_counted() {
    let disk = SimDisk::new();
    write(&disk, &[&["a"]]);
    write(&disk, &[&["bb"]]);
    let (wal, sealed) = open(&disk);
    let numbers: Vec<_> = sealed.iter().map(|sealed| sealed.generation().0).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(wal.generations(), [(Generation(1), 81), (Generation(2), 82)]);
    assert_eq!(wal.bytes(), 163);
    let mut writer = wal.begin_generation().unwrap();
    writer.append(&["ccc"]).unwrap();
    assert_eq!((writer.generation(), wal.bytes()), (Generation(3), 163 + 83));
    wal.remove_generation(Generation(1)).unwrap();
    assert_eq!(wal.generations(), [(Generation(2), 82), (Generation(3), 83)]);
}

#[test]
fn removal_may_be_repeated() {
    let disk = SimDisk::new();
    let generation = write(&disk, &[&["a"]]);
    let (wal, _) = open(&disk);
    for op in [Op::Rename, Op::SyncDir, Op::Remove] {
        disk.fail_nth(op, 1);
        wal.remove_generation(generation).unwrap_err();
        assert_eq!(wal.bytes(), 81, "what may still be on the disk is counted");
    }
    for _ in 0..2 {
        wal.remove_generation(generation).unwrap();
        assert_eq!((names(&disk, ""), wal.bytes()), (vec!["next-generation".to_owned()], 0));
    }
    wal.remove_generation(Generation(99)).unwrap();
}

#[test]
fn a_half_removed_generation_is_removed_at_open_and_its_number_stays_used() {
    let disk = SimDisk::new();
    write(&disk, &[&["a"], &["b"]]);
    disk.rename(&Path::new(DIR).join("0000000001"), &Path::new(DIR).join("0000000001.removed")).unwrap();
    let (wal, sealed) = open(&disk);
    assert!(sealed.is_empty());
    assert_eq!(names(&disk, ""), ["next-generation"]);
    assert_eq!(wal.begin_generation().unwrap().generation(), Generation(2));
}

#[test]
fn a_number_is_not_used_again_when_all_generations_are_gone() {
    let disk = SimDisk::new();
    for number in 1..5 {
        let (wal, sealed) = open(&disk);
        assert!(sealed.is_empty());
        let generation = wal.begin_generation().unwrap().generation();
        assert_eq!(generation, Generation(number));
        wal.remove_generation(generation).unwrap();
        disk.power_cut(number);
    }
}

#[test]
fn a_failed_begin_does_not_use_a_number_twice() {
    for op in [Op::Create, Op::Append, Op::Sync, Op::Rename, Op::SyncDir, Op::CreateDir] {
        let disk = SimDisk::new();
        let (wal, _) = open(&disk);
        disk.fail_nth(op, 1);
        wal.begin_generation().unwrap_err();
        let generation = wal.begin_generation().unwrap().generation();
        let (wal, _) = open(&disk);
        assert!(wal.begin_generation().unwrap().generation() > generation, "after a failed {op:?}");
    }
}

#[track_caller]
fn check_refused(disk: &Arc<SimDisk>, kind: ErrorKind, message: &str) {
    let error = try_open(disk).expect_err("is refused");
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
}

#[test]
fn a_number_that_could_be_used_twice_is_not_guessed() {
    let message =
        "number of the next generation cannot be read from '/data/wal/next-generation'; restore it, or begin with a new data directory";
    let file = Path::new(DIR).join("next-generation");
    let disk = SimDisk::new();
    write(&disk, &[&["a"]]);
    disk.flip_bit(&file, 30, 0);
    open(&disk);
    disk.flip_bit(&file, 4096 + 30, 0);
    check_refused(&disk, ErrorKind::Corrupt, message);
    disk.truncate(&file, 0);
    check_refused(&disk, ErrorKind::Corrupt, message);
    disk.remove_file(&file).unwrap();
    check_refused(&disk, ErrorKind::Corrupt, message);
    disk.plant(&file, &NextGeneration { version: 1, disk: DISK_ID, next: Generation(1) }.encode());
    let (wal, _) = open(&disk);
    assert_eq!(wal.begin_generation().unwrap().generation(), Generation(2), "a folder uses its number too");
}

#[test]
fn the_last_number_is_refused_and_does_not_wrap() {
    let disk = SimDisk::new();
    disk.plant(&Path::new(DIR).join("next-generation"), &NextGeneration { version: 1, disk: DISK_ID, next: Generation(u64::MAX) }.encode());
    let error = open(&disk).0.begin_generation().expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_log_of_another_disk_or_a_newer_release_is_refused() {
    let file = Path::new(DIR).join("next-generation");
    let disk = SimDisk::new();
    write(&disk, &[&["a"]]);
    let number = NextGeneration { version: 1, disk: DiskId(5), next: Generation(9) };
    disk.plant(&file, &number.encode());
    let message = format!("'/data/wal/next-generation' belongs to disk {}, not to {DISK_ID}", DiskId(5));
    check_refused(&disk, ErrorKind::InvalidInput, &message);
    disk.plant(&file, &NextGeneration { version: 2, disk: DISK_ID, ..number }.encode());
    let message = "'/data/wal/next-generation' has format version 2, which this release does not know";
    check_refused(&disk, ErrorKind::NotImplemented, message);

    let disk = SimDisk::new();
    write(&disk, &[&["a"]]);
    let id = SegmentId { disk: DISK_ID, generation: Generation(1), segment: 1 };
    disk.plant(&segment(1, 1), &SegmentHeader { version: 2, id, first_sequence: 1 }.encode());
    let message = "'/data/wal/0000000001/000001.wal' has format version 2, which this release does not know";
    check_refused(&disk, ErrorKind::NotImplemented, message);
}

#[test]
fn what_is_not_ours_is_reported_and_left_alone() {
    let disk = SimDisk::new();
    write(&disk, &[&["a"]]);
    let id = SegmentId { disk: DiskId(5), generation: Generation(1), segment: 7 };
    let foreign = ["notes.txt", "0000000001/README", "0000000001/000007.wal", "lost+found/x", "12/000000.wal", "0000000004"];
    for name in foreign {
        disk.plant(&Path::new(DIR).join(name), &SegmentHeader { version: 1, id, first_sequence: 0 }.encode());
    }
    let (wal, sealed) = open(&disk);
    let reported: Vec<_> = wal.foreign().iter().map(|path| path.strip_prefix(DIR).unwrap().to_str().unwrap()).collect();
    assert_eq!(reported, ["0000000001/000007.wal", "0000000001/README", "0000000004", "12", "lost+found", "notes.txt"]);
    assert_eq!(replay(&sealed[0]).1.segments, 1);

    wal.remove_generation(Generation(1)).unwrap();
    let (wal, sealed) = open(&disk);
    assert!(sealed.is_empty());
    assert_eq!(names(&disk, "0000000001.removed"), ["000007.wal", "README"]);
    assert!(wal.foreign().contains(&Path::new(DIR).join("0000000001.removed/README")));
    for number in 0..200 {
        disk.plant(&Path::new(DIR).join(format!("x{number}")), b"");
    }
    assert_eq!(open(&disk).0.foreign().len(), 100);
}
