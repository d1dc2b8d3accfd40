use super::*;
use crate::{Decoder, ObjectWriter, RowDigest, WriterOptions, rewrite_part, verify_object};
use bytes::Bytes;
use proptest::prelude::*;
use skald_model::{Day, DiskId, Generation, Labels, RowsBuilder, TenantId, Timestamp};

fn object() -> Vec<u8> {
    let info = ObjectInfo {
        tenant: TenantId::parse("t").expect("valid"),
        day: Day(3),
        class: "c".into(),
        disk: DiskId(1),
        generation: Generation(1),
        part: 0,
        replaces: vec!["old".into()],
    };
    let mut writer =
        ObjectWriter::new(info, WriterOptions { block_bytes: 600, frame_bytes: 200, ..WriterOptions::default() }).expect("valid");
    for app in ["a", "b", "c"] {
        let mut builder = RowsBuilder::default();
        for i in 0..20i64 {
            builder.push(Day(3).start().plus(std::time::Duration::from_millis(i as u64)), format!("line {i} of {app}").as_bytes());
            builder.set_metadata("detected_level", [&b"info"[..], b"error"][i as usize % 2], true);
            builder.set_metadata("n", format!("{i}").as_bytes(), false);
        }
        writer.add_stream(&Labels::from_pairs([("app", app)]).expect("one label"), &builder.finish()).expect("in order");
    }
    writer.finish().expect("has rows").bytes.to_vec()
}

/// The object with the raw bytes of one section changed and every checksum right.
fn with_section(object: &[u8], changed: Section, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    rewrite_part(&Bytes::copy_from_slice(object), changed.part(), change).expect("it was sound").to_vec()
}

fn parse(object: &[u8]) -> Result<Footer, FormatError> {
    let trailer = Trailer::parse(object, object.len() as u64)?;
    let range = trailer.footer_range();
    Footer::parse(&trailer, &object[range.start as usize..range.end as usize])
}

fn open_streams(footer: &Footer, object: &[u8]) -> Result<StreamTable, FormatError> {
    let range = footer.streams.range();
    footer.open_streams(object.get(range.start as usize..range.end as usize).unwrap_or_default())
}

#[test]
fn sections_may_stand_uncompressed() {
    let same = with_section(&object(), Section::Info, |_| {});
    assert_eq!(verify_object(&same.into()), []);
}

#[test]
fn damaged_filters_cost_only_the_filters() {
    let changed = with_section(&object(), Section::Filters, |raw| raw[0] = 200);
    let footer = parse(&changed).expect("the rest is sound");
    assert!(matches!(footer.filters, Err(FormatError::Malformed { part: Part::Filters, .. })));
    assert_eq!(verify_object(&changed.into()), [footer.filters.expect_err("seen above")]);
}

#[test]
fn a_digest_that_is_not_that_of_the_rows_is_found() {
    let footer = parse(&object()).expect("sound");
    let digest = RowDigest { sum: footer.summary.digest.sum ^ 1, ..footer.summary.digest };
    let changed =
        with_section(&object(), Section::Info, |raw| *raw = info::encode(&footer.info, &ObjectSummary { digest, ..footer.summary }));
    assert!(matches!(verify_object(&changed.into())[..], [FormatError::Malformed { part: Part::Info, .. }]));
    let times = ObjectSummary { max_time: Timestamp(footer.summary.max_time.0 + 1), ..footer.summary };
    assert!(parse(&with_section(&object(), Section::Info, |raw| *raw = info::encode(&footer.info, &times))).is_err());
}

#[test]
fn another_version_is_named() {
    for version in [1, 9] {
        let mut other = object();
        let at = other.len() - Trailer::LEN;
        other[at + 56] = version;
        let crc = crc32fast::hash(&other[at..at + 60]).to_le_bytes();
        other[at + 60..at + 64].copy_from_slice(&crc);
        let error = parse(&other).expect_err("the version is not known");
        assert_eq!(error, FormatError::Version { found: u32::from(version), known: 2 });
        assert_eq!(error.kind(), skald_model::ErrorKind::NotImplemented);
    }
}

#[test]
fn a_stream_table_of_other_length_is_refused() {
    let tables = [vec![0, 0], crate::streams::encode(&[Labels::empty()])];
    for table in tables {
        let changed = with_section(&object(), Section::Streams, |raw| *raw = table.clone());
        let footer = parse(&changed).expect("the footer is whole");
        assert!(matches!(open_streams(&footer, &changed), Err(FormatError::Malformed { part: Part::Streams, .. })));
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]
    #[test]
    fn changed_sections_with_right_checksums_are_an_error_or_readable(
        section in 0usize..4,
        at: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 1..4),
        cut: bool,
    ) {
        let changed = with_section(&object(), Section::ALL[section], |raw| {
            let at = at.index(raw.len());
            let end = (at + bytes.len()).min(raw.len());
            raw.splice(at..if cut { raw.len() } else { end }, bytes.iter().copied());
        });
        if let Ok(footer) = parse(&changed) {
            let mut decoder = Decoder::new();
            for block in &footer.blocks {
                let range = block.range();
                if let Some(stored) = changed.get(range.start as usize..range.end as usize) {
                    let _ = decoder.block(block, stored);
                }
            }
            (0..footer.stream_count).for_each(|stream| assert!(footer.runs_of(stream).len() > 0));
            if let Ok(streams) = open_streams(&footer, &changed) {
                (0..footer.stream_count).for_each(|stream| drop(streams.labels(stream)));
            }
        }
        verify_object(&changed.into());
    }

    #[test]
    fn random_sections_are_an_error(section in 0usize..3, bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let changed = with_section(&object(), Section::ALL[section], |raw| *raw = bytes.clone());
        prop_assert!(parse(&changed).and_then(|footer| open_streams(&footer, &changed)).is_err());
    }
}
