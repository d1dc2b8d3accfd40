use super::*;
use crate::format::{MARKER, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use proptest::prelude::*;

/// Every byte of a generation is accounted for: headers, records, corrupt ranges, torn tails.
fn check_accounts(sealed: &SealedGeneration, intact_headers: u64, report: &ReplayReport) {
    let records = report.records * RECORD_HEADER_LEN as u64 + report.body_bytes;
    let headers = intact_headers * SEGMENT_HEADER_LEN as u64;
    assert_eq!(sealed.bytes(), headers + records + report.corrupt_bytes + report.torn_tail_bytes, "{report:?}");
}

fn one_segment(bodies: &[Vec<u8>]) -> (Arc<SimDisk>, Vec<u8>) {
    let disk = SimDisk::new();
    let (wal, _) = Wal::open(disk.clone(), Path::new(DIR), DISK_ID, WalConfig::default()).unwrap();
    wal.begin_generation().unwrap().append(bodies).unwrap();
    let bytes = disk.read(&segment(1, 0)).unwrap();
    (disk, bytes)
}

fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)
}

/// Noise that now and then looks like the beginning of a record.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![prop::collection::vec(any::<u8>(), 0..100), Just(MARKER.to_vec()), Just(vec![0; 50])];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn what_is_appended_is_replayed(groups in prop::collection::vec(bodies(), 0..6), segment_size in 0_u64..3000) {
        let disk = SimDisk::new();
        let config = WalConfig { segment_size, record_size_max: 1000 };
        let (wal, _) = Wal::open(disk.clone(), Path::new(DIR), DISK_ID, config).unwrap();
        let mut writer = wal.begin_generation().unwrap();
        for group in &groups {
            writer.append(group).unwrap();
        }
        let (_, sealed) = open(&disk);
        let (records, report) = replay(&sealed[0]);
        prop_assert!(records.iter().map(|record| &record.body[..]).eq(groups.iter().flatten().map(|body| &body[..])));
        prop_assert!(report.is_clean());
        prop_assert_eq!((sealed[0].bytes(), report.records), (writer.bytes(), writer.records()));
        check_accounts(&sealed[0], report.segments, &report);
    }

    #[test]
    fn random_bytes_are_no_records_and_all_accounted_for(noise in noise(), with_header in any::<bool>()) {
        let (disk, bytes) = one_segment(&[b"x".to_vec()]);
        let header = &bytes[..if with_header { SEGMENT_HEADER_LEN } else { 0 }];
        disk.plant(&segment(1, 0), &[header, &noise].concat());
        let (_, sealed) = open(&disk);
        let (records, report) = replay(&sealed[0]);
        prop_assert!(records.is_empty());
        check_accounts(&sealed[0], u64::from(with_header), &report);
    }

    #[test]
    fn noise_in_the_middle_costs_only_the_records_that_it_hits(bodies in bodies(), noise in noise(), at in any::<prop::sample::Index>()) {
        let (disk, mut bytes) = one_segment(&bodies);
        let start = at.index(bytes.len());
        let end = (start + noise.len()).min(bytes.len());
        let before = bytes.clone();
        bytes[start..end].copy_from_slice(&noise[..end - start]);
        disk.plant(&segment(1, 0), &bytes);
        let mut want = Vec::new();
        let mut offset = SEGMENT_HEADER_LEN;
        for body in &bodies {
            let range = offset..offset + RECORD_HEADER_LEN + body.len();
            if bytes[range.clone()] == before[range.clone()] {
                want.push(body.clone());
            }
            offset = range.end;
        }
        let (_, sealed) = open(&disk);
        let (records, report) = replay(&sealed[0]);
        prop_assert_eq!(records.iter().map(|record| record.body.to_vec()).collect::<Vec<_>>(), want);
        let header_intact = bytes[..SEGMENT_HEADER_LEN] == before[..SEGMENT_HEADER_LEN];
        check_accounts(&sealed[0], u64::from(header_intact), &report);
    }
}
