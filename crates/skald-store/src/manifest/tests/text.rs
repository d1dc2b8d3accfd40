use super::*;
use proptest::prelude::*;

fn full() -> Manifest {
    let content = Content {
        objects: named(&[incoming(1), merged(2)]),
        index: named(&[index(3)]),
        absorbed: vec![incoming(4)],
        removed: vec![merged(5)],
    };
    Manifest { number: 8, previous: 7, writer: writer(0xabc), content }
}

#[test]
fn a_manifest_reads_as_it_was_written() {
    let manifest = full();
    let bytes = manifest.encode(&table()).expect("it is small");
    assert_eq!(Manifest::parse(&table(), 8, &bytes), Ok(manifest));
    let text = String::from_utf8(bytes.to_vec()).expect("it is text");
    assert_eq!(
        text,
        "skald manifest 1 88ff8862\n{\"number\":8,\"previous\":7,\"disk\":\"00000000000000000000000000000007\",\
         \"put\":\"00000000000000000000000000000abc\",\"objects\":[{\"name\":\
         \"incoming/00000000000000000000000000000007-0000000001-0-default\",\"size\":3},{\"name\":\
         \"merged/00000000000000000000000000000002-default\",\"size\":3}],\"index\":[{\"name\":\
         \"index/00000000000000000000000000000003\",\"size\":3}],\"absorbed\":\
         [\"incoming/00000000000000000000000000000007-0000000004-0-default\"],\"removed\":\
         [\"merged/00000000000000000000000000000005-default\"]}\n"
    );
}

#[test]
fn names_of_other_tables_are_not_written() {
    let other = "t/2026-01-16/merged/00000000000000000000000000000002-default".to_owned();
    let manifest = Manifest { content: content(&[other], &[]), ..full() };
    assert!(matches!(manifest.encode(&table()), Err(ManifestError::Malformed(_))));
}

#[test]
fn what_is_no_manifest_of_the_table_and_number_is_refused() {
    let sealed = |json: &str| format!("skald manifest 1 {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()));
    let json = |objects: &str, index: &str| {
        sealed(&format!(
            "{{\"number\":8,\"previous\":7,\"disk\":\"7\",\"put\":\"1\",\"objects\":[{objects}],\"index\":[{index}],\"absorbed\":[],\"removed\":[]}}"
        ))
    };
    let parse = |text: &str| Manifest::parse(&table(), 8, text.as_bytes());
    let malformed = |text: &str| assert!(matches!(parse(text), Err(ManifestError::Malformed(_))), "{text}");
    assert!(parse(&json("", "")).is_ok());
    malformed(&json("{\"name\":\"merged/../x\",\"size\":1}", ""));
    malformed(&json("{\"name\":\"index/00000000000000000000000000000003\",\"size\":1}", ""));
    malformed(&json("", "{\"name\":\"merged/00000000000000000000000000000002-default\",\"size\":1}"));
    malformed(&sealed("{}"));
    let of_number_8 = full().encode(&table()).expect("it is small");
    assert!(matches!(Manifest::parse(&table(), 9, &of_number_8), Err(ManifestError::Malformed(_))));
    let behind_itself = Manifest { previous: 8, ..full() }.encode(&table()).expect("it is small");
    assert!(matches!(Manifest::parse(&table(), 8, &behind_itself), Err(ManifestError::Malformed(_))));
    assert_eq!(parse("skald manifest 2 00000000\n{}\n"), Err(ManifestError::Version { found: 2 }));
    for text in ["", "skald", "skald manifest 1\n{}\n", "skald manifest x 00000000\n{}\n"] {
        assert_eq!(parse(text), Err(ManifestError::NoManifest), "{text}");
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]
    #[test]
    fn a_changed_byte_is_an_error(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bytes = full().encode(&table()).expect("it is small");
        let mut changed = bytes.to_vec();
        changed[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(Manifest::parse(&table(), 8, &changed).is_err());
    }

    #[test]
    fn a_cut_is_an_error(at in any::<prop::sample::Index>()) {
        let bytes = full().encode(&table()).expect("it is small");
        prop_assert!(Manifest::parse(&table(), 8, &bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_text_behind_a_right_checksum_is_an_error_or_a_manifest(json in "[\\{\\}\\[\\]\",:a-z0-9 ]{0,80}") {
        let text = format!("skald manifest 1 {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()));
        if let Ok(manifest) = Manifest::parse(&table(), 8, text.as_bytes()) {
            prop_assert!(manifest.encode(&table()).is_ok());
        }
    }
}
