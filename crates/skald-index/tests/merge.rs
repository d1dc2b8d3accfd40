//! A merged index is the index that all streams together would have had.

mod common;

use bytes::Bytes;
use common::{build, labels, object_names, open, streams};
use proptest::prelude::*;
use skald_index::{IndexedStream, InputError, MergeError, MergeInput, Reference, merge};
use skald_model::{Labels, Timestamp};
use std::collections::BTreeMap;

/// The streams that these inputs make together, over the objects that are kept.
fn together(inputs: &[(Vec<String>, Vec<IndexedStream>)], kept: &[String]) -> Vec<IndexedStream> {
    let mut all: BTreeMap<Labels, BTreeMap<u32, Reference>> = BTreeMap::new();
    for (objects, streams) in inputs {
        for (stream, reference) in streams.iter().flat_map(|stream| stream.references.iter().map(move |reference| (stream, reference))) {
            if let Some(object) = kept.iter().position(|name| *name == objects[reference.object as usize]) {
                let object = object as u32;
                all.entry(stream.labels.clone()).or_default().insert(object, Reference { object, ..*reference });
            }
        }
    }
    all.into_iter().map(|(labels, references)| IndexedStream { labels, references: references.into_values().collect() }).collect()
}

proptest! {
    #![proptest_config(skald_testkit::property(48))]

    #[test]
    fn merged_inputs_are_as_if_built_at_once(parts in proptest::collection::vec(streams(), 0..4), dropped in 0u32..8) {
        // The first part comes twice: as an index, and as streams that say the same.
        let parts: Vec<_> = parts.iter().enumerate().chain(parts.first().map(|part| (0, part))).collect();
        let inputs: Vec<(Vec<String>, Vec<IndexedStream>)> =
            parts.iter().map(|(number, streams)| (object_names().iter().map(|name| format!("{name}-{number}")).collect(), (*streams).clone())).collect();
        let keep = |name: &str| !name.ends_with(&format!("{dropped}-0"));
        let mut kept: Vec<String> = inputs.iter().flat_map(|(objects, _)| objects.clone()).filter(|name| keep(name)).collect();
        kept.sort();
        kept.dedup();
        let files: Vec<Bytes> = inputs.iter().map(|(objects, streams)| build(objects.clone(), streams)).collect();
        let indexes: Vec<_> = files.iter().map(|file| open(file).expect("just built")).collect();
        let merged = inputs.iter().enumerate().map(|(i, (objects, streams))| {
            if i % 2 == 0 {
                let file = &files[i];
                MergeInput::of_index(&indexes[i], |range| Ok(file.slice(range.start as usize..range.end as usize)))
            } else {
                MergeInput::new(objects.clone(), streams.iter().cloned().map(Ok))
            }
        });
        let merged = merge(merged.collect(), keep).expect("sound");
        let together = together(&inputs, &kept);
        prop_assert!(merged == build(kept, &together), "{} streams", together.len());
    }
}

fn stream(app: &str, stream: u32) -> IndexedStream {
    let (min_time, max_time) = (Timestamp(1), Timestamp(2));
    let reference = Reference { object: 0, stream, min_time, max_time, rows: 1, line_bytes: 1, metadata_bytes: 0 };
    IndexedStream { labels: labels(&[("app", app)]), references: vec![reference] }
}

fn input(streams: Vec<Result<IndexedStream, InputError>>) -> MergeInput<'static> {
    MergeInput::new(vec!["o".into()], streams.into_iter())
}

#[test]
fn what_is_wrong_with_an_input_is_said() {
    let check = |inputs: Vec<MergeInput<'_>>, want: &str| {
        let err = merge(inputs, |_| true).expect_err("wrong");
        assert_eq!(err.to_string(), want);
    };
    check(vec![input(vec![]), input(vec![Err("torn".into())])], "read input 1");
    check(
        vec![input(vec![Ok(stream("b", 0)), Ok(stream("a", 0))])],
        r#"stream {app="a"} of input 0 does not come after the stream before it"#,
    );
    check(vec![input(vec![Ok(stream("a", 0))]), input(vec![Ok(stream("a", 1))])], r#"inputs disagree on stream {app="a"} in object 'o'"#);
    let unknown = MergeInput::new(vec![], std::iter::once(Ok(stream("a", 0))));
    check(vec![unknown], r#"stream {app="a"} of input 0 refers to object number 0"#);
}

#[test]
fn an_index_that_reads_wrong_bytes_fails_the_merge() {
    let file = build(vec!["o".into()], &[stream("a", 0)]);
    let index = open(&file).expect("just built");
    for bytes in [Bytes::new(), Bytes::from_static(b"short"), file.slice(1..)] {
        let result = merge(vec![MergeInput::of_index(&index, |_| Ok(bytes.clone()))], |_| true);
        assert!(matches!(result, Err(MergeError::Input { input: 0, .. })));
    }
}
