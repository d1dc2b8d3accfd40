use super::*;

#[test]
fn one_directory_serves_many_targets() {
    let mut bench = Bench::new("pods/*uid0/app/*.log", true);
    bench.targets = (0..20).map(|number| target(&bench.dir, &format!("t{number}"), &format!("pods/*uid{number}/app/*.log"))).collect();
    for number in 0..20 {
        fs::create_dir_all(bench.path(&format!("pods/ns_pod_uid{number}/app"))).unwrap();
        bench.write(&format!("pods/ns_pod_uid{number}/app/0.log"), format!("{number}\n"));
    }
    bench.restart().go();
    assert_eq!(bench.taken().len(), 20);
    // `pods`, and two for each pod.
    assert_eq!(bench.tailer.stats().watches, 41);
    fs::create_dir_all(bench.path("pods/ns_other_uid3/app")).unwrap();
    bench.write("pods/ns_other_uid3/app/0.log", "new\n");
    bench.go().expect(["new"]);
}

#[test]
fn excluded_files_are_not_read() {
    let mut bench = Bench::new("**/*.log", true);
    bench.targets[0].exclude = Some(format!("{}/skip/**", bench.dir.path().display()));
    fs::create_dir(bench.path("skip")).unwrap();
    fs::create_dir(bench.path("keep")).unwrap();
    bench.write("skip/a.log", "one\n");
    bench.write("keep/a.log", "two\n");
    bench.restart().go().expect(["two"]);
    bench.write("skip/b.log", "three\n");
    bench.write("keep/b.log", "four\n");
    bench.go().expect(["four"]);
}

#[test]
fn a_path_with_wildcards_that_names_a_file_is_that_file() {
    let mut bench = Bench::new("a[1].log", true);
    bench.write("a[1].log", "literal\n");
    bench.go().expect(["literal"]);
}

#[test]
fn only_regular_files_are_read() {
    let mut bench = Bench::new("*", true);
    fs::create_dir(bench.path("directory")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.path("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, bench.path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    bench.write("file", "one\n");
    bench.go().expect(["one"]);
    assert_eq!(bench.sink.opened.len(), 1);
}

#[test]
fn links_that_lead_back_end() {
    let mut bench = Bench::new("**/*.log", true);
    fs::create_dir_all(bench.path("a/b")).unwrap();
    std::os::unix::fs::symlink(bench.path("a"), bench.path("a/b/back")).unwrap();
    bench.write("a/b/x.log", "one\n");
    bench.go().expect(["one"]);
}

#[test]
fn files_of_a_target_that_went_are_read_to_their_end_and_gone_on_with_when_it_returns() {
    Bench::both("*.log", |mut bench| {
        bench.write("a.log", "one\n");
        bench.go().expect(["one"]);
        bench.append("a.log", "two\nrest");
        bench.tailer.set_targets(Vec::new());
        bench.go().expect(["two"]);
        bench.drain().expect(["rest"]).expect_closed("a.log", Closed::TargetGone);
        bench.append("a.log", " of it\nthree\n");
        bench.tailer.set_targets(bench.targets.clone());
        bench.go().expect([" of it", "three"]);
        // At once, nothing is closed in between.
        bench.tailer.set_targets(Vec::new());
        bench.append("a.log", "four\n");
        bench.tailer.set_targets(bench.targets.clone());
        bench.go().expect(["four"]);
        assert_eq!(bench.sink.closed, []);
    });
}

#[test]
fn a_file_goes_over_to_the_target_that_replaces_its_own() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", "one\n");
    bench.go().expect(["one"]);
    bench.append("a.log", "two\n");
    bench.targets[0].key = "labels changed".into();
    bench.tailer.set_targets(bench.targets.clone());
    bench.go().expect(["two"]).expect_closed("a.log", Closed::HandedOver);
    assert_eq!(bench.sink.opened.len(), 2);
    assert_eq!(bench.tailer.stats().files, 1);
}

#[test]
fn two_targets_read_a_file_each_for_itself() {
    let mut bench = Bench::new("*.log", true);
    bench.targets.push(target(&bench.dir, "two", "a.*"));
    bench.write("a.log", "one\n");
    bench.restart().go().expect(["one", "one"]);
    bench.rename("a.log", "a.txt");
    bench.append("a.txt", "two\n");
    bench.go().expect(["two", "two"]);
    bench.drain();
    bench.append("a.txt", "three\n");
    bench.go().expect(["three"]);
}

#[test]
fn a_bad_target_harms_no_other() {
    let mut bench = Bench::new("*.log", true);
    let bad = FileTarget { key: "bad".into(), encoding: Some("utf-7".into()), ..bench.targets[0].clone() };
    assert_eq!(bad.check().unwrap_err().to_string(), "unknown encoding \"utf-7\"");
    let worse = FileTarget { key: "worse".into(), path: "/tmp/{a".into(), ..bench.targets[0].clone() };
    assert!(worse.check().unwrap_err().to_string().starts_with("glob \"/tmp/{a\": "));
    bench.targets.extend([bad, worse]);
    bench.write("a.log", "one\n");
    bench.restart().go().expect(["one"]);
}
