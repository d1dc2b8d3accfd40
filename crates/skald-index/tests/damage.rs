//! Bytes that are not what was written are an error: never a panic, and never another answer.

mod common;

use bytes::Bytes;
use common::{build, labels, object_names, open, rows};
use proptest::prelude::*;
use skald_index::{FormatError, IndexedStream, Reference};
use skald_model::{ErrorKind, Timestamp};

fn some(count: u32) -> Bytes {
    let stream = |i: u32| {
        let pod = format!("pod-{i:05}");
        let reference = |object| Reference {
            object,
            stream: i,
            min_time: Timestamp(1_000 * i64::from(i)),
            max_time: Timestamp(1_000 * i64::from(i) + 1),
            rows: u64::from(i),
            line_bytes: 100,
            metadata_bytes: 0,
        };
        IndexedStream { labels: labels(&[("app", "api"), ("pod", &pod)]), references: vec![reference(0), reference(3)] }
    };
    build(object_names(), &(0..count).map(stream).collect::<Vec<_>>())
}

/// Reads all of a file as a reader does.
fn read(file: &Bytes) -> Result<Vec<IndexedStream>, FormatError> {
    let index = open(file)?;
    rows(&index, file, &index.select_all())
}

fn is_refused(file: Vec<u8>) -> bool {
    match read(&file.into()) {
        Ok(_) => false,
        Err(err) => matches!(err.kind(), ErrorKind::Corrupt | ErrorKind::NotImplemented),
    }
}

#[test]
fn every_changed_byte_of_a_small_file_is_an_error() {
    let file = some(40);
    assert_eq!(read(&file).expect("sound").len(), 40);
    for at in 0..file.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = file.to_vec();
            damaged[at] ^= flip;
            assert!(is_refused(damaged), "byte {at} of {}, {flip:02x}", file.len());
        }
    }
}

#[test]
fn every_cut_of_a_small_file_is_an_error() {
    let file = some(3);
    for len in 0..file.len() {
        assert!(is_refused(file[..len].to_vec()), "first {len} of {}", file.len());
        assert!(is_refused(file[file.len() - len..].to_vec()), "last {len} of {}", file.len());
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(64))]

    #[test]
    fn overwritten_and_moved_pieces_of_a_larger_file_are_errors(at: prop::sample::Index, from: prop::sample::Index, len in 1usize..300, zero: bool) {
        let file = some(600);
        let (at, from) = (at.index(file.len() - len), from.index(file.len() - len));
        let mut damaged = file.to_vec();
        if zero { damaged[at..at + len].fill(0) } else { damaged.copy_within(from..from + len, at) }
        prop_assume!(damaged[..] != file[..]);
        prop_assert!(is_refused(damaged));
    }

    #[test]
    fn what_is_no_index_file_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(is_refused(bytes));
    }
}

#[test]
fn another_version_is_refused_by_number() {
    let mut file = some(1).to_vec();
    let version = file.len() - 16;
    file[version] = 9;
    let crc = crc32fast::hash(&file[file.len() - skald_index::Layout::TAIL_LEN..version + 4]);
    file[version + 4..version + 8].copy_from_slice(&crc.to_le_bytes());
    let err = read(&file.into()).expect_err("another version");
    assert_eq!((err.to_string(), err.kind()), ("index file has format version 9, known is version 1".into(), ErrorKind::NotImplemented));
}
