//! Damaged bytes, files that others changed, and state that is missing.

use super::*;

/// The only segment of the log.
fn segment(world: &SimWorld) -> std::path::PathBuf {
    let log = Path::new(DIR).join("log");
    let generation = world.disk.list(&log).unwrap().into_iter().find(|entry| entry.is_dir).expect("a generation");
    log.join(generation.name).join("000000.wal")
}

/// Offsets of the records of a segment, and its end.
fn records(world: &SimWorld) -> Vec<u64> {
    let bytes = world.disk.read(&segment(world)).unwrap();
    let mut offsets = vec![56];
    while *offsets.last().unwrap() < bytes.len() as u64 {
        let at = *offsets.last().unwrap() as usize;
        let len = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        offsets.push((at + 24) as u64 + u64::from(len));
    }
    offsets
}

/// A spool with groups of one line each of source 1, and a process that is dead.
fn filled(world: &SimWorld, groups: u64) {
    let mut node = Node::open(world, &USUAL).unwrap();
    for _ in 0..groups {
        node.offer(1, 1).unwrap();
        node.cut();
    }
    node.kill();
}

#[test]
fn a_damaged_record_is_skipped_and_its_lines_are_read_again() {
    for damaged in 0..5 {
        let world = world(1);
        filled(&world, 5);
        world.disk.flip_bit(&segment(&world), records(&world)[damaged] + 30, 3);
        let damaged = damaged as u64;
        let mut node = Node::open(&world, &USUAL).unwrap();
        let want = if damaged == 0 { BTreeMap::new() } else { BTreeMap::from([(1, damaged)]) };
        assert_eq!(offsets(&node.start), want, "reading begins before what is lost");
        let kept = node.receive_all(0);
        assert_eq!(kept, [lines(1, 0..damaged), lines(1, damaged + 1..5)].concat());
        // At the end of the log nobody can tell a damaged record from one that was never finished.
        let counted = if damaged == 4 { 0.0 } else { 1.0 };
        assert_eq!(node.metric("promtail_spool_lost_groups_total"), counted);
        node.ack_all(0);

        // What is read again moves positions again, whatever the rest of the old groups says.
        node.offer(1, 2).unwrap();
        node.cut();
        assert_eq!(node.receive_all(0), lines(1, damaged..damaged + 2));
        node.kill();
        let mut node = Node::open(&world, &USUAL).unwrap();
        assert_eq!(offsets(&node.start), BTreeMap::from([(1, damaged + 2)]), "not the position of the old groups");
        node.receive_all(0);
        node.ack_all(0);
        node.advance(SYNC);
        node.kill();
        let mut node = Node::open(&world, &USUAL).unwrap();
        assert_eq!((offsets(&node.start), node.receive_all(0)), (BTreeMap::from([(1, damaged + 2)]), vec![]));
    }
}

#[test]
fn positions_stay_before_a_loss_when_everything_else_is_delivered() {
    let world = world(2);
    filled(&world, 5);
    world.disk.flip_bit(&segment(&world), records(&world)[2] + 30, 3);
    let mut node = Node::open(&world, &USUAL).unwrap();
    node.receive_all(0);
    node.ack_all(0);
    node.advance(SYNC);
    node.kill();
    // The old groups are gone, and nothing was read again before the process died.
    let node = Node::open(&world, &USUAL).unwrap();
    assert_eq!(offsets(&node.start), BTreeMap::from([(1, 2)]));
}

#[test]
fn damage_while_the_process_runs_holds_positions_back() {
    let world = world(3);
    filled(&world, 5);
    let mut node = Node::open(&world, &USUAL).unwrap();
    world.disk.flip_bit(&segment(&world), records(&world)[2] + 30, 3);
    assert_eq!(node.receive_all(0), [lines(1, 0..2), lines(1, 3..5)].concat());
    node.ack_all(0);
    node.advance(SYNC);
    assert_eq!(node.metric("promtail_spool_lost_groups_total"), 1.0);
    let yaml = || String::from_utf8(world.disk.read(Path::new(POSITIONS)).unwrap()).unwrap();
    assert_eq!(yaml(), "positions:\n  /var/log/1.log: \"2\"\n");
    // Sources that begin again in the same process.
    let start = node.spool.start_positions().now_or_never().unwrap().unwrap();
    assert_eq!(offsets(&start), BTreeMap::from([(1, 2)]));
    node.offered.insert(1, 2);
    node.offer(1, 4).unwrap();
    node.cut();
    assert_eq!(node.receive_all(0), lines(1, 2..6));
    node.ack_all(0);
    node.advance(SYNC);
    assert_eq!(yaml(), "positions:\n  /var/log/1.log: \"6\"\n");
}

#[test]
fn a_payload_that_is_damaged_is_named_as_lost() {
    let world = world(4);
    filled(&world, 1);
    let mut node = Node::open(&world, &USUAL).unwrap();
    let batch = node.clients[0].reader.next().now_or_never().unwrap();
    let end = *records(&world).last().unwrap();
    world.disk.flip_bit(&segment(&world), end - 1, 3);
    assert!(batch.payload().now_or_never().unwrap().is_ok(), "it is still in memory");
    node.clients[0].reader = node.spool.reader("a");
    let error = batch.payload().now_or_never().unwrap().unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), ("group 1 of the spool is damaged or cannot be read", ErrorKind::Corrupt));
}

#[test]
fn sources_that_begin_again_begin_behind_all_that_was_offered() {
    let world = world(5);
    let mut node = Node::open(&world, &USUAL).unwrap();
    node.offer(1, 1).unwrap();
    node.cut();
    node.offer(1, 1).unwrap();
    node.offer(2, 3).unwrap();
    // One group is in the spool, the other is open.
    let start = node.spool.start_positions().now_or_never().unwrap().unwrap();
    assert_eq!(offsets(&start), BTreeMap::from([(1, 2), (2, 3)]));
    let intake = node.spool.intake();
    let cursor = PositionUpdate::Cursor { key: "journal".into(), value: "s=1".into() };
    intake.offer(&mut Vec::new(), Some(cursor)).unwrap();
    intake.offer(&mut Vec::new(), Some(PositionUpdate::FileDone(FileId(1)))).unwrap();
    let start = node.spool.start_positions().now_or_never().unwrap().unwrap();
    assert_eq!((offsets(&start), start.cursor("journal")), (BTreeMap::from([(2, 3)]), Some("s=1")));
    // Nothing is lost, so nothing is held back.
    node.cut();
    node.receive_all(0);
    node.ack_all(0);
    node.advance(SYNC);
    let yaml = world.disk.read(Path::new(POSITIONS)).unwrap();
    assert_eq!(String::from_utf8(yaml).unwrap(), "positions:\n  /var/log/2.log: \"3\"\n  cursor-journal: \"s=1\"\n");
}

#[test]
fn a_spool_without_its_state_is_sent_again_and_counts() {
    let world = world(6);
    let mut node = Node::open(&world, &USUAL).unwrap();
    for _ in 0..3 {
        node.offer(1, 1).unwrap();
        node.cut();
    }
    node.receive(0).unwrap();
    node.ack_all(0);
    node.advance(SYNC);
    node.kill();
    use skald_model::seam::Disk;
    world.disk.remove_file(Path::new(&format!("{POSITIONS}.skald"))).unwrap();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!(offsets(&node.start), BTreeMap::from([(1, 3)]));
    assert_eq!(node.receive_all(0), lines(1, 0..3));
    assert_eq!(node.metric("promtail_spool_lost_groups_total"), 0.0);
}

#[test]
fn a_removed_spool_is_read_again_from_the_files() {
    let world = world(7);
    let mut node = Node::open(&world, &USUAL).unwrap();
    for _ in 0..3 {
        node.offer(1, 1).unwrap();
        node.cut();
    }
    node.receive(0).unwrap();
    node.ack_all(0);
    node.advance(SYNC);
    node.kill();
    world.disk.remove_dir_all(Path::new(DIR)).unwrap();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!((offsets(&node.start), node.receive(0)), (BTreeMap::from([(1, 1)]), None));
    node.offer(1, 2).unwrap();
    node.cut();
    assert_eq!(node.receive_all(0), lines(1, 1..3));
    node.ack_all(0);
    node.advance(SYNC);
    assert_eq!(node.metric("promtail_spool_lost_groups_total"), 0.0);
    let yaml = world.disk.read(Path::new(POSITIONS)).unwrap();
    assert_eq!(String::from_utf8(yaml).unwrap(), "positions:\n  /var/log/1.log: \"3\"\n");
}

#[test]
fn a_positions_file_that_somebody_changed_has_the_last_word() {
    let world = world(8);
    let mut node = Node::open(&world, &USUAL).unwrap();
    for source in 1..4 {
        node.offer(source, 5).unwrap();
    }
    node.cut();
    node.receive_all(0);
    node.ack_all(0);
    node.advance(SYNC);
    // More of each source, which stays in the spool.
    for source in 1..4 {
        node.offer(source, 1).unwrap();
    }
    node.cut();
    node.kill();
    // The first as it was, the second further on, the third to be read again, a fourth that we did not know.
    let edited = "positions:\n  /var/log/1.log: \"5\"\n  /var/log/2.log: \"9\"\n  /var/log/4.log: \"2\"\n  cursor-j: \"x\"\n";
    world.disk.plant(Path::new(POSITIONS), edited.as_bytes());
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!(offsets(&node.start), BTreeMap::from([(1, 5)]));
    let plain: BTreeMap<_, _> = node.start.plain.iter().map(|(path, offset)| (path.to_str().unwrap(), *offset)).collect();
    assert_eq!(plain, BTreeMap::from([("/var/log/2.log", 9), ("/var/log/4.log", 2)]));
    assert_eq!(node.start.cursor("j"), Some("x"));
    // What the spool holds is sent; its positions count no more.
    assert_eq!(node.receive_all(0), (1..4).map(|source| (source, 5)).collect::<Vec<_>>());
    node.ack_all(0);
    node.advance(SYNC);
    let yaml = world.disk.read(Path::new(POSITIONS)).unwrap();
    assert_eq!(String::from_utf8(yaml).unwrap(), edited);
}

#[test]
fn a_removed_positions_file_means_to_read_everything_again() {
    let world = world(9);
    let mut node = Node::open(&world, &USUAL).unwrap();
    node.offer(1, 5).unwrap();
    node.cut();
    node.receive_all(0);
    node.ack_all(0);
    node.advance(SYNC);
    node.kill();
    use skald_model::seam::Disk;
    world.disk.remove_file(Path::new(POSITIONS)).unwrap();
    let node = Node::open(&world, &USUAL).unwrap();
    assert_eq!(node.start, StartPositions::default());
}
