use super::*;

#[test]
fn reading_goes_on_at_the_position() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\ntwo\npart");
        bench.go().expect(["one", "two"]);
        let before = bench.sink.opened[0].0;
        bench.append("a.log", "ial\nthree\n");
        bench.restart().go().expect(["partial", "three"]);
        assert_eq!(bench.sink.opened[1], (before, bench.path("a.log"), 8));
    });
}

#[test]
fn the_rest_of_a_file_is_found_wherever_it_was_rotated_to() {
    let rotations: [(&str, fn(&Bench)); 4] = [
        ("renamed", |_| {}),
        ("compressed", |bench| bench.gzip("a.log.1")),
        ("renamed again", |bench| bench.rename("a.log.1", "a.log-20260101")),
        ("copied", |bench| {
            fs::copy(bench.path("a.log.1"), bench.path("a.log.2")).unwrap();
            bench.remove("a.log.1");
        }),
    ];
    for (name, rotate) in rotations {
        let mut bench = Bench::new("a.log", true);
        bench.write("a.log", text(0, 30));
        bench.go();
        assert_eq!(bench.taken(), texts(0, 30));
        bench.append("a.log", text(30, 3));
        bench.rename("a.log", "a.log.1");
        bench.write("a.log", text(33, 2));
        rotate(&bench);
        bench.restart().go();
        assert_eq!(bench.taken_sorted(), texts(30, 5), "{name}");
        // And where it was read to there is known again.
        bench.restart().go().expect([]);
        bench.drain();
        assert_eq!((bench.taken().len(), bench.sink.positions.len()), (0, 1), "{name}");
    }
}

#[test]
fn files_that_came_and_went_meanwhile_are_read() {
    for pack in [false, true] {
        let mut bench = Bench::new("a.log", true);
        bench.write("a.log", text(0, 3));
        bench.go();
        bench.taken();
        bench.append("a.log", text(3, 2));
        bench.rename("a.log", "a.log.2");
        bench.write("a.log.1", text(5, 2));
        bench.write("a.log", text(7, 2));
        if pack {
            bench.gzip("a.log.2");
        }
        bench.restart().go();
        assert_eq!(bench.taken_sorted(), texts(3, 6));
    }
}

#[test]
fn a_file_truncated_meanwhile_is_read_anew_and_its_copy_to_the_end() {
    let mut bench = Bench::new("a.log", true);
    bench.write("a.log", text(0, 3));
    bench.go();
    bench.taken();
    bench.append("a.log", text(3, 1));
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.write("a.log", text(4, 9));
    bench.restart().go();
    assert_eq!(bench.taken_sorted(), texts(3, 10));
}

#[test]
fn a_file_that_is_nowhere_is_reported_once() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\n");
    bench.go().expect(["one"]);
    bench.remove("a.log");
    bench.write("a.log", "two\n");
    bench.restart().go();
    // The inode may be the same: then it is by content that the file is another one.
    bench.expect(["two"]);
    assert_eq!(bench.sink.closed.iter().filter(|(_, why)| *why == Closed::Lost).count(), 1);
    bench.go().restart().go().expect([]);
    assert_eq!(bench.sink.closed.len(), 1);
}

#[test]
fn positions_of_promtail_count_where_nothing_better_is_known() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\ntwo\n");
    bench.write("b.log", "three\n");
    let plain = HashMap::from([(bench.path("a.log"), 4), (bench.path("b.log"), 400)]);
    bench.restart_with(Vec::new(), plain.clone()).go();
    let lines = bench.taken_sorted();
    assert_eq!(lines, ["three", "two"]);
    // A sidecar that knows the path knows that this is another file.
    let mut known: Vec<FilePosition> = bench.sink.positions.values().cloned().collect();
    known.iter_mut().for_each(|position| position.inode += 1_000_000);
    bench.restart_with(known, plain).go();
    assert_eq!(bench.taken().len(), 3);
}

#[test]
fn a_target_with_other_labels_goes_on_where_the_old_one_was() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\n");
    bench.go().expect(["one"]);
    bench.targets[0].key = "other".into();
    bench.append("a.log", "two\n");
    bench.restart().go().expect(["two"]);
}

#[test]
fn a_device_number_may_change_and_a_reused_inode_is_no_proof() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", text(0, 2));
    bench.go();
    bench.taken();
    let known: Vec<FilePosition> =
        bench.sink.positions.values().map(|position| FilePosition { device: position.device + 1, ..position.clone() }).collect();
    bench.restart_with(known.clone(), HashMap::new()).go().expect([]);
    bench.write("a.log", text(5, 3));
    bench.restart_with(known, HashMap::new()).go();
    assert_eq!(bench.taken(), texts(5, 3));
}

#[test]
fn positions_without_target_are_kept_while_their_file_exists() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\n");
    bench.go();
    let known: Vec<FilePosition> = bench.sink.positions.values().cloned().collect();
    let targets = std::mem::take(&mut bench.targets);
    bench.restart_with(known, HashMap::new()).go().after(Duration::from_secs(601));
    assert_eq!(bench.sink.closed, []);
    bench.tailer.set_targets(targets);
    bench.taken();
    bench.go().expect([]);
    bench.restart().go();
    bench.remove("a.log");
    bench.after(Duration::from_secs(601)).expect_closed("a.log", Closed::Lost);
}

#[test]
fn of_several_files_that_left_one_path_none_is_taken_for_a_new_one() {
    let mut bench = Bench::new("a.log", true);
    for round in 0..4 {
        bench.write("a.log", text(round * 2, 2));
        bench.go();
        bench.rename("a.log", &format!("a.log.{round}"));
    }
    bench.write("a.log", text(8, 2));
    bench.go();
    assert_eq!(bench.taken_sorted(), texts(0, 10));
    assert_eq!(bench.sink.positions.len(), 5, "all of them are read still");
    // Their order in the file is any.
    let mut known: Vec<FilePosition> = bench.sink.positions.values().cloned().collect();
    for _ in 0..known.len() {
        known.rotate_left(1);
        bench.restart_with(known.clone(), HashMap::new());
        bench.go().expect([]);
    }
}
