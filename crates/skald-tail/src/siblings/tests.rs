use super::*;

#[track_caller]
fn check(name: &str, other: &str, want: Option<Option<Format>>) {
    assert_eq!(rotated_name(name, other), want, "{other} of {name}");
}

#[test]
fn names_that_rotation_makes_are_known_and_others_are_not() {
    for plain in [
        "a.log.1",
        "a.log.12",
        "a.log-20260131",
        "a-20260131.log",
        "a.log.2026-01-31T10:00:00Z",
        "a.log.20260131-101500",
        "a.log_3",
        "a.log.old",
        "a.log.bak",
    ] {
        check("a.log", plain, Some(None));
    }
    check("a.log", "a.log.1.gz", Some(Some(Format::Gzip)));
    check("a.log", "a.log.gz", Some(Some(Format::Gzip)));
    check("a.log", "a-20260131.log.zst", Some(Some(Format::Zstd)));
    check("messages", "messages-20260131.bz2", Some(Some(Format::Bzip2)));
    for other in ["a.log", "b.log.1", "a.log.offset", "a.log.state", "a.log1", "a.log.", "ab.log.1", "a-b.log", "a.log.lock", "a1.log"] {
        check("a.log", other, None);
    }
}

#[test]
fn the_newest_file_with_the_content_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let content = [b'x'; 200];
    for (name, bytes, age) in [("a.log.1", &content[..], 30), ("a.log.2", &content[..], 20), ("a.log.3", b"other", 10)] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
    }
    let rotated = rotated(&dir.path().join("a.log"));
    let found = |len: usize, offset: u64| {
        by_content(&rotated, Fingerprint::of(&content[..len]), offset).and_then(|sibling| sibling.path.file_name()?.to_str())
    };
    assert_eq!(found(200, 100), Some("a.log.2"));
    assert_eq!(found(200, 201), None);
    assert_eq!(found(0, 0), None);
}

#[test]
fn a_pipe_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(open(&path).is_err());
}
