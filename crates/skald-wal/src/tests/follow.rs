//! Reading a generation while it is written to.

use super::*;
use crate::{Follower, Position};
use skald_testkit::{Op, SeededRandom};

/// Bodies of all records that the follower finds now.
fn found(follower: &mut Follower) -> Vec<String> {
    std::iter::from_fn(|| follower.next_record().unwrap()).map(|record| String::from_utf8(record.body.to_vec()).unwrap()).collect()
}

#[test]
fn a_follower_gives_what_was_appended_since() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk);
    let mut writer = wal.begin_generation().unwrap();
    let mut follower = wal.follow(writer.generation());
    assert_eq!(found(&mut follower), [""; 0]);
    let long = "x".repeat(200);
    for (group, want) in [(&["a", "b"][..], vec!["a", "b"]), (&[&*long, "c"], vec![&*long, "c"]), (&[&*long], vec![&*long])] {
        writer.append(group).unwrap();
        assert_eq!(found(&mut follower), want);
        assert_eq!(found(&mut follower), [""; 0]);
    }
    assert!(names(&disk, "0000000001").len() > 1, "it went through several segments");
    assert_eq!(found(&mut wal.follow(writer.generation())).len(), 5, "another one begins with the first record");
}

#[test]
fn a_follower_of_an_unknown_generation_finds_nothing() {
    let (wal, _) = open(&SimDisk::new());
    assert_eq!(found(&mut wal.follow(Generation(7))), [""; 0]);
}

#[test]
fn a_torn_append_hides_nothing_that_comes_after_it() {
    for keep in 0..70 {
        let disk = SimDisk::new();
        let (wal, _) = open(&disk);
        let mut writer = wal.begin_generation().unwrap();
        writer.append(&["first"]).unwrap();
        let mut follower = wal.follow(writer.generation());
        disk.short_write(keep);
        writer.append(&["torn by a full disk"]).unwrap_err();
        let torn = found(&mut follower);
        assert_eq!(torn[0], "first");
        writer.append(&["again"]).unwrap();
        assert_eq!(found(&mut follower), ["again"], "after {keep} bytes");
    }
}

#[test]
fn a_record_that_is_still_being_written_is_read_when_it_is_whole() {
    // What another process, or thread, shows of an append that is under way: any beginning of it.
    let disk = SimDisk::new();
    write(&disk, &[&["first", "second"], &["third"]]);
    let path = segment(1, 0);
    let whole = disk.read(&path).unwrap();
    for cut in 0..whole.len() {
        let disk = SimDisk::new();
        let (wal, _) = open(&disk);
        disk.plant(&path, &whole[..cut]);
        let mut follower = wal.follow(Generation(1));
        let mut records = found(&mut follower);
        disk.plant(&path, &whole);
        records.extend(found(&mut follower));
        assert_eq!(records, ["first", "second", "third"], "cut at {cut}");
    }
}

#[test]
fn a_damaged_record_costs_a_follower_only_itself() {
    let disk = SimDisk::new();
    write(&disk, &[&["first", "second", "third"]]);
    disk.flip_bit(&segment(1, 0), 56 + 24 + 5 + 24 + 2, 3);
    let (wal, _) = open(&disk);
    assert_eq!(found(&mut wal.follow(Generation(1))), ["first", "third"]);
}

#[test]
fn a_follower_tries_the_same_place_again_after_a_failed_read() {
    let disk = SimDisk::new();
    write(&disk, &[&["first"], &["second"]]);
    let (wal, _) = open(&disk);
    for nth in 1..12 {
        let mut follower = wal.follow(Generation(1));
        disk.fail_nth(Op::Read, nth);
        let mut records = Vec::new();
        loop {
            match follower.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert_eq!(texts(&records), ["first", "second"], "read {nth} failed");
    }
}

#[test]
fn a_record_is_found_at_the_position_that_its_writer_names() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk);
    let mut writer = wal.begin_generation().unwrap();
    assert_eq!(writer.last_position(), None);
    let random = SeededRandom::new(5);
    let mut written = Vec::new();
    for number in 0..30 {
        let body = format!("{number}{}", "y".repeat(random.below(120) as usize));
        writer.append(&["before", &body]).unwrap();
        written.push((writer.last_position().unwrap(), body));
    }
    for (position, body) in &written {
        let record = wal.record_at(writer.generation(), *position).unwrap().expect("is there");
        assert_eq!((record.position, &record.body[..]), (*position, body.as_bytes()));
    }
    let (first, _) = written[0];
    for offset in (0..first.offset).chain([first.offset + 1, 1 << 40]) {
        let elsewhere = Position { segment: first.segment, offset };
        let found = wal.record_at(writer.generation(), elsewhere).unwrap();
        assert!(found.is_none_or(|record| &record.body[..] == b"before"), "at {offset}");
    }
    disk.flip_bit(&segment(1, first.segment), first.offset + 24, 0);
    assert_eq!(wal.record_at(writer.generation(), first).unwrap(), None);
}
