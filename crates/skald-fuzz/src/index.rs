//! Index files, as they are and with parts that make no sense behind right checksums.
//!
//! tantivy's own files are only changed in front of their checksums: it trusts its bytes, and the checksums are what keeps damage from it.

use crate::Target;
use bytes::Bytes;
use skald_index::{FormatError, Index, IndexWriter, IndexedStream, Layout, Matcher, Reference, Test};
use skald_model::{Labels, TimeRange, Timestamp};
use std::ops::Range;

/// Places of lengths and checksums in the tail, of its version, and of its own checksum.
const PARTS_AT: usize = 8;
const CRC_AT: usize = Layout::TAIL_LEN - 12;
/// Parts of the core that are ours: info, row table, long labels.
const OWN_PARTS: usize = 3;

pub(crate) const FILE: Target = Target {
    name: "index",
    about: "an index file",
    seeds: || vec![file(3).to_vec(), file(40).to_vec()],
    tokens: &[],
    run: |bytes| read(&Bytes::copy_from_slice(bytes)),
};

pub(crate) const PART: Target = Target {
    name: "index-part",
    about: "the number of a part of an index file and the part's bytes, with all lengths and checksums put right",
    seeds: || {
        let file = file(20);
        let parts = parts(&file);
        let rows = [&[OWN_PARTS as u8], &file[..parts[0].start]].concat();
        let own = (0..OWN_PARTS).map(|part| [&[part as u8], &file[parts[part].clone()]].concat());
        own.chain([rows.clone(), rows]).collect()
    },
    tokens: &[],
    run: |bytes| {
        let Some((part, raw)) = bytes.split_first() else { return };
        read(&replaced(&file(20), *part as usize % (OWN_PARTS + 1), raw));
    },
};

/// A file of streams with references to two objects each, and one label that the dictionary does not take.
fn file(count: u32) -> Bytes {
    let objects = (0..5).map(|number| format!("t/2026-01-15/incoming/{number}")).collect();
    let mut writer = IndexWriter::new(objects).expect("names differ");
    let long = "x".repeat(33_000);
    for i in 0..count {
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
        let last = if i + 1 == count { &long } else { "short" };
        let labels = Labels::from_pairs([("app", "api"), ("pod", &pod), ("z", last)]).expect("names differ");
        writer.add(&labels, &[reference(0), reference(3)]).expect("in order");
    }
    writer.finish().expect("small")
}

/// Where the nine parts of the core stand, as the tail says.
fn parts(file: &[u8]) -> Vec<Range<usize>> {
    let tail = &file[file.len() - Layout::TAIL_LEN..];
    let mut start = u64::from_le_bytes(tail[..8].try_into().expect("eight bytes")) as usize;
    let lens = tail[PARTS_AT..CRC_AT - 4].chunks(8).map(|part| u32::from_le_bytes(part[..4].try_into().expect("four bytes")));
    lens.map(|len| {
        let part = start..start + len as usize;
        start = part.end;
        part
    })
    .collect()
}

/// The file with one of our parts replaced; number 3 is the only row block.
fn replaced(file: &[u8], number: usize, raw: &[u8]) -> Bytes {
    let parts = parts(file);
    let rows = if number == OWN_PARTS { raw } else { &file[..parts[0].start] };
    let mut contents: Vec<Vec<u8>> = parts.iter().map(|part| file[part.clone()].to_vec()).collect();
    if number == OWN_PARTS {
        contents[1] = [varint(raw.len()), crc32fast::hash(raw).to_le_bytes().to_vec()].concat();
    } else {
        contents[number] = raw.to_vec();
    }
    let mut out = rows.to_vec();
    contents.iter().for_each(|part| out.extend_from_slice(part));
    let mut tail = (rows.len() as u64).to_le_bytes().to_vec();
    for part in &contents {
        tail.extend_from_slice(&(part.len() as u32).to_le_bytes());
        tail.extend_from_slice(&crc32fast::hash(part).to_le_bytes());
    }
    tail.extend_from_slice(&file[file.len() - Layout::TAIL_LEN + CRC_AT - 4..][..4]);
    tail.extend_from_slice(&crc32fast::hash(&tail).to_le_bytes());
    out.extend_from_slice(&tail);
    out.extend_from_slice(b"SKALDIDX");
    out.into()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Asks an index whatever can be asked.
fn read(file: &Bytes) {
    match open(file) {
        Ok(index) => ask(&index, file),
        Err(error) => drop((error.kind(), error.to_string())),
    }
}

fn open(file: &Bytes) -> Result<Index, FormatError> {
    let layout = Layout::parse(&file[file.len().saturating_sub(Layout::TAIL_LEN)..], file.len() as u64)?;
    let core = layout.core();
    Index::open(&layout, file.slice(core.start as usize..core.end as usize))
}

fn ask(index: &Index, file: &Bytes) {
    assert!(index.heap_bytes() <= 64 * file.len() + (64 << 10), "{} bytes of {}", index.heap_bytes(), file.len());
    drop((index.time_span(), index.label_names(None), index.label_values("pod", None)));
    let test = |name: &str, negated, test| Matcher { name: name.into(), negated, test };
    for matchers in [
        vec![],
        vec![test("pod", false, Test::Equals("pod-00001".into()))],
        vec![test("z", false, Test::Pattern("x+".into())), test("app", false, Test::Equals("api".into()))],
        vec![test("z", true, Test::OneOf(vec!["short".into()]))],
    ] {
        let range = TimeRange::new(Timestamp(0), Timestamp(15_000));
        let Ok(selection) = index.select(&matchers, range) else { continue };
        for block in index.row_blocks(&selection) {
            let Some(bytes) = file.get(block.range.start as usize..block.range.end as usize) else { continue };
            if let Ok(streams) = index.streams(&block, bytes, &selection) {
                streams.iter().for_each(|stream| check(stream, index));
            }
        }
        drop((index.label_names(Some(&selection)), index.label_values("z", Some(&selection))));
    }
}

/// References lead to objects that the file names.
fn check(stream: &IndexedStream, index: &Index) {
    assert!(stream.references.iter().all(|reference| (reference.object as usize) < index.objects().len()));
    assert!(!stream.references.is_empty());
}
