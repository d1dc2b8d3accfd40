//! What clients are given, and when.

use super::*;

#[test]
fn what_is_offered_is_cut_written_given_and_forgotten() {
    let world = world(1);
    let mut node = Node::open(&world, &USUAL).unwrap();
    let ticket = node.offer(1, 3).unwrap();
    node.offer(2, 2).unwrap();
    node.settle();
    assert_eq!((node.receive(0), node.is_durable(ticket)), (None, false), "nothing before it is on disk");
    node.cut();
    assert!(node.is_durable(ticket));
    let batch = node.receive(0).unwrap();
    assert_eq!(batch, [lines(1, 0..3), lines(2, 0..2)].concat());
    assert_eq!(node.receive(0), None);
    assert_eq!((node.metric("promtail_spool_unacked_groups"), node.spool.0.state.lock().window_bytes() > 0), (1.0, true));
    node.advance(Duration::from_secs(5));
    assert_eq!(node.metric("promtail_oldest_unacked_seconds"), 5.0);
    node.ack_all(0);
    assert_eq!(node.metric("promtail_oldest_unacked_seconds"), 0.0);
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 0.0);
    assert_eq!(node.spool.0.state.lock().window_bytes(), 0, "nothing is held for nobody");
    node.advance(SYNC);
    let yaml = world.disk.read(Path::new(POSITIONS)).unwrap();
    assert_eq!(String::from_utf8(yaml).unwrap(), "positions:\n  /var/log/1.log: \"3\"\n  /var/log/2.log: \"2\"\n");
}

#[test]
fn a_restart_gives_again_what_was_not_acknowledged_and_nothing_else() {
    let world = world(2);
    let mut node = Node::open(&world, &USUAL).unwrap();
    for _ in 0..4 {
        node.offer(1, 2).unwrap();
        node.cut();
    }
    while node.receive(0).is_some() {}
    // The second and the last of four.
    node.clients[0].open[0].ack();
    node.clients[0].open[2].ack();
    node.advance(SYNC);
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!(offsets(&node.start), BTreeMap::from([(1, 8)]), "reading goes on behind the spool");
    assert_eq!(node.receive_all(0), lines(1, 2..8), "in order, from the first on that is open");
    node.ack_all(0);
    node.advance(SYNC);
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!((offsets(&node.start), node.receive_all(0)), (BTreeMap::from([(1, 8)]), vec![]));
    node.offer(1, 1).unwrap();
    node.cut();
    assert_eq!(node.receive_all(0), lines(1, 8..9));
}

#[test]
fn positions_are_those_of_the_slowest_client() {
    let world = world(3);
    let setup = Setup { clients: &["fast", "slow"], ..USUAL };
    let mut node = Node::open(&world, &setup).unwrap();
    for _ in 0..3 {
        node.offer(1, 1).unwrap();
        node.cut();
    }
    assert_eq!(node.receive_all(0), lines(1, 0..3));
    node.ack_all(0);
    assert_eq!(node.receive(1), Some(lines(1, 0..1)));
    node.ack_all(1);
    node.advance(SYNC);
    let yaml = || String::from_utf8(world.disk.read(Path::new(POSITIONS)).unwrap()).unwrap();
    assert_eq!(yaml(), "positions:\n  /var/log/1.log: \"1\"\n");
    node.kill();

    let mut node = Node::open(&world, &setup).unwrap();
    assert_eq!(node.receive_all(0), [], "the fast one is not given again what it has");
    assert_eq!(node.receive_all(1), lines(1, 1..3));
    node.kill();

    // The slow one is gone from the configuration, another is new: it is given what the spool holds, and holds it from now on.
    let mut node = Node::open(&world, &Setup { clients: &["fast", "new"], ..USUAL }).unwrap();
    assert_eq!((node.receive_all(0), node.receive_all(1)), (vec![], lines(1, 1..3)));
    node.kill();
    let node = Node::open(&world, &Setup { clients: &["fast"], ..USUAL }).unwrap();
    node.advance(SYNC);
    assert_eq!(yaml(), "positions:\n  /var/log/1.log: \"3\"\n");
}

#[test]
fn clients_may_change_while_it_runs() {
    let world = world(4);
    let mut node = Node::open(&world, &Setup { clients: &["a", "b"], ..USUAL }).unwrap();
    node.offer(1, 1).unwrap();
    node.cut();
    assert_eq!(node.receive_all(0), lines(1, 0..1));
    node.ack_all(0);
    node.spool.set_clients(&["a".to_owned(), "c".to_owned()]);
    node.clients[1] = Client { name: "c".into(), reader: node.spool.reader("c"), open: Vec::new() };
    node.clients[0].reader = node.spool.reader("a");
    assert_eq!((node.receive_all(0), node.receive_all(1)), (vec![], lines(1, 0..1)));
    node.spool.set_clients(&["a".to_owned()]);
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 0.0);
}

#[test]
fn a_reader_made_anew_gives_again_what_was_not_acknowledged() {
    let world = world(5);
    let mut node = Node::open(&world, &USUAL).unwrap();
    for _ in 0..2 {
        node.offer(1, 1).unwrap();
        node.cut();
    }
    assert_eq!(node.receive_all(0), lines(1, 0..2));
    let late = node.clients[0].open.remove(0);
    node.ack_all(0);
    node.clients[0].reader = node.spool.reader("a");
    late.ack();
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 2.0, "the new reader has been given nothing yet");
    assert_eq!(node.receive(0), Some(lines(1, 0..1)));
    // The acknowledgement of the earlier reader's batch counts too.
    late.ack();
    assert_eq!(node.receive_all(0), lines(1, 1..2));
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 1.0);
}

#[test]
fn a_reader_that_stops_waiting_loses_nothing() {
    let world = world(6);
    let mut node = Node::open(&world, &USUAL).unwrap();
    for _ in 0..3 {
        node.offer(1, 1).unwrap();
        node.cut();
    }
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    for number in 0..3 {
        // A look into the log whose result nobody waits for any more.
        let reader = &node.clients[0].reader;
        let found = node.spool.0.group_from(&mut reader.log.lock(), reader.read + 1).unwrap();
        assert_eq!(found.map(|held| held.group.number), Some(number + 1));
        assert_eq!(node.receive(0), Some(lines(1, number..number + 1)));
    }
}

#[test]
fn tenants_have_batches_of_their_own_in_one_group() {
    let world = world(7);
    let mut node = Node::open(&world, &USUAL).unwrap();
    let mut entries: Vec<Entry> = (0..4).map(|number| entry(1, number)).collect();
    for (entry, tenant) in entries.iter_mut().zip(["x", "", "x", "y"]) {
        entry.labels.set("__tenant_id__", tenant);
        entry.labels.set("__internal", "1");
    }
    node.spool.intake().offer(&mut entries, None).unwrap();
    assert!(entries.is_empty());
    node.cut();
    let mut got = BTreeMap::new();
    while let Some(lines) = node.receive(0) {
        let batch = node.clients[0].open.last().unwrap();
        let request = decode(&batch.payload().now_or_never().unwrap().unwrap());
        assert_eq!(request.streams.iter().map(|stream| &stream.labels[..]).collect::<Vec<_>>(), [b"{source=\"1\"}"]);
        assert_eq!(batch.group(), 1);
        got.insert(batch.tenant().map(|tenant| tenant.to_string()), lines);
    }
    let want = [(None, vec![(1, 1)]), (Some("x".to_owned()), vec![(1, 0), (1, 2)]), (Some("y".to_owned()), vec![(1, 3)])];
    assert_eq!(got, BTreeMap::from(want));
    node.clients[0].open.drain(1..).for_each(|batch| batch.ack());
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 1.0);
    node.ack_all(0);
    assert_eq!(node.metric("promtail_spool_unacked_groups"), 0.0);
}

#[test]
fn what_no_longer_lies_in_memory_comes_from_the_log() {
    let world = world(8);
    let mut node = Node::open(&world, &Setup { max_size: 1 << 30, ..USUAL }).unwrap();
    // Lines that cannot be compressed, more than memory keeps.
    let random = skald_testkit::SeededRandom::new(8);
    let groups = 40;
    for number in 0..groups {
        let noise: String = (0..100_000).map(|_| char::from(33 + random.below(90) as u8)).collect();
        let entry = Entry { line: format!("{noise}1:{number}"), ..entry(1, number) };
        node.spool.intake().offer(&mut vec![entry], Some(position(1, number + 1))).unwrap();
        node.cut();
    }
    assert!(node.metric("promtail_spool_memory_bytes") < 3e6);
    let mut batches = Vec::new();
    for _ in 0..groups {
        batches.push(node.clients[0].reader.next().now_or_never().expect("is there"));
    }
    for (number, batch) in (0u64..).zip(&batches) {
        let request = decode(&batch.payload().now_or_never().unwrap().unwrap());
        assert!(request.streams[0].entries[0].line.ends_with(format!("1:{number}").as_bytes()));
    }
    // Acknowledged from the end on: positions wait for the first, and then take in what is only in the log.
    batches.drain(1..).rev().for_each(|batch| batch.ack());
    node.advance(SYNC);
    let yaml = || String::from_utf8(world.disk.read(Path::new(POSITIONS)).unwrap()).unwrap();
    assert_eq!(yaml(), "positions: {}\n");
    batches[0].ack();
    node.advance(SYNC);
    assert_eq!(yaml(), "positions:\n  /var/log/1.log: \"40\"\n");
}

#[test]
fn chunks_that_all_clients_have_are_removed() {
    let world = world(9);
    let mut node = Node::open(&world, &Setup { max_size: 8_000, ..USUAL }).unwrap();
    for _ in 0..60 {
        node.offer(1, 20).unwrap();
        node.cut();
        node.receive_all(0);
        node.ack_all(0);
        node.advance(SYNC);
    }
    assert!(node.metric("promtail_spool_bytes") < 2_500.0, "a chunk has 1,000 bytes");
}

#[test]
fn a_second_process_is_kept_out() {
    let world = world(10);
    let node = Node::open(&world, &USUAL).unwrap();
    let error = Node::open(&world, &USUAL).err().expect("is refused");
    assert!(matches!(error, SpoolError::InUse(_)), "{error}");
    node.kill();
    Node::open(&world, &USUAL).unwrap();
}

#[test]
fn stop_writes_what_was_offered_and_drained_waits_for_the_clients() {
    let world = world(11);
    let mut node = Node::open(&world, &USUAL).unwrap();
    node.offer(1, 5).unwrap();
    let (spool, spawner) = (node.spool.clone(), node.world.spawner.clone());
    node.settle();
    let mut drained = Box::pin(spool.drained());
    assert!((&mut drained).now_or_never().is_none());
    node.settle();
    assert_eq!(node.receive_all(0), lines(1, 0..5));
    assert!((&mut drained).now_or_never().is_none());
    node.ack_all(0);
    spawner.run(drained);
    node.offer(1, 2).unwrap();
    spawner.run(spool.stop());
    node.kill();
    let mut node = Node::open(&world, &USUAL).unwrap();
    assert_eq!((offsets(&node.start), node.receive_all(0)), (BTreeMap::from([(1, 7)]), lines(1, 5..7)));
}
