use super::*;

#[test]
fn what_was_not_taken_comes_again_and_files_are_held_meanwhile() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", text(0, 10));
        bench.sink.room = Some(4);
        bench.go();
        assert_eq!(bench.taken(), texts(0, 4));
        assert_eq!(bench.sink.positions.values().map(|position| position.offset).collect::<Vec<_>>(), [text(0, 4).len() as u64]);
        bench.write("b.log", text(20, 2));
        bench.go();
        bench.remove("a.log");
        bench.remove("b.log");
        bench.drain().drain();
        assert_eq!(bench.taken().len(), 0);
        bench.sink.room = Some(7);
        bench.go();
        bench.sink.room = None;
        bench.go();
        let lines = bench.taken_sorted();
        assert_eq!(lines, [texts(4, 6), texts(20, 2)].concat());
    });
}

#[test]
fn a_last_line_without_end_waits_for_room_too() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\nlast");
    bench.go().expect(["one"]);
    bench.remove("a.log");
    bench.sink.room = Some(0);
    bench.go().drain().expect([]);
    assert_eq!(bench.tailer.stats().files, 1);
    bench.sink.room = None;
    bench.go().expect(["last"]).expect_closed("a.log", Closed::Finished);
}

#[test]
fn a_paused_file_waits_and_others_do_not() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\ntwo\n");
    bench.sink.pause = Some(Duration::from_secs(5));
    bench.go().expect(["one"]);
    bench.sink.pause = None;
    bench.write("b.log", "three\n");
    bench.append("a.log", "four\n");
    bench.go().expect(["three"]);
    bench.after(Duration::from_secs(5)).expect(["two", "four"]);
}

#[test]
fn a_large_file_does_not_keep_others_waiting() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", text(0, 30_000));
    bench.write("b.log", "small\n");
    bench.tailer.round(bench.now, Timestamp(0), &mut bench.sink);
    assert!(bench.sink.lines.iter().any(|(_, _, line)| line == "small"));
    assert!(bench.sink.lines.len() < 10_000);
    bench.go();
    assert_eq!(bench.taken().len(), 30_001);
}

#[test]
fn positions_name_the_next_unread_byte() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\ntwö\nthree");
    bench.go();
    let starts: Vec<u64> = bench.sink.lines.iter().map(|(_, start, _)| *start).collect();
    assert_eq!(starts, [0, 4]);
    assert_eq!(bench.sink.positions.values().next().unwrap().offset, 9);
}

#[test]
fn more_files_than_descriptors_are_read() {
    Bench::both("*.log", |mut bench| {
        bench.config.descriptors_max = Some(8);
        bench.restart();
        for number in 0..40 {
            bench.write(&format!("{number}.log"), format!("{number} one\n"));
        }
        bench.go();
        assert_eq!(bench.taken().len(), 40);
        for number in 0..40 {
            bench.append(&format!("{number}.log"), format!("{number} two\n"));
        }
        bench.go();
        assert_eq!(bench.taken().len(), 40);
        assert!(bench.tailer.stats().descriptors <= 9, "{:?}", bench.tailer.stats());
        // A file without a descriptor is found again under its new name.
        for number in 0..40 {
            bench.append(&format!("{number}.log"), format!("{number} three\n"));
            bench.rename(&format!("{number}.log"), &format!("{number}.log.1"));
        }
        bench.go();
        assert_eq!(bench.taken().len(), 40);
    });
}

#[test]
fn directories_are_looked_at_often_only_where_changes_are_not_reported() {
    for (inotify, linked, want) in [(true, false, 60), (true, true, 10), (false, false, 10)] {
        let mut bench = Bench::new("app/*.log", inotify);
        bench.config.sync_period = Duration::from_secs(10);
        fs::create_dir(bench.path("real")).unwrap();
        if linked {
            std::os::unix::fs::symlink("real", bench.path("app")).unwrap();
        } else {
            bench.rename("real", "app");
        }
        bench.write("app/a.log", "one\n");
        bench.restart().go().expect(["one"]);
        assert_eq!(bench.tailer.scan_due - bench.tailer.last_scan, Duration::from_secs(want), "{inotify} {linked}");
    }
}

#[test]
fn an_idle_tailer_sleeps_until_the_next_scan_and_is_woken_by_changes() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\n");
    bench.go();
    let next = bench.tailer.round(bench.now, Timestamp(0), &mut bench.sink);
    assert_eq!(next, Next::At(bench.tailer.last_scan + bench.config.sync_period));
    assert_eq!(bench.tailer.stats().polled, 0);
    bench.append("a.log", "two\n");
    // Returns because of the change; the test would hang for an hour else.
    bench.tailer.wait(Duration::from_secs(3600));
    bench.go().expect(["one", "two"]);
    bench.tailer.waker().wake();
    bench.tailer.wait(Duration::from_secs(3600));
}
