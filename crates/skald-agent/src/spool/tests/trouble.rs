//! A spool that is full, a disk that is full or fails.

use super::*;
use skald_testkit::Op;

#[test]
fn a_full_spool_takes_nothing_until_there_is_room() {
    let world = world(1);
    let mut node = Node::open(&world, &Setup { max_size: 3_000, ..USUAL }).unwrap();
    let mut taken = 0;
    while node.offer(1, 10).is_ok() {
        taken += 10;
        node.cut();
        assert!(taken < 10_000, "it is never full");
    }
    assert!(node.metric("promtail_spool_bytes") <= 3_000.0);
    let room = node.spool.intake().room();
    let mut room = Box::pin(room);
    assert!((&mut room).now_or_never().is_none());
    // What the first chunk holds is delivered: there is room again, before any sync of positions is due.
    let mut got = Vec::new();
    while (&mut room).now_or_never().is_none() {
        got.extend(node.receive(0).expect("a full spool has something to give"));
        node.ack_all(0);
    }
    assert!(got.len() < taken as usize);
    node.offer(1, 10).unwrap();
    node.cut();
    // The rest, little by little, as the spool takes it.
    while let Some(more) = node.receive(0) {
        got.extend(more);
        node.ack_all(0);
        node.cut();
    }
    assert_eq!(got, lines(1, 0..taken + 10));
}

#[test]
fn a_group_that_is_larger_than_the_spool_goes_through_alone() {
    let world = world(2);
    let mut node = Node::open(&world, &Setup { max_size: 100, ..USUAL }).unwrap();
    for round in 0..5 {
        let ticket = node.offer(1, 50).unwrap();
        node.cut();
        assert!(node.is_durable(ticket));
        assert_eq!(node.receive_all(0), lines(1, 50 * round..50 * (round + 1)));
        node.ack_all(0);
    }
}

#[test]
fn shipping_goes_on_when_the_disk_is_full() {
    let world = world(3);
    let mut node = Node::open(&world, &USUAL).unwrap();
    node.offer(1, 2).unwrap();
    node.cut();
    world.disk.set_free(0);
    let mut got = node.receive_all(0);
    node.ack_all(0);
    for _ in 0..10 {
        let ticket = node.offer(1, 3).unwrap();
        node.cut();
        assert!(!node.is_durable(ticket), "neither on disk nor delivered");
        got.extend(node.receive_all(0));
        node.ack_all(0);
        assert!(node.is_durable(ticket), "delivered to all");
        node.advance(SYNC);
    }
    assert_eq!(got, lines(1, 0..32));
    assert!(node.metric("promtail_spool_write_failures_total") >= 10.0);
    assert!(node.metric("promtail_positions_write_failures_total") > 0.0);

    // Room again: positions are written, and the next start goes on behind what was delivered from memory.
    world.disk.set_free(1 << 20);
    node.offer(1, 1).unwrap();
    node.advance(SYNC);
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!((offsets(&node.start), node.receive_all(0)), (BTreeMap::from([(1, 33)]), lines(1, 32..33)));
    assert_eq!(node.metric("promtail_spool_lost_groups_total"), 0.0);
}

#[test]
fn what_waits_in_memory_is_written_once_the_disk_takes_it() {
    let world = world(4);
    let mut node = Node::open(&world, &USUAL).unwrap();
    world.disk.fail_nth(Op::Sync, 1);
    let first = node.offer(1, 2).unwrap();
    node.cut();
    assert_eq!(node.receive(0), Some(lines(1, 0..2)), "given from memory");
    let second = node.offer(1, 2).unwrap();
    assert!(!node.is_durable(first) && !node.is_durable(second));
    node.advance(Duration::from_secs(2));
    assert!(node.is_durable(first) && node.is_durable(second));
    world.disk.power_cut(4);
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!((offsets(&node.start), node.receive_all(0)), (BTreeMap::from([(1, 4)]), lines(1, 0..4)));
}

#[test]
fn one_group_at_a_time_is_kept_in_memory_while_the_disk_fails() {
    let world = world(5);
    let mut node = Node::open(&world, &USUAL).unwrap();
    world.disk.set_free(0);
    let mut taken = 0;
    while node.offer(1, 50).is_ok() {
        taken += 50;
        node.cut();
        assert!(taken < 2_000, "it takes without end");
    }
    // Every group that is delivered lets the next one go.
    let mut got = node.receive_all(0);
    assert!((got.len() as u64) < taken);
    for _ in 0..10 {
        node.ack_all(0);
        node.cut();
        got.extend(node.receive_all(0));
    }
    assert_eq!(got, lines(1, 0..taken));
}

#[test]
fn a_disk_that_the_spool_itself_has_filled_is_freed_by_what_was_delivered() {
    let world = world(6);
    let mut node = Node::open(&world, &Setup { max_size: 16_000, ..USUAL }).unwrap();
    for _ in 0..30 {
        node.offer(1, 20).unwrap();
        node.cut();
    }
    world.disk.set_free(0);
    let mut got = node.receive_all(0);
    node.ack_all(0);
    node.offer(1, 1).unwrap();
    node.cut();
    got.extend(node.receive_all(0));
    node.advance(Duration::from_secs(3));
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 1.0);
    assert!(node.spool.0.state.lock().first_held(0).unwrap().place.get().is_some(), "it is on disk");
    assert_eq!(got, lines(1, 0..601));
    node.ack_all(0);
    node.advance(SYNC);
    let yaml = world.disk.read(Path::new(POSITIONS)).unwrap();
    assert_eq!(String::from_utf8(yaml).unwrap(), "positions:\n  /var/log/1.log: \"601\"\n");
}

#[test]
fn a_spool_whose_positions_cannot_be_written_goes_on() {
    let world = world(7);
    let mut node = Node::open(&world, &Setup { max_size: 3_000, ..USUAL }).unwrap();
    // A folder where the file should be.
    world.disk.plant(Path::new(&format!("{POSITIONS}.skald-new/x")), b"");
    let mut got = Vec::new();
    for _ in 0..60 {
        node.offer(1, 20).unwrap();
        node.cut();
        got.extend(node.receive_all(0));
        node.ack_all(0);
        node.advance(SYNC);
    }
    assert_eq!(got, lines(1, 0..1200));
    assert!(node.metric("promtail_positions_write_failures_total") >= 60.0);
    node.kill();
    let node = Node::open(&world, &USUAL).unwrap();
    assert!(offsets(&node.start).get(&1).is_none_or(|offset| *offset <= 1200), "read again rather than lost");
}

#[test]
fn a_read_that_fails_is_tried_again() {
    let world = world(8);
    let mut node = Node::open(&world, &USUAL).unwrap();
    node.offer(1, 2).unwrap();
    node.cut();
    node.kill();
    for nth in 1..6 {
        let mut node = Node::open(&world, &USUAL).unwrap();
        world.disk.fail_nth(Op::Read, nth);
        let reader = &mut node.clients[0].reader;
        let batch = node.world.clock.drive(reader.next());
        node.clients[0].reader = node.spool.reader("a");
        let lines_again = match batch.payload().now_or_never().unwrap() {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                lines_of(&batch)
            }
            Ok(_) => lines_of(&batch),
        };
        assert_eq!(lines_again, lines(1, 0..2));
        node.kill();
    }
}

/// Three chunks or more of the lines of source 1, and a process that is dead.
fn chunks(world: &SimWorld, setup: &Setup<'_>) {
    let mut node = Node::open(world, setup).unwrap();
    for _ in 0..16 {
        node.offer(1, 10).unwrap();
        node.cut();
    }
    assert!(node.spool.0.state.lock().chunks_from(0).len() > 2);
    node.kill();
}

/// Delivers the rest and gives where the sources would begin.
fn positions_after(node: &mut Node) -> BTreeMap<u64, u64> {
    node.receive_all(0);
    node.ack_all(0);
    node.advance(SYNC);
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 0.0);
    offsets(&node.spool.start_positions().now_or_never().unwrap().unwrap())
}

#[test]
fn a_chunk_that_cannot_be_read_does_not_stop_what_lies_behind_it() {
    let (world, setup) = (world(9), Setup { max_size: 8_000, ..USUAL });
    chunks(&world, &setup);
    let mut node = Node::open(&world, &setup).unwrap();
    (1..=5).for_each(|nth| world.disk.fail_nth(Op::Read, nth));
    let batch = node.world.clock.drive(node.clients[0].reader.next());
    let first = lines_of(&batch)[0].1;
    assert!(first > 0, "the first chunk was left out");
    batch.ack();
    assert_eq!(positions_after(&mut node), BTreeMap::new(), "positions stay before what no client was given");
    assert_eq!(node.metric("promtail_spool_lost_groups_total"), 1.0);
}

#[test]
fn a_payload_that_cannot_be_read_is_given_up_in_the_end() {
    let (world, setup) = (world(10), Setup { max_size: 8_000, ..USUAL });
    chunks(&world, &setup);
    let mut node = Node::open(&world, &setup).unwrap();
    assert_eq!(node.receive(0), Some(lines(1, 0..10)));
    let batch = node.clients[0].reader.next().now_or_never().unwrap();
    node.receive(0).unwrap();
    for attempt in 1..=5 {
        world.disk.fail_nth(Op::Read, 1);
        let error = batch.payload().now_or_never().unwrap().unwrap_err();
        assert_eq!(matches!(error, PayloadError::Lost(2)), attempt == 5, "attempt {attempt}: {error}");
    }
    batch.ack();
    assert_eq!(positions_after(&mut node), BTreeMap::from([(1, 10)]), "not past what is given up");
}

#[test]
fn a_group_that_is_only_in_memory_stays_there_however_large_it_is() {
    let world = world(11);
    let mut node = Node::open(&world, &USUAL).unwrap();
    world.disk.set_free(0);
    let random = skald_testkit::SeededRandom::new(11);
    let noise: String = (0..3_000_000).map(|_| char::from(33 + random.below(90) as u8)).collect();
    let entry = Entry { line: format!("{noise} 1:0"), ..entry(1, 0) };
    node.spool.intake().offer(&mut vec![entry], Some(position(1, 1))).unwrap();
    node.cut();
    // It has been tried to write it again, and a client comes late.
    node.advance(Duration::from_secs(2));
    node.clients[0].reader = node.spool.reader("a");
    let batch = node.clients[0].reader.next().now_or_never().expect("is there");
    let request = decode(&batch.payload().now_or_never().unwrap().unwrap());
    assert!(request.streams[0].entries[0].line.ends_with(b" 1:0"));
}

#[test]
fn positions_do_not_pass_what_is_not_acknowledged_where_numbers_were_skipped() {
    let world = world(12);
    let mut node = Node::open(&world, &Setup { clients: &["a", "b"], ..USUAL }).unwrap();
    node.offer(1, 1).unwrap();
    node.cut();
    // The second group is never in the log, and one client alone has it.
    world.disk.fail_nth(Op::Append, 1);
    node.offer(1, 1).unwrap();
    node.cut();
    assert_eq!(node.receive_all(0), lines(1, 0..2));
    node.ack_all(0);
    node.spool.0.keep_now(Need::Sync);
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!((offsets(&node.start), node.receive_all(0)), (BTreeMap::from([(1, 1)]), vec![]));
    node.offer(1, 3).unwrap();
    node.cut();
    node.advance(SYNC);
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!(offsets(&node.start), BTreeMap::from([(1, 4)]));
    assert_eq!(node.receive_all(0), lines(1, 1..4), "nobody has acknowledged it");
    let yaml = world.disk.read(Path::new(POSITIONS)).unwrap();
    assert_eq!(String::from_utf8(yaml).unwrap(), "positions:\n  /var/log/1.log: \"1\"\n");
}
