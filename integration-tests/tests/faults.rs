//! Faults on the real process: kills under load, signals, a directory in use or of a later version, damaged files, wrong settings.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes and files")]

use integration_tests::load::{BATCH, check_acknowledged, lines, push_until_gone, select_all, unlimited};
use integration_tests::{Ran, Server, entries, files_below, flip_byte, now_ns, only_file_below, push_body, run_skald};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

const HOUR_NS: i64 = 3_600_000_000_000;

#[test]
fn acknowledged_entries_survive_kills_under_load_and_come_once() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let at = |batches| match batches {
            40 => drop(server.call("POST", "/flush", &[], b"")),
            // In the second round right into the flush.
            41 if round == 1 => server.signal("-KILL"),
            90 if round != 1 => server.signal("-KILL"),
            _ => {}
        };
        acknowledged.extend(push_until_gone(&server, round, at));
        server.ended();
        server.restart();
        check_acknowledged(&server, &acknowledged, start, "after the kill");
    }
    assert!(acknowledged.len() >= (90 + 41 + 90) * BATCH);
    server.flush();
    check_acknowledged(&server, &acknowledged, start, "after a flush");
    server.kill();
    server.restart();
    check_acknowledged(&server, &acknowledged, start, "after the last start");
    server.terminate();
    let checked = server.fsck();
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn sigterm_under_load_stops_in_order_and_loses_nothing() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    let at = |batches| {
        if batches == 60 {
            server.signal("-TERM")
        }
    };
    let acknowledged = push_until_gone(&server, 0, at);
    let status = server.ended();
    assert!(status.success(), "{status}");
    let log = server.log();
    assert!(log.contains("msg=stopping signal=SIGTERM") && log.ends_with("msg=stopped\n"), "{log}");
    server.restart();
    check_acknowledged(&server, &acknowledged, start, "after SIGTERM");
}

/// Runs `skald serve` where it must refuse to start; gives the code and what it says.
#[track_caller]
fn refused(arguments: &[String], code: i32, says: &[&str]) -> Ran {
    let ran = run_skald(arguments);
    assert_eq!(ran.code, code, "{}", ran.stderr);
    for part in says {
        assert!(ran.stderr.contains(part), "{part:?} in {}", ran.stderr);
    }
    ran
}

#[test]
fn a_data_directory_has_one_owner() {
    let mut server = Server::start("");
    let in_use = format!("the data directory '{}' is in use by another process", server.data_dir().display());
    refused(&server.arguments(), 1, &["level=error", &in_use]);
    let checked = server.fsck();
    assert_eq!(checked.code, 1);
    assert!(checked.stderr.contains(&in_use), "{}", checked.stderr);
    assert_eq!(server.get("/ready").status, 200);
    server.kill();
    server.restart();
}

#[test]
fn a_data_directory_of_a_later_version_is_refused_and_left_alone() {
    let mut server = Server::start("");
    server.push("", &push_body(&[("job", "old")], &[(now_ns(), "kept")]));
    server.kill();
    let identity = server.data_dir().join("skald");
    let text = std::fs::read_to_string(&identity).unwrap();
    assert!(text.contains("format 1\n"), "{text}");
    std::fs::write(&identity, text.replace("format 1\n", "format 7\n")).unwrap();
    let contents = || files_below(&server.data_dir()).into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect::<Vec<_>>();
    let before = contents();
    refused(&server.arguments(), 1, &["has format 7, this version knows formats up to 1"]);
    assert_eq!(server.fsck().code, 1);
    assert!(contents() == before, "it was changed");
    std::fs::write(&identity, text).unwrap();
    server.restart();
    assert_eq!(server.total("sum(count_over_time({job=\"old\"}[1h]))"), 1.0);
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_the_nearest_name() {
    let server = Server::stopped("auth_enabled: false\nlimits_config:\n  max_line_sise: 1KB\n  query_timeout: soon\n");
    let file = server.path().join("skald.yaml").display().to_string();
    let says = [
        "configuration refused",
        &format!("{file}:3:3: limits_config.max_line_sise: unknown key; did you mean 'max_line_size'?"),
        &format!("{file}:4:18: limits_config.query_timeout: "),
    ];
    refused(&server.arguments(), 2, &says);
    assert_eq!(run_skald(["config", "--config", &file]).code, 2);
    assert!(!server.data_dir().exists(), "nothing is made before the configuration is right");
    for garbage in ["\u{0}\u{1}", "a: [", "- 1\n- 2\n", "server: 7"] {
        let server = Server::stopped(garbage);
        refused(&server.arguments(), 2, &["skald.yaml:1:"]);
    }
    let server = Server::stopped("");
    std::fs::remove_file(server.path().join("skald.yaml")).unwrap();
    refused(&server.arguments(), 2, &["skald.yaml"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Server::stopped("");
    for flag in ["--http-listen", "--grpc-listen"] {
        let mut arguments = server.arguments();
        arguments.retain(|argument| !argument.starts_with(flag));
        arguments.push(format!("{flag}={address}"));
        refused(&arguments, 1, &[&format!("cannot listen on {address}: address in use")]);
    }
}

#[test]
fn what_a_crash_left_half_written_is_ignored() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    server.push("", &push_body(&[("job", "whole")], &[(now_ns(), "entry")]));
    server.flush();
    server.push("", &push_body(&[("job", "whole")], &[(now_ns(), "another entry")]));
    server.kill();
    let data = server.data_dir();
    let object = std::fs::read(only_object(&data)).unwrap();
    let half = &object[..object.len() / 2];
    for (place, bytes) in [
        ("skald.new", &b"form"[..]),
        ("objects/~tmp/17", half),
        ("wal/0000000099.removed/000000.wal", b"SKALDWAL"),
        ("wal/lost+found/x", b"x"),
        // A segment that was made and never written.
        ("wal/0000000002/000009.wal", b"SKA"),
    ] {
        let path = data.join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let checked = server.fsck();
    assert_eq!(checked.code, 0, "{checked:?}");
    server.restart();
    assert_eq!(lines(&server, "whole", start).len(), 2);
    assert!(!data.join("objects/~tmp/17").exists());
    assert_eq!(server.metric("skald_ingester_wal_lost_records_total"), 0.0);
}

#[track_caller]
fn only_object(data: &Path) -> std::path::PathBuf {
    only_file_below(&data.join("objects/fake"))
}

/// Text that does not compress to nothing, the same each time.
fn noise(seed: u64, len: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_damaged_block_costs_its_rows_and_the_answer_says_so() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    let all: Vec<(i64, String)> = (0..24_000).map(|i| (start + i * 1_000_000, format!("entry {i:05} {}", noise(i as u64, 140)))).collect();
    for part in all.chunks(6000) {
        server.push("", &push_body(&[("job", "blocks")], part));
    }
    server.push("", &push_body(&[("job", "other")], &[(start, "entry of another stream")]));
    server.flush();
    server.terminate();
    let object = only_object(&server.data_dir());
    let len = std::fs::metadata(&object).unwrap().len() as usize;
    flip_byte(&object, len / 3);

    let name = object.file_name().unwrap().to_str().unwrap().to_owned();
    let checked = server.fsck();
    assert_eq!(checked.code, 1, "{checked:?}");
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(report.contains("bad: fake/") && report.contains(&name) && report.contains(": 1 bad"), "{report}");

    server.restart();
    let answer = select_all(&server, "{job=\"blocks\"}", start);
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("missing") && warnings.contains(&name), "{warnings}");
    let found: BTreeSet<i64> = entries(&answer).into_iter().map(|(at, _)| at).collect();
    let missing: Vec<usize> = (0..all.len()).filter(|i| !found.contains(&all[*i].0)).collect();
    let bytes: usize = missing.iter().map(|i| all[*i].1.len()).sum();
    assert!(!missing.is_empty() && bytes <= 1 << 20, "{bytes} bytes of {} entries are missing", missing.len());
    assert_eq!(missing.last().unwrap() - missing[0] + 1, missing.len(), "more than one block is missing");
    assert_eq!(found.len() + missing.len(), all.len());

    let count = server.ask("/loki/api/v1/query", &[("query", "sum(count_over_time({job=\"blocks\"} |= \"entry\" [2h]))")]).json();
    assert!(count["warnings"].to_string().contains(&name), "{count}");
    // Lines are searched block by block, so that a count may leave out the block of which the select found a part.
    let uncounted = all.len() - integration_tests::vector_values(&count)[0] as usize;
    assert!((missing.len()..=(1 << 20) / all[0].1.len()).contains(&uncounted), "{uncounted} of {} are not counted", all.len());

    let elsewhere = select_all(&server, "{job=\"other\"}", start);
    assert_eq!((entries(&elsewhere).len(), elsewhere.get("warnings")), (1, None));
    assert!(server.metric("skald_querier_incomplete_answers_total") >= 2.0);
}

#[test]
fn a_damaged_footer_costs_its_object_and_the_answer_says_so() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    server.push("", &push_body(&[("job", "footer")], &[(start, "entry that is lost")]));
    server.flush();
    let object = only_object(&server.data_dir());
    server.push("", &push_body(&[("job", "footer")], &[(start + 1, "entry that is left")]));
    server.flush();
    server.terminate();
    let len = std::fs::metadata(&object).unwrap().len() as usize;
    let name = object.file_name().unwrap().to_str().unwrap();
    // The last section, before the 72 bytes of the trailer, describes the filters: without them everything is searched.
    flip_byte(&object, len - 73);
    assert_eq!(server.fsck().code, 1);
    server.restart();
    assert_eq!(lines(&server, "footer", start - 1).len(), 2);
    server.terminate();
    // Without the trailer nothing of the object can be read.
    flip_byte(&object, len - 40);
    let checked = server.fsck();
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(String::from_utf8(checked.stdout).unwrap().contains(name));

    server.restart();
    let answer = select_all(&server, "{job=\"footer\"}", start - 1);
    assert_eq!(entries(&answer), [(start + 1, "entry that is left".to_owned())]);
    assert!(answer["warnings"].to_string().contains(name), "{answer}");
    let count = server.ask("/loki/api/v1/query", &[("query", "sum(count_over_time({job=\"footer\"}[2h]))")]).json();
    assert!(count["warnings"].to_string().contains(name), "{count}");
    for path in ["labels", "label/job/values", "series"] {
        let answer = server.ask(&format!("/loki/api/v1/{path}"), &[("start", &(start - 1).to_string()), ("end", &now_ns().to_string())]);
        assert!(answer.json()["warnings"].to_string().contains(name), "{path}: {}", answer.text());
    }
}

#[test]
fn a_damaged_wal_record_costs_that_push_and_the_log_says_so() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    let pushes: Vec<Vec<(i64, String)>> = (0..20)
        .map(|push| (0..5).map(|i| (now_ns() + i, format!("entry {push}.{i} {}", noise(push * 5 + i as u64, 60)))).collect())
        .collect();
    for push in &pushes {
        server.push("", &push_body(&[("job", "wal")], push));
    }
    server.kill();
    let segment = only_file_below(&server.data_dir().join("wal/0000000001"));
    let bytes = std::fs::read(&segment).unwrap();
    let victim = pushes[7][3].1.as_bytes();
    let at = bytes.windows(victim.len()).position(|window| window == victim).unwrap_or(bytes.len() / 2);
    flip_byte(&segment, at);

    let checked = server.fsck();
    assert_eq!(checked.code, 1, "{checked:?}");
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(report.contains("bad: generation 0000000001, segment 0 offset "), "{report}");

    server.restart();
    let found = lines(&server, "wal", start);
    let lost: Vec<usize> = (0..pushes.len()).filter(|push| pushes[*push].iter().any(|(_, line)| !found.contains(line))).collect();
    assert_eq!((lost.len(), found.len()), (1, 19 * 5), "{lost:?}");
    let log = server.log();
    assert!(log.contains("level=warn") && log.contains("records of the write-ahead log are lost") && log.contains("lost=1"), "{log}");
    assert_eq!(server.metric("skald_ingester_wal_lost_records_total"), 1.0);
    server.wait_until_flushed();
    assert_eq!(lines(&server, "wal", start), found);
}

#[test]
fn a_torn_end_of_the_wal_is_no_loss() {
    let start = now_ns() - HOUR_NS;
    let mut server = Server::start(&unlimited());
    server.push("", &push_body(&[("job", "torn")], &[(now_ns(), "entry kept")]));
    server.kill();
    let segment = only_file_below(&server.data_dir().join("wal/0000000001"));
    let mut bytes = std::fs::read(&segment).unwrap();
    let record = bytes[56..].to_vec();
    bytes.extend_from_slice(&record[..record.len() / 2]);
    std::fs::write(&segment, bytes).unwrap();
    assert_eq!(server.fsck().code, 0);
    server.restart();
    assert_eq!(lines(&server, "torn", start).len(), 1);
    assert_eq!(server.metric("skald_ingester_wal_lost_records_total"), 0.0);
}
