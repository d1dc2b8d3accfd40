//! Manifests and names of files in the store.

use crate::Target;
use skald_model::{Day, DiskId, TenantId};
use skald_store::manifest::{Content, Manifest, NamedFile, Writer};
use skald_store::{ObjectName, TableFile, TableId};

pub(crate) const MANIFEST: Target = Target {
    name: "manifest",
    about: "a manifest, as it is and with its checksum put right; what was read is written and read to the same",
    seeds: || vec![manifest().encode(&table()).expect("it is small").to_vec()],
    tokens: &["{", "}", "[", "]", "\"", ",", ":", "null", "\"name\"", "merged/", "index/", "incoming/", "..", "/", "~1", "-0"],
    run: |bytes| {
        check(bytes);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let json = bytes[end + 1..].strip_suffix(b"\n").unwrap_or(&bytes[end + 1..]);
            let head = format!("skald manifest 1 {:08x}\n", crc32fast::hash(json));
            check(&[head.as_bytes(), json, b"\n"].concat());
        }
    },
};

pub(crate) const NAME: Target = Target {
    name: "name",
    about: "the name of a file in the store; a name that was read is written the same",
    seeds: || manifest().content.objects.iter().chain(&manifest().content.index).map(|file| file.name.clone().into_bytes()).collect(),
    tokens: &["/", "-", "+", "~", "..", ".", "merged", "incoming", "index", "manifest", "0", "default", "\u{e9}", "%2F"],
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(name) = text.parse::<ObjectName>() {
            assert_eq!(name.to_string(), text);
        }
        match text.parse::<TableFile>() {
            Ok(TableFile::Object(name)) => assert_eq!(name.to_string(), text),
            Ok(TableFile::Index(name)) => assert_eq!(name.to_string(), text),
            Ok(TableFile::Manifest(name)) => assert_eq!(name.to_string(), text),
            Err(_) => {}
        }
    },
};

fn table() -> TableId {
    TableId { tenant: TenantId::parse("t").expect("valid"), day: Day(20_468) }
}

fn manifest() -> Manifest {
    let name = |rest: &str| format!("{}/{rest}", table());
    let file = |rest: &str| NamedFile { name: name(rest), size: 3 };
    let flushed = "incoming/00000000000000000000000000000007-0000000001-0-default";
    let joined = "incoming/00000000000000000000000000000007-0000000002-0+0000000005-1-default~2";
    let content = Content {
        objects: vec![file(flushed), file("merged/00000000000000000000000000000002-default"), file(joined)],
        index: vec![file("index/00000000000000000000000000000003")],
        absorbed: vec![name("incoming/00000000000000000000000000000007-0000000004-0-default")],
        removed: vec![name("merged/00000000000000000000000000000005-default")],
    };
    Manifest { number: 8, previous: 7, writer: Writer { disk: DiskId(7), put: 0xabc }, content }
}

fn check(bytes: &[u8]) {
    match Manifest::parse(&table(), 8, bytes) {
        Ok(manifest) => {
            let again = manifest.encode(&table()).expect("it was read");
            assert_eq!(Manifest::parse(&table(), 8, &again), Ok(manifest));
        }
        Err(error) => drop((error.kind(), error.to_string())),
    }
}
