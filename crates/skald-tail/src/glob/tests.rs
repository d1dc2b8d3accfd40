use super::*;

#[track_caller]
fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let pattern = Pattern::new(pattern).unwrap();
    for path in matching {
        assert!(pattern.matches(Path::new(path)), "{path} is not matched by {pattern:?}");
    }
    for path in others {
        assert!(!pattern.matches(Path::new(path)), "{path} is matched by {pattern:?}");
    }
}

#[test]
fn stars_stay_within_a_name_and_double_stars_do_not() {
    check(
        "/var/log/*.log",
        &["/var/log/a.log", "/var/log/.log", "/var/log/.a.log"],
        &["/var/log/a/b.log", "/var/log/a.log.1", "/var/a.log", "/var/log"],
    );
    check("/var/**/*.log", &["/var/a.log", "/var/log/a.log", "/var/log/x/y/a.log"], &["/var/log/a.txt", "/a.log"]);
    check("/var/log/**", &["/var/log/a", "/var/log/b/c"], &["/var/log", "/var/lib/a"]);
    check("/var/**/**/a/*", &["/var/a/b", "/var/x/y/a/b"], &["/var/x/b"]);
    check("/a*b*c", &["/abc", "/axbxc", "/abbcc"], &["/ab", "/acb", "/xabc"]);
    check("/*aa*aa*", &["/aaaa", "/xaaxaax"], &["/aaa"]);
    check("/var/log/pods/*uid/c/*.log", &["/var/log/pods/ns_uid/c/0.log"], &["/var/log/pods/ns_uid/d/0.log"]);
}

#[test]
fn classes_alternatives_and_escapes_are_understood() {
    check("/log/a?.[lt]og", &["/log/ab.log", "/log/ab.tog"], &["/log/a.log", "/log/ab.mog"]);
    check("/log/[!a-c].log", &["/log/d.log"], &["/log/a.log"]);
    check("/log/[^a-c].log", &["/log/d.log"], &["/log/a.log"]);
    check("/log/{a,b*}.log", &["/log/a.log", "/log/bcd.log"], &["/log/c.log"]);
    check("/log/{a,b/c,{d,e}/f}/*.log", &["/log/a/x.log", "/log/b/c/x.log", "/log/d/f/x.log", "/log/e/f/x.log"], &["/log/b/x.log"]);
    check("/log/a\\*.log", &["/log/a*.log"], &["/log/ab.log"]);
    check("/log/a[1].log", &["/log/a1.log", "/log/a[1].log"], &[]);
}

#[test]
fn only_directories_that_can_hold_a_match_are_looked_at() {
    let base =
        |pattern: &str| Pattern::new(pattern).unwrap().branches.iter().map(|branch| branch.base.display().to_string()).collect::<Vec<_>>();
    assert_eq!(base("/var/log/pods/*uid/c/*.log"), ["/var/log/pods"]);
    assert_eq!(base("/var/log/a.log"), ["/var/log"]);
    assert_eq!(base("/{var,opt/x}/log/*.log"), ["/var/log", "/opt/x/log"]);
    assert!(Pattern::new("logs/*.log").unwrap().branches[0].base.is_absolute());
    assert!(!Pattern::new("/var/log/a.log").unwrap().has_wildcards());
}

#[test]
fn a_bad_pattern_says_what_is_wrong() {
    for bad in ["", "/", "/log/{a", "/log/[a", "/log/{a,b/{c,d}", "/{a,/b}".repeat(11).as_str()] {
        assert!(Pattern::new(bad).is_err(), "{bad}");
    }
}
