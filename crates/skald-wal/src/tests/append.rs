use super::*;
use skald_model::ErrorKind;
use skald_testkit::Op;

#[test]
fn records_come_back_in_order_with_their_positions() {
    let disk = SimDisk::new();
    write(&disk, &[&["a", "bb"], &[""], &["dddd"]]);
    let (_, sealed) = open(&disk);
    let (records, report) = replay(&sealed[0]);
    assert_eq!(texts(&records), ["a", "bb", "", "dddd"]);
    let places: Vec<_> = records.iter().map(|r| (r.sequence, r.position.segment, r.position.offset)).collect();
    assert_eq!(places, [(0, 0, 56), (1, 0, 81), (2, 0, 107), (3, 0, 131)]);
    assert_eq!(records[1].position.to_string(), "segment 0 offset 81");
    assert_eq!(report, ReplayReport { segments: 1, records: 4, body_bytes: 7, ..Default::default() });
    assert!(report.is_clean());
    assert_eq!(sealed[0].bytes(), 56 + 4 * 24 + 7);
}

#[test]
fn a_group_costs_one_write_and_one_sync() {
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    writer.append(&["first"]).unwrap();
    let before = (disk.count(Op::Append), disk.count(Op::Sync), disk.operations());
    writer.append(&["a", "b", "c"]).unwrap();
    assert_eq!((disk.count(Op::Append), disk.count(Op::Sync), disk.operations()), (before.0 + 1, before.1 + 1, before.2 + 2));
    writer.append::<&str>(&[]).unwrap();
    assert_eq!(disk.operations(), before.2 + 2, "a group of none costs nothing");
}

#[test]
fn a_new_segment_begins_when_a_group_does_not_fit_any_more() {
    let disk = SimDisk::new();
    let body = "x".repeat(76);
    let mut writer = open(&disk).0.begin_generation().unwrap();
    writer.append(&[&body, &body]).unwrap();
    writer.append(&[&body]).unwrap();
    assert_eq!(names(&disk, "0000000001"), ["000000.wal", "000001.wal"]);
    let long = "y".repeat(900);
    writer.append(&[&long]).unwrap();
    writer.append(&["z"]).unwrap();
    assert_eq!(names(&disk, "0000000001").len(), 4, "a record larger than a segment has one of its own");
    assert_eq!(writer.bytes(), 4 * 56 + 5 * 24 + 3 * 76 + 900 + 1);
    let (found, report) = replay_only(&disk);
    assert_eq!(found, [&*body, &body, &body, &long, "z"]);
    assert_eq!((report.segments, report.is_clean()), (4, true));
}

#[test]
fn records_larger_than_the_write_size_come_back_whole() {
    let disk = SimDisk::new();
    let config = WalConfig::default();
    let bodies: Vec<Vec<u8>> = [10, 3 << 20, 0, (1 << 20) - 1, 1 << 20, 700_000, 700_000].map(|len| vec![len as u8 ^ 0x5a; len]).into();
    let (wal, _) = Wal::open(disk.clone(), Path::new(DIR), DISK_ID, config).unwrap();
    wal.begin_generation().unwrap().append(&bodies).unwrap();
    let (_, sealed) = Wal::open(disk, Path::new(DIR), DISK_ID, config).unwrap();
    let (records, report) = replay(&sealed[0]);
    assert!(records.iter().map(|record| &record.body).eq(&bodies));
    assert!(report.is_clean());
}

#[test]
fn a_record_that_is_too_large_harms_nothing() {
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    writer.append(&["a"]).unwrap();
    let error = writer.append(&["b".to_owned(), "x".repeat(1001)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.to_string(), "record of 1001 bytes is larger than 1000 bytes");
    writer.append(&["c"]).unwrap();
    assert_eq!(names(&disk, "0000000001"), ["000000.wal"]);
    assert_eq!(replay_only(&disk).0, ["a", "c"]);
}

/// Appends "a", lets `fault` loose on "b", and appends "c". Gives what replay finds.
#[track_caller]
fn check_fault(fault: impl Fn(&SimDisk), first: bool, want: &[&str], segments: &[&str]) {
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    if !first {
        writer.append(&["a"]).unwrap();
    }
    fault(&disk);
    assert_eq!(writer.append(&["b", "b2"]).unwrap_err().kind(), ErrorKind::Unavailable);
    disk.set_free(1 << 20);
    writer.append(&["c"]).unwrap();
    assert_eq!(writer.records(), if first { 1 } else { 2 });
    assert_eq!(names(&disk, "0000000001"), segments);
    let on_disk: u64 = disk.list(&Path::new(DIR).join("0000000001")).unwrap().iter().map(|entry| entry.len).sum();
    assert_eq!(writer.bytes(), on_disk);
    let (found, report) = replay_only(&disk);
    assert_eq!(found, want);
    assert!(report.is_clean(), "what was not acknowledged is not missed: {report:?}");
}

#[test]
fn after_a_failed_sync_the_segment_is_given_up() {
    check_fault(|disk| disk.fail_nth(Op::Sync, 1), false, &["a", "b", "b2", "c"], &["000000.wal", "000001.wal"]);
    check_fault(|disk| disk.fail_nth(Op::Sync, 1), true, &["c"], &["000001.wal"]);
}

#[test]
fn after_a_failed_sync_of_the_folder_the_segment_is_given_up() {
    check_fault(|disk| disk.fail_nth(Op::SyncDir, 1), true, &["c"], &["000001.wal"]);
}

#[test]
fn a_short_write_tears_only_what_was_not_acknowledged() {
    for keep in 0..52 {
        let b: &[&str] = if keep < 25 {
            &["a", "c"]
        } else if keep < 51 {
            &["a", "b", "c"]
        } else {
            &["a", "b", "b2", "c"]
        };
        check_fault(|disk| disk.short_write(keep), false, b, &["000000.wal", "000001.wal"]);
    }
    check_fault(|disk| disk.short_write(30), true, &["c"], &["000001.wal"]);
}

#[test]
fn a_full_disk_fails_appends_until_there_is_room() {
    check_fault(|disk| disk.set_free(10), false, &["a", "c"], &["000000.wal", "000001.wal"]);
    check_fault(|disk| disk.set_free(0), true, &["c"], &["000001.wal"]);
}

#[test]
fn a_disk_that_stays_full_does_not_fill_with_segments() {
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    disk.set_free(20);
    for _ in 0..50 {
        writer.append(&["b"]).unwrap_err();
    }
    assert!(names(&disk, "0000000001").is_empty());
    assert_eq!(writer.bytes(), 0);
}

#[test]
fn a_segment_that_cannot_be_made_fails_the_append_alone() {
    check_fault(|disk| disk.fail_nth(Op::Create, 1), true, &["c"], &["000001.wal"]);
}

#[test]
fn a_failed_segment_that_comes_back_hides_nothing() {
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    disk.fail_nth(Op::SyncDir, 1);
    disk.fail_nth(Op::Remove, 1);
    writer.append(&["b"]).unwrap_err();
    writer.append(&["c", "d"]).unwrap();
    let (found, report) = replay_only(&disk);
    assert_eq!(found, ["b", "c", "d"]);
    assert!(report.is_clean());
}
