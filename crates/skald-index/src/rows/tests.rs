use super::*;
use proptest::prelude::*;

const OBJECTS: usize = 40;

fn reference() -> impl Strategy<Value = Reference> {
    let time = prop_oneof![0..1000i64, any::<i64>()];
    (0..OBJECTS as u32, any::<u32>(), time.clone(), time, any::<[u64; 3]>()).prop_map(
        |(object, stream, one, other, [rows, line_bytes, metadata_bytes])| {
            let (min_time, max_time) = (Timestamp(one.min(other)), Timestamp(one.max(other)));
            Reference { object, stream, min_time, max_time, rows, line_bytes, metadata_bytes }
        },
    )
}

fn stream() -> impl Strategy<Value = IndexedStream> {
    let labels = proptest::collection::btree_map("[a-cé]{0,2}", "[x-z\\x00é]{0,3}", 0..4);
    (labels, proptest::collection::vec(reference(), 0..6)).prop_map(|(pairs, mut references)| {
        references.sort_by_key(|reference| reference.object);
        references.dedup_by_key(|reference| reference.object);
        IndexedStream { labels: Labels::from_pairs(pairs).expect("a map has each name once"), references }
    })
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn wanted_streams_come_back(streams in proptest::collection::vec(stream(), 1..33), wanted: u32) {
        let wanted = wanted & ((1u64 << streams.len()) - 1) as u32;
        let (mut block, mut bytes, mut found) = (BlockBuilder::default(), Vec::new(), Vec::new());
        streams.iter().for_each(|stream| block.push(&stream.labels, &stream.references));
        block.finish(&mut bytes);
        prop_assert!(block.is_empty());
        read_block(0, &bytes, wanted, OBJECTS, |stream| found.push(stream)).expect("just written");
        let want: Vec<_> = streams.into_iter().enumerate().filter(|(i, _)| wanted >> i & 1 == 1).map(|(_, stream)| stream).collect();
        prop_assert_eq!(found, want);
    }

    #[test]
    fn random_bytes_are_an_error_or_streams(bytes in proptest::collection::vec(any::<u8>(), 0..80), wanted: u32) {
        let _ = read_block(0, &bytes, wanted, OBJECTS, drop);
    }

    #[test]
    fn random_bytes_as_labels_and_references_are_an_error_or_streams(
        labels in proptest::collection::vec(0u8..6, 0..60),
        references in proptest::collection::vec(0u8..6, 0..60),
    ) {
        let (mut bytes, packed) = (Vec::new(), lz4_flex::block::compress(&labels));
        put_signed(&mut bytes, 7);
        put_varint(&mut bytes, labels.len() as u64);
        put_varint(&mut bytes, packed.len() as u64);
        bytes.extend_from_slice(&packed);
        bytes.extend_from_slice(&references);
        let _ = read_block(0, &bytes, u32::MAX, OBJECTS, drop);
    }
}

#[test]
fn a_length_that_no_compression_reaches_is_refused_before_room_is_made() {
    let mut bytes = Vec::new();
    put_signed(&mut bytes, 0);
    put_varint(&mut bytes, u64::MAX);
    put_text(&mut bytes, "x");
    let result = read_block(3, &bytes, 1, 1, drop);
    assert_eq!(result.map_err(|err| err.to_string()), Err("row block 3 is malformed: its labels cannot have that length".into()));
}
