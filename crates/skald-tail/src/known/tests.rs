use super::*;
use crate::position::{FileId, Fingerprint};

fn position(key: &str, inode: u64, content: &[u8]) -> FilePosition {
    FilePosition {
        id: FileId(inode),
        target_key: key.into(),
        path: "/log/a".into(),
        device: 1,
        inode,
        fingerprint: Fingerprint::of(content),
        offset: 5,
        compressed: false,
    }
}

/// What a file of target `t` with inode 7 begins with.
fn taken(known: &mut Known, device: u64, path: &str, head: &[u8]) -> &'static str {
    match known.take(&Sought { key: "t", path: Path::new(path), device, inode: 7, head, compressed: false }) {
        Begin::Resume(_) => "resume",
        Begin::At(_) => "at",
        Begin::New => "new",
    }
}

#[test]
fn a_file_is_known_by_inode_and_content() {
    let long = [b'x'; 100];
    let cases: [(&str, &[u8], u64, &str, &[u8], &str); 8] = [
        ("t", b"abc", 1, "/log/a", b"abc", "resume"),
        ("t", b"abc", 1, "/log/b", b"abcd", "resume"),
        ("t", b"abc", 1, "/log/a", b"abd", "new"),
        ("t", b"abc", 1, "/log/a", b"ab", "new"),
        ("t", b"abc", 2, "/log/a", b"abc", "resume"),
        ("t", b"abc", 2, "/log/b", b"abc", "new"),
        ("t", &long, 2, "/log/b", &long, "resume"),
        ("other", b"abc", 1, "/log/a", b"abc", "at"),
    ];
    for (key, content, device, path, head, want) in cases {
        let mut known = Known::new(vec![position(key, 7, content)], HashMap::new());
        assert_eq!(taken(&mut known, device, path, head), want, "{key} {path} on {device}");
    }
}

#[test]
fn a_position_is_taken_once() {
    let mut known = Known::new(vec![position("t", 7, b"abc")], HashMap::new());
    assert_eq!(taken(&mut known, 1, "/log/a", b"abc"), "resume");
    assert_eq!(taken(&mut known, 1, "/log/a", b"abc"), "new");
    known.keep_done(position("t", 7, b"abc"));
    assert_eq!(taken(&mut known, 1, "/log/a", b"abc"), "resume");
}

#[test]
fn what_is_left_of_a_target_can_be_had() {
    let mut known = Known::new(vec![position("t", 9, b""), position("u", 8, b""), position("t", 7, b"")], HashMap::new());
    assert_eq!(known.take_rest("t").iter().map(|position| position.inode).collect::<Vec<_>>(), [7, 9]);
    assert!(known.take_rest("t").is_empty());
    assert_eq!(known.take_rest("u").len(), 1);
}

#[test]
fn finished_files_are_remembered_up_to_a_bound() {
    let mut known = Known::default();
    (0..DONE_MAX as u64 + 10).for_each(|inode| known.keep_done(position("t", inode, b"")));
    assert_eq!((known.done.len(), known.done[0].inode), (DONE_MAX, 10));
}
