use super::*;
use crate::CorruptRange;
use skald_testkit::Op;

/// One segment that holds three records: at 56 (24 + 5), at 85 (24 + 6), at 115 (24 + 5).
fn three_records() -> Arc<SimDisk> {
    let disk = SimDisk::new();
    write(&disk, &[&["first", "second", "third"]]);
    disk
}

const SECOND: u64 = 85;
const THIRD: u64 = 115;
const END: u64 = 144;

#[test]
fn a_tail_torn_at_any_byte_costs_only_the_last_record() {
    for len in THIRD..END {
        let disk = three_records();
        disk.truncate(&segment(1, 0), len);
        let (found, report) = replay_only(&disk);
        assert_eq!(found, ["first", "second"], "torn at {len}");
        assert_eq!((report.torn_tail_bytes, report.is_clean()), (len - THIRD, true));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_record_costs_only_that_record() {
    for offset in SECOND..THIRD {
        for bit in 0..8 {
            let disk = three_records();
            disk.flip_bit(&segment(1, 0), offset, bit);
            let (found, report) = replay_only(&disk);
            assert_eq!(found, ["first", "third"], "bit {bit} of {offset}");
            assert_eq!(report.corrupt, [CorruptRange { segment: 0, offset: SECOND, len: THIRD - SECOND }]);
            assert_eq!((report.corrupt_ranges, report.corrupt_bytes, report.missing_records), (1, 30, 1));
            assert!(!report.is_clean());
        }
    }
}

#[test]
fn a_damaged_segment_header_costs_no_record() {
    for offset in 0..56 {
        let disk = three_records();
        disk.flip_bit(&segment(1, 0), offset, 3);
        let (found, report) = replay_only(&disk);
        assert_eq!(found, ["first", "second", "third"], "flipped at {offset}");
        assert_eq!(report.corrupt, [CorruptRange { segment: 0, offset: 0, len: 56 }]);
        assert_eq!(report.missing_records, 0);
    }
}

#[test]
fn a_segment_that_is_empty_or_ends_in_its_header_holds_nothing() {
    for len in 0..=56 {
        let disk = three_records();
        disk.truncate(&segment(1, 0), len);
        let (found, report) = replay_only(&disk);
        assert!(found.is_empty());
        assert_eq!((report.segments, report.torn_tail_bytes, report.is_clean()), (1, len % 56, true));
    }
}

#[test]
fn a_tail_of_zeros_is_a_torn_tail() {
    let disk = three_records();
    let mut bytes = disk.read(&segment(1, 0)).unwrap();
    bytes[THIRD as usize..].fill(0);
    bytes.resize(1_000_000, 0);
    disk.plant(&segment(1, 0), &bytes);
    let (found, report) = replay_only(&disk);
    assert_eq!(found, ["first", "second"]);
    assert_eq!((report.torn_tail_bytes, report.is_clean()), (1_000_000 - THIRD, true));
}

#[test]
fn records_lost_at_the_end_of_a_segment_are_missed() {
    let disk = SimDisk::new();
    let body = "x".repeat(76);
    write(&disk, &[&[&body, &body], &[&body, &body], &["last"]]);
    disk.truncate(&segment(1, 0), 200);
    let (found, report) = replay_only(&disk);
    assert_eq!(found.len(), 4);
    assert_eq!((report.missing_records, report.torn_tail_bytes, report.is_clean()), (1, 44, false));
}

#[test]
fn the_records_of_a_lost_segment_are_missed() {
    let disk = SimDisk::new();
    let (body, last) = ("x".repeat(76), "y".repeat(76));
    write(&disk, &[&[&body, &body], &[&body, &body], &[&last]]);
    disk.remove_file(&segment(1, 1)).unwrap();
    let (found, report) = replay_only(&disk);
    assert_eq!(found, [&*body, &body, &last]);
    assert_eq!((report.missing_records, report.corrupt_ranges), (2, 0));
}

#[test]
fn a_hole_in_what_was_never_acknowledged_is_not_missed() {
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    writer.append(&["first"]).unwrap();
    disk.fail_nth(Op::Sync, 1);
    writer.append(&["lost", "found"]).unwrap_err();
    disk.flip_bit(&segment(1, 0), SECOND, 0);
    writer.append(&["next"]).unwrap();
    let (found, report) = replay_only(&disk);
    assert_eq!(found, ["first", "found", "next"]);
    assert_eq!((report.corrupt_ranges, report.missing_records), (1, 0));
}

#[test]
fn a_record_inside_a_body_is_not_taken_for_one() {
    let disk = three_records();
    let inner = disk.read(&segment(1, 0)).unwrap();
    let text: Vec<u8> = [b"before".to_vec(), inner.clone(), inner].concat();
    let disk = SimDisk::new();
    let mut writer = open(&disk).0.begin_generation().unwrap();
    writer.append(&[b"a".to_vec(), text, b"z".to_vec()]).unwrap();
    disk.flip_bit(&segment(1, 0), 81, 0);
    let (found, report) = replay_only(&disk);
    assert_eq!(found, ["a", "z"]);
    assert_eq!((report.corrupt_ranges, report.missing_records), (1, 1));
}

#[test]
fn the_next_record_is_found_beyond_several_reads() {
    let disk = SimDisk::new();
    let config = WalConfig::default();
    let filler = crate::format::MARKER.repeat(300_000);
    let (wal, _) = Wal::open(disk.clone(), Path::new(DIR), DISK_ID, config).unwrap();
    wal.begin_generation().unwrap().append(&[b"a".to_vec(), filler, b"z".to_vec()]).unwrap();
    disk.flip_bit(&segment(1, 0), 81, 0);
    let (found, report) = replay_only(&disk);
    assert_eq!(found, ["a", "z"]);
    assert_eq!(report.corrupt_bytes, 24 + 1_200_000);
}

#[test]
fn many_corrupt_records_are_counted_and_the_first_hundred_named() {
    let disk = SimDisk::new();
    let config = WalConfig::default();
    let (wal, _) = Wal::open(disk.clone(), Path::new(DIR), DISK_ID, config).unwrap();
    wal.begin_generation().unwrap().append(&vec!["x"; 5000]).unwrap();
    for record in (1..4999).step_by(2) {
        disk.flip_bit(&segment(1, 0), 56 + 25 * record, 0);
    }
    let (found, report) = replay_only(&disk);
    assert_eq!(found.len(), 5000 - 2499);
    assert_eq!((report.corrupt.len(), report.corrupt_ranges, report.missing_records), (100, 2499, 2499));
}

#[test]
fn a_failed_read_is_an_error_and_may_be_tried_again() {
    let disk = three_records();
    let (_, sealed) = open(&disk);
    for nth in 1..8 {
        let (mut replay, mut found, mut failures) = (sealed[0].replay(), Vec::new(), 0);
        disk.fail_nth(Op::Read, nth);
        loop {
            match replay.next_record() {
                Ok(Some(record)) => found.push(record),
                Ok(None) => break,
                Err(_) => failures += 1,
            }
        }
        assert!(failures <= 1);
        assert_eq!(texts(&found), ["first", "second", "third"]);
        assert!(replay.report().is_clean());
    }
}
