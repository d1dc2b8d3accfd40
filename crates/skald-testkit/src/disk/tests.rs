use super::*;
use std::path::PathBuf;

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn write(disk: &SimDisk, at: &str, bytes: &[u8], sync: bool) {
    let file = disk.create_new(&path(at)).unwrap();
    file.append(bytes).unwrap();
    if sync {
        file.sync().unwrap();
    }
}

/// What is left of `/d/f` after each of many power cuts.
fn survivors(write: impl Fn(&SimDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let survivor = |seed| {
        let disk = SimDisk::new();
        disk.create_dir_all(&path("/d")).unwrap();
        disk.sync_dir(&path("/")).unwrap();
        write(&disk);
        disk.power_cut(seed);
        disk.read(&path("/d/f")).ok()
    };
    (0..200).map(survivor).collect()
}

#[test]
fn synced_bytes_with_a_synced_name_survive() {
    let left = survivors(|disk| {
        write(disk, "/d/f", b"abc", true);
        disk.sync_dir(&path("/d")).unwrap();
    });
    assert_eq!(left, [Some(b"abc".to_vec())].into());
}

#[test]
fn a_name_that_is_not_synced_may_be_lost() {
    let left = survivors(|disk| write(disk, "/d/f", b"abc", true));
    assert_eq!(left, [None, Some(b"abc".to_vec())].into());
}

#[test]
fn bytes_that_are_not_synced_keep_any_prefix_or_read_as_zeros() {
    let left = survivors(|disk| {
        let file = disk.create_new(&path("/d/f")).unwrap();
        file.append(b"abc").unwrap();
        file.sync().unwrap();
        file.append(b"de").unwrap();
        disk.sync_dir(&path("/d")).unwrap();
    });
    for want in [&b"abc"[..], b"abcd", b"abcde", b"abc\0", b"abcd\0", b"abc\0\0"] {
        assert!(left.contains(&Some(want.to_vec())), "{want:?} missing in {left:?}");
    }
    assert_eq!(left.len(), 6);
}

#[test]
fn bytes_of_a_failed_sync_are_not_made_durable_by_a_later_one() {
    let left = survivors(|disk| {
        let file = disk.create_new(&path("/d/f")).unwrap();
        file.append(b"a").unwrap();
        disk.fail_nth(Op::Sync, 1);
        file.sync().unwrap_err();
        file.sync().unwrap();
        disk.sync_dir(&path("/d")).unwrap();
    });
    assert!(left.contains(&Some(Vec::new())));
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let left = survivors(|disk| {
        write(disk, "/d/f", b"old", true);
        disk.sync_dir(&path("/d")).unwrap();
        write(disk, "/d/new", b"new", true);
        disk.rename(&path("/d/new"), &path("/d/f")).unwrap();
    });
    assert_eq!(left, [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
}

#[test]
fn a_kill_keeps_all_and_ends_handles_and_locks() {
    let disk = SimDisk::new();
    let file = disk.create_new(&path("f")).unwrap();
    file.append(b"abc").unwrap();
    let guard = disk.lock(&path("LOCK")).unwrap();
    assert_eq!(disk.lock(&path("LOCK")).err().map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
    disk.kill();
    assert_eq!(disk.read(&path("f")).unwrap(), b"abc");
    file.append(b"d").unwrap_err();
    let next = disk.lock(&path("LOCK")).unwrap();
    drop(guard);
    disk.lock(&path("LOCK")).err().expect("the guard of the life before frees nothing");
    drop(next);
    disk.lock(&path("LOCK")).unwrap();
}

#[test]
fn renames_follow_posix() {
    let disk = SimDisk::new();
    disk.create_dir_all(&path("a/b")).unwrap();
    write(&disk, "a/b/f", b"1", true);
    write(&disk, "g", b"2", true);
    let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
    assert_eq!(kind(disk.rename_new(&path("g"), &path("a/b/f"))), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(kind(disk.rename(&path("g"), &path("a"))), Some(io::ErrorKind::IsADirectory));
    assert_eq!(kind(disk.rename(&path("a"), &path("a/b/c"))), Some(io::ErrorKind::InvalidInput));
    assert_eq!(kind(disk.rename(&path("g"), &path("none/g"))), Some(io::ErrorKind::NotFound));
    disk.rename(&path("g"), &path("a/b/f")).unwrap();
    disk.rename(&path("a"), &path("z")).unwrap();
    assert_eq!(disk.read(&path("z/b/f")).unwrap(), b"2");
    assert_eq!(disk.list(&path("")).unwrap(), [DirEntry { name: "z".into(), is_dir: true, len: 0, modified: Timestamp(0) }]);
    disk.remove_dir_all(&path("z")).unwrap();
    assert_eq!(disk.list(&path("")).unwrap(), []);
}

#[test]
fn a_full_disk_keeps_what_fits() {
    let disk = SimDisk::new();
    let file = disk.create_new(&path("f")).unwrap();
    disk.set_free(3);
    assert_eq!(file.append(b"abcd").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.read(&path("f")).unwrap(), b"abc");
    assert_eq!(disk.space(&path("f")).unwrap().free, 0);
    disk.remove_file(&path("f")).unwrap();
    assert_eq!(disk.space(&path("f")).unwrap().free, 3);
}

#[test]
fn faults_strike_once_and_where_they_were_asked_to() {
    let disk = SimDisk::new();
    let file = disk.create_new(&path("f")).unwrap();
    disk.fail_nth(Op::Append, 2);
    file.append(b"a").unwrap();
    file.append(b"b").unwrap_err();
    disk.short_write(1);
    file.append(b"cd").unwrap_err();
    file.append(b"e").unwrap();
    assert_eq!(disk.read(&path("f")).unwrap(), b"ace");
    disk.flip_bit(&path("f"), 1, 0);
    assert_eq!(disk.read(&path("f")).unwrap(), b"abe");
    assert_eq!((disk.count(Op::Append), disk.operations()), (4, 5));
}

#[test]
fn after_the_power_went_everything_fails_until_it_is_back() {
    let disk = SimDisk::new();
    let file = disk.create_new(&path("f")).unwrap();
    disk.sync_dir(&path("")).unwrap();
    disk.cut_power_at(2);
    file.append(b"a").unwrap();
    file.sync().unwrap_err();
    file.append(b"b").unwrap_err();
    disk.read(&path("f")).unwrap_err();
    disk.power_cut(1);
    assert!(disk.read(&path("f")).unwrap().len() < 2);
}

#[test]
fn many_threads_may_use_it() {
    let disk = SimDisk::new();
    let winners: usize = std::thread::scope(|scope| {
        let race = |racer: usize| {
            let disk = &disk;
            scope.spawn(move || {
                write(disk, &format!("tmp{racer}"), &[racer as u8], true);
                usize::from(disk.rename_new(&path(&format!("tmp{racer}")), &path("final")).is_ok())
            })
        };
        let racers: Vec<_> = (0..16).map(race).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!((winners, disk.list(&path("")).unwrap().len()), (1, 16));
}
