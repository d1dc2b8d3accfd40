use super::*;

#[test]
fn a_file_is_read_from_its_beginning_and_followed() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\ntwo\r\n\nthr");
        bench.go().expect(["one", "two\r", ""]);
        bench.append("a.log", "ee\nfour\n");
        bench.go().expect(["three", "four"]);
        bench.write("b.log", "five\n");
        bench.write("b.txt", "six\n");
        bench.go().expect(["five"]);
        assert_eq!(bench.sink.opened.len(), 2);
        assert_eq!(
            bench.tailer.files().iter().map(|file| (file.offset, file.size, file.lines)).fold((0, 0, 0), |a, b| (
                a.0 + b.0,
                a.1 + b.1,
                a.2 + b.2
            )),
            (26, 26, 6)
        );
    });
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning() {
    Bench::both("a.log", |mut bench| {
        bench.write("a.log", "one\n");
        bench.go().expect(["one"]);
        bench.append("a.log", "two\n");
        bench.rename("a.log", "a.log.1");
        bench.write("a.log", "three\n");
        bench.go();
        let lines = bench.taken_sorted();
        assert_eq!(lines, ["three", "two"]);
        // The writer may not have opened its new file yet.
        bench.append("a.log.1", "late\n");
        bench.go().expect(["late"]);
        bench.drain().expect_closed("a.log", Closed::Finished);
        assert_eq!(bench.tailer.stats().files, 1);
        assert_eq!(
            bench.sink.opened.iter().map(|(_, path, _)| path.clone()).collect::<Vec<_>>(),
            [bench.path("a.log"), bench.path("a.log")]
        );
    });
}

#[test]
fn a_renamed_file_that_the_glob_still_finds_is_not_read_again() {
    Bench::both("a.log*", |mut bench| {
        bench.write("a.log", "one\n");
        bench.go().expect(["one"]);
        bench.append("a.log", "two\n");
        bench.rename("a.log", "a.log.1");
        bench.write("a.log", "three\n");
        bench.go();
        let lines = bench.taken_sorted();
        assert_eq!(lines, ["three", "two"]);
        bench.rename("a.log.1", "a.log.2");
        bench.rename("a.log", "a.log.1");
        bench.append("a.log.2", "four\n");
        bench.go().expect(["four"]);
        bench.drain().expect([]);
        assert_eq!((bench.sink.opened.len(), bench.sink.closed.len()), (2, 0));
        let mut paths: Vec<PathBuf> = bench.tailer.files().into_iter().map(|file| file.path).collect();
        paths.sort();
        assert_eq!(paths, [bench.path("a.log.1"), bench.path("a.log.2")]);
    });
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_its_last_line_needs_none() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\n");
        bench.go().expect(["one"]);
        bench.append("a.log", "two\nlast words");
        bench.remove("a.log");
        bench.go().expect(["two"]);
        bench.drain().expect(["last words"]).expect_closed("a.log", Closed::Finished);
        assert_eq!((bench.tailer.stats().files, bench.tailer.stats().descriptors), (0, 0));
    });
}

#[test]
fn a_file_created_anew_is_read_whole() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\n");
        bench.go().expect(["one"]);
        bench.remove("a.log");
        bench.write("a.log", "one\ntwo\n");
        bench.go().expect(["one", "two"]);
    });
}

#[test]
fn a_file_replaced_by_a_rename_is_read_to_its_end() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\n");
        bench.go().expect(["one"]);
        bench.append("a.log", "two\n");
        bench.write("a.new", "three\n");
        bench.rename("a.new", "a.log");
        bench.go();
        let lines = bench.taken_sorted();
        assert_eq!(lines, ["three", "two"]);
    });
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    Bench::both("a.log", |mut bench| {
        bench.write("a.log", text(0, 30));
        bench.go();
        assert_eq!(bench.taken(), texts(0, 30));
        // Shorter, as long, and longer than before; the inode stays.
        for count in [1, 1, 40] {
            let first = 1000 * count + bench.tailer.stats().lines as usize;
            fs::write(bench.path("a.log"), text(first, count)).unwrap();
            bench.go();
            assert_eq!(bench.taken(), texts(first, count));
            bench.expect_closed("a.log", Closed::Truncated);
        }
        assert_eq!(bench.tailer.stats().truncations, 3);
    });
}

#[test]
fn what_a_truncated_file_had_unread_is_read_from_its_copy() {
    for pack in [false, true] {
        Bench::both("a.log", |mut bench| {
            bench.write("a.log", text(0, 5));
            bench.go();
            assert_eq!(bench.taken(), texts(0, 5));
            bench.append("a.log", text(5, 3));
            fs::copy(bench.path("a.log"), bench.path("a.log.1")).unwrap();
            bench.write("a.log", text(8, 1));
            if pack {
                bench.gzip("a.log.1");
            }
            bench.go();
            let lines = bench.taken_sorted();
            assert_eq!(lines, texts(5, 4));
            bench.drain().expect([]).expect_closed("a.log", Closed::Finished);
            assert_eq!(bench.tailer.stats().files, 1);
        });
    }
}

#[test]
fn what_a_file_had_that_nobody_had_room_for_is_read_from_its_copy() {
    let mut bench = Bench::new("?.log", true);
    bench.write("a.log", text(0, 3));
    bench.write("b.log", "");
    bench.sink.room = Some(1);
    bench.go();
    bench.append("b.log", text(3, 2));
    bench.go();
    fs::copy(bench.path("b.log"), bench.path("b.log.1")).unwrap();
    bench.write("b.log", "");
    bench.go();
    bench.sink.room = None;
    bench.go();
    assert_eq!(bench.taken_sorted(), texts(0, 5));
}

#[test]
fn holes_left_by_a_writer_that_goes_on_in_a_truncated_file_are_no_lines() {
    Bench::both("a.log", |mut bench| {
        bench.write("a.log", text(0, 20));
        bench.go();
        bench.taken();
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(bench.path("a.log")).unwrap();
        use std::io::Seek as _;
        file.seek(std::io::SeekFrom::Start(3 << 20)).unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        bench.go().expect(["one", "two"]);
        assert_eq!(bench.tailer.stats().nul_bytes, 3 << 20);
    });
}

#[test]
fn files_that_were_rotated_twice_between_two_looks_are_all_read() {
    Bench::both("a.log", |mut bench| {
        bench.write("a.log.2", text(900, 1));
        bench.write("a.log.state", text(950, 1));
        bench.write("a.log", text(0, 2));
        bench.go();
        assert_eq!(bench.taken(), texts(0, 2));
        for round in 1..4 {
            bench.append("a.log", text(round * 10, 2));
            bench.rename("a.log", "a.log.tmp");
            for number in (1..9).rev().filter(|number| bench.path(&format!("a.log.{number}")).exists()).collect::<Vec<_>>() {
                bench.rename(&format!("a.log.{number}"), &format!("a.log.{}", number + 1));
            }
            bench.rename("a.log.tmp", "a.log.1");
            bench.write("a.log", text(round * 10 + 5, 1));
        }
        bench.go();
        let lines = bench.taken_sorted();
        let want: Vec<String> =
            [(10, 2), (15, 1), (20, 2), (25, 1), (30, 2), (35, 1)].into_iter().flat_map(|(first, count)| texts(first, count)).collect();
        assert_eq!(lines, want);
        bench.drain().drain();
        assert_eq!((bench.taken().len(), bench.tailer.stats().files), (0, 1));
    });
}

#[test]
fn a_file_that_was_done_goes_on_when_it_is_found_between_others() {
    Bench::both("a.log", |mut bench| {
        bench.write("a.log", text(0, 2));
        bench.go();
        bench.rename("a.log", "a.log.1");
        bench.write("a.log", text(10, 1));
        bench.drain().drain();
        bench.taken();
        // The writer still has the first file, which nobody reads any more.
        bench.append("a.log.1", text(2, 1));
        bench.rename("a.log.1", "a.log.2");
        bench.rename("a.log", "a.log.1");
        bench.write("a.log", text(20, 1));
        bench.go();
        for line in bench.taken() {
            assert!(!texts(0, 2).contains(&line), "{line} came twice");
        }
    });
}

#[test]
fn a_file_with_two_names_is_read_once() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\n");
        fs::hard_link(bench.path("a.log"), bench.path("b.log")).unwrap();
        bench.go().expect(["one"]);
        bench.append("b.log", "two\n");
        bench.after(Duration::from_secs(61)).expect(["two"]);
        bench.remove("a.log");
        bench.append("b.log", "three\n");
        bench.after(Duration::from_secs(3601)).expect(["three"]);
        assert_eq!(bench.sink.opened.len(), 1);
    });
}

#[test]
fn links_are_followed_to_files_that_rotate() {
    Bench::both("containers/*.log", |mut bench| {
        fs::create_dir(bench.path("containers")).unwrap();
        fs::create_dir(bench.path("pods")).unwrap();
        bench.write("pods/0.log", "one\n");
        std::os::unix::fs::symlink("../pods/0.log", bench.path("containers/a.log")).unwrap();
        bench.go().expect(["one"]);
        bench.append("pods/0.log", "two\n");
        bench.go().expect(["two"]);
        bench.append("pods/0.log", "three\n");
        bench.rename("pods/0.log", "pods/0.log.20260101-000000");
        bench.write("pods/0.log", "four\n");
        bench.go().go();
        let lines = bench.taken_sorted();
        assert_eq!(lines, ["four", "three"]);
        bench.drain();
        bench.append("pods/0.log", "five\n");
        bench.go().expect(["five"]);
        assert!(bench.sink.opened.iter().all(|(_, path, _)| *path == bench.path("containers/a.log")));
    });
}

#[test]
fn a_directory_may_come_late_and_be_replaced() {
    Bench::both("logs/app/*.log", |mut bench| {
        bench.go();
        fs::create_dir(bench.path("logs")).unwrap();
        bench.go();
        fs::create_dir(bench.path("logs/app")).unwrap();
        bench.write("logs/app/a.log", "one\n");
        bench.go().expect(["one"]);
        bench.append("logs/app/a.log", "two\n");
        bench.rename("logs/app", "logs/old");
        fs::create_dir(bench.path("logs/app")).unwrap();
        bench.write("logs/app/a.log", "three\n");
        bench.go();
        let lines = bench.taken_sorted();
        assert_eq!(lines, ["three", "two"]);
        bench.append("logs/app/a.log", "four\n");
        bench.go().expect(["four"]);
    });
}
