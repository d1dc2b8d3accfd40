//! The real process on a real S3 server, with a proxy between them that fails on demand.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test on real processes, sockets and times")]

mod common;

use common::{Bucket, proxy, skald, skald_with};
use integration_tests::load::{check_acknowledged, lines, push_until_gone, select_all, unlimited};
use integration_tests::{Fault, Server, entries, files_below, now_ns, push_body, strings, until};
use std::collections::BTreeSet;
use std::time::Duration;

const HOUR_NS: i64 = 3_600_000_000_000;

/// Pushes `count` entries of the stream `job`, whose lines say who they are.
#[track_caller]
fn push(server: &Server, job: &str, part: &str, count: usize) {
    let now = now_ns();
    let new: Vec<(i64, String)> = (0..count).map(|number| (now + number as i64, format!("entry {part}.{number}"))).collect();
    server.push("", &push_body(&[("job", job)], &new));
}

/// Files of the upload queue.
fn queued(server: &Server) -> usize {
    let is_object = |path: &std::path::PathBuf| path.components().any(|part| part.as_os_str() == "incoming");
    files_below(&server.data_dir().join("objects")).into_iter().filter(is_object).count()
}

/// Everything is in the bucket, and nothing waits.
#[track_caller]
fn wait_until_uploaded(server: &Server) {
    until("the queue is empty", || {
        server.flush();
        (queued(server) == 0 && server.metric("skald_store_upload_queue_objects") == 0.0).then_some(())
    });
}

/// Stops the process and starts it with an empty cache.
fn restart_cold(server: &mut Server) {
    assert!(server.terminate().success());
    restart_cold_after_stop(server);
}

fn restart_cold_after_stop(server: &mut Server) {
    std::fs::remove_dir_all(server.data_dir().join("cache")).unwrap();
    server.restart();
}

#[test]
fn what_is_flushed_is_in_the_bucket_and_answers_stay() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let mut server = skald(&proxy, "plain");
    server.restart();
    push(&server, "plain", "a", 500);
    let in_memory = lines(&server, "plain", start);
    server.flush();
    push(&server, "plain", "b", 500);
    wait_until_uploaded(&server);
    let both = lines(&server, "plain", start);
    assert_eq!((in_memory.len(), both.len()), (500, 1000));
    let objects = Bucket::of("plain").names("fake/");
    assert!(objects.iter().any(|name| name.contains("/incoming/")), "{objects:?}");
    restart_cold(&mut server);
    assert_eq!(lines(&server, "plain", start), both);
    server.kill();
    server.restart();
    assert_eq!(lines(&server, "plain", start), both);
}

/// Pushes and queries while the store has `fault`, and after it.
fn check_outage(folder: &str, fault: Fault) {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let mut server = skald(&proxy, folder);
    server.restart();
    push(&server, folder, "before", 100);
    wait_until_uploaded(&server);
    proxy.set(fault);
    for round in 0..3 {
        push(&server, folder, &format!("away.{round}"), 100);
        server.flush();
        assert_eq!(server.get("/ready").status, 200, "{fault:?}");
        assert_eq!(lines(&server, folder, start).len(), 100 * (round + 2), "{fault:?}");
    }
    if !matches!(fault, Fault::Slow(_)) {
        assert!(queued(&server) > 0 && server.metric("skald_store_upload_queue_objects") > 0.0, "{fault:?}");
        until("an upload fails", || (server.metric("skald_store_upload_failures_total") > 0.0).then_some(()));
        assert!(server.log().contains("msg=\"upload failed, trying again later\""), "{}", server.log());
    }
    if fault == Fault::Refuse {
        until("the breaker opens", || {
            server.post("/flush", &[], b"");
            (server.metric("skald_store_breaker_state") == 2.0).then_some(())
        });
    }
    proxy.set(Fault::None);
    wait_until_uploaded(&server);
    assert_eq!(lines(&server, folder, start).len(), 400);
    restart_cold(&mut server);
    assert_eq!(lines(&server, folder, start).len(), 400, "{fault:?}");
    assert_eq!(server.metric("skald_store_breaker_state"), 0.0);
}

#[test]
fn pushes_and_recent_entries_do_not_need_the_store() {
    std::thread::scope(|scope| {
        for (folder, fault) in [
            ("refused", Fault::Refuse),
            ("hanging", Fault::Hang),
            ("slow", Fault::Slow(Duration::from_millis(300))),
            ("slow-down", Fault::Answer(1, 503, "SlowDown")),
            ("lost-answers", Fault::Cut(0)),
        ] {
            scope.spawn(move || check_outage(folder, fault));
        }
    });
}

#[test]
fn entries_that_only_the_dead_store_has_are_said_to_be_missing() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let mut server = skald(&proxy, "cold");
    server.restart();
    push(&server, "cold", "stored", 100);
    wait_until_uploaded(&server);
    restart_cold(&mut server);
    proxy.set(Fault::Refuse);
    push(&server, "cold", "recent", 10);
    let answer = select_all(&server, "{job=\"cold\"}", start);
    assert_eq!(entries(&answer).len(), 10);
    assert!(answer["warnings"].to_string().contains("missing"), "{answer}");
    assert_eq!(server.get("/ready").status, 200);
    proxy.set(Fault::None);
    until("the store is asked again", || (select_all(&server, "{job=\"cold\"}", start).get("warnings").is_none()).then_some(()));
    assert_eq!(lines(&server, "cold", start).len(), 110);
}

#[test]
fn a_store_that_changes_bytes_never_changes_an_answer() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    // With manifests and indexes, which are read by the same rule.
    let mut server = skald_with(&proxy, "flipped", "compactor:\n  compaction_interval: 1s\n  index_min_objects: 2\n");
    server.restart();
    for part in 0..4 {
        push(&server, "flipped", &format!("{part}"), 300);
        wait_until_uploaded(&server);
    }
    until("there is an index", || Bucket::of("flipped").names("fake/").iter().any(|name| name.contains("/index/")).then_some(()));
    let whole = lines(&server, "flipped", start);
    let mut missing = 0;
    for _ in 0..3 {
        restart_cold(&mut server);
        proxy.set(Fault::FlipByte);
        for _ in 0..4 {
            let answer = select_all(&server, "{job=\"flipped\"} |= \"entry\"", start);
            let found: BTreeSet<String> = entries(&answer).into_iter().map(|(_, line)| line).collect();
            let warned = answer.get("warnings").is_some();
            assert!(found.is_subset(&whole) && (found == whole || warned), "{} of {}, {}", found.len(), whole.len(), answer["warnings"]);
            missing += usize::from(warned);
            let values = server.ask("/loki/api/v1/label/job/values", &[("start", &start.to_string())]).json();
            assert!(values["warnings"].is_array() || strings(&values["data"]) == ["flipped"], "{values}");
        }
        proxy.set(Fault::None);
        until("it is whole again", || (select_all(&server, "{job=\"flipped\"}", start).get("warnings").is_none()).then_some(()));
        assert_eq!(lines(&server, "flipped", start), whole);
    }
    assert!(missing > 0, "no byte was changed that mattered");
}

/// Numbers that follow from a seed.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

/// Kills the process at a moment of its own for each seed, while the store comes and goes.
fn check_kills(seed: u64) {
    let folder = format!("kills-{seed}");
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let mut server = skald_with(&proxy, &folder, "compactor:\n  compaction_interval: 1s\n  index_min_objects: 2\n");
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        server.restart();
        check_acknowledged(&server, &acknowledged, start, "after the kill");
        let (first, kill) = (10 + random(&mut state) % 30, 60 + random(&mut state) % 60);
        let faults: Vec<Fault> = (0..64).map(|_| flap(random(&mut state))).collect();
        let gone = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for fault in faults.iter().cycle() {
                    if gone.load(std::sync::atomic::Ordering::SeqCst) {
                        return;
                    }
                    proxy.set(*fault);
                    std::thread::sleep(Duration::from_millis(40));
                }
            });
            let at = |batches: usize| match batches {
                _ if batches == kill => server.signal("-KILL"),
                _ if batches.is_multiple_of(first) => drop(server.call("POST", "/flush", &[], b"")),
                _ => {}
            };
            acknowledged.extend(push_until_gone(&server, round, at));
            gone.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        server.ended();
        proxy.set(Fault::None);
    }
    server.restart();
    check_acknowledged(&server, &acknowledged, start, "after the last kill");
    wait_until_uploaded(&server);
    check_acknowledged(&server, &acknowledged, start, "after the upload");
    let all = lines(&server, "load", start);
    assert!(server.terminate().success());
    let mut other = skald(&proxy, &folder);
    other.restart();
    assert_eq!(lines(&other, "load", start), all, "on a fresh machine");
}

fn flap(number: usize) -> Fault {
    match number % 8 {
        0 => Fault::Refuse,
        1 => Fault::Hang,
        2 => Fault::Cut(0),
        3 => Fault::Cut(number % 4000),
        4 => Fault::Answer(2, 500, "InternalError"),
        5 => Fault::Slow(Duration::from_millis(20)),
        _ => Fault::None,
    }
}

#[test]
fn acknowledged_entries_survive_kills_while_the_store_comes_and_goes() {
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || check_kills(seed));
        }
    });
}

#[test]
fn a_fresh_machine_waits_for_the_owner_and_is_refused_while_it_lives() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let (mut first, mut second) = (skald(&proxy, "owned"), skald(&proxy, "owned"));
    first.restart();
    push(&first, "owned", "a", 100);
    wait_until_uploaded(&first);
    let log = second.fails();
    assert!(log.contains("the object store is in use:") && log.contains("owns it and is alive"), "{log}");
    assert_eq!(lines(&first, "owned", start).len(), 100);

    // The queue of a process that was killed is on its disk alone.
    push(&first, "owned", "b", 100);
    first.kill();
    second.begin();
    let waits = until("it says for whom it waits", || {
        let ready = second.get("/ready");
        ready.text().contains("did not release the object store").then_some(ready)
    });
    assert_eq!(waits.status, 503);
    let refused = second.post("/loki/api/v1/push", &[("content-type", "application/json")], b"{\"streams\":[]}");
    assert_eq!(refused.status, 503, "{}", refused.text());
    second.kill();
    // Nobody uses the bucket now: an operator may say so.
    let bucket = Bucket::of("owned");
    bucket.delete(&bucket.names("~owner/"));
    second.restart();
    assert_eq!(lines(&second, "owned", start).len(), 100);
}

#[test]
fn a_data_directory_of_local_files_uploads_itself() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let mut server = skald(&proxy, "moved");
    let config = server.path().join("skald.yaml");
    let remote = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, unlimited()).unwrap();
    server.restart();
    for part in 0..3 {
        push(&server, "moved", &format!("{part}"), 100);
        server.flush();
    }
    push(&server, "moved", "in the log", 100);
    server.kill();
    std::fs::write(&config, remote).unwrap();
    server.restart();
    assert_eq!(lines(&server, "moved", start).len(), 400);
    wait_until_uploaded(&server);
    restart_cold(&mut server);
    assert_eq!(lines(&server, "moved", start).len(), 400);
}

/// Starts a process on a store with `fault`, which passes.
fn check_late(folder: &str, fault: Fault) {
    let proxy = proxy();
    proxy.set(fault);
    let mut server = skald(&proxy, folder);
    server.begin();
    let why = until("it says what it waits for", || {
        let ready = server.get("/ready");
        ready.text().contains("object store, trying again").then_some(ready)
    });
    assert_eq!(why.status, 503, "{fault:?}");
    let refused = server.post("/loki/api/v1/push", &[("content-type", "application/json")], b"{\"streams\":[]}");
    assert_eq!(refused.status, 503, "{fault:?}: {}", refused.text());
    proxy.set(Fault::None);
    server.wait_until_ready();
    assert!(server.terminate().success());
}

#[test]
fn a_store_that_is_not_there_at_the_start_is_waited_for() {
    std::thread::scope(|scope| {
        for (folder, fault) in
            [("late", Fault::Refuse), ("late-hanging", Fault::Hang), ("late-slow-down", Fault::Answer(1, 503, "SlowDown"))]
        {
            scope.spawn(move || check_late(folder, fault));
        }
    });
}

#[test]
fn a_store_that_no_waiting_helps_ends_the_process_with_the_reason() {
    for (fault, says) in [
        (Fault::Answer(1, 404, "NoSuchBucket"), "the bucket does not exist"),
        (Fault::Answer(1, 403, "AccessDenied"), "access denied"),
        (Fault::Answer(1, 403, "InvalidAccessKeyId"), "does not know the access key"),
        (Fault::EveryPutWins, "the object store does not keep writers apart"),
    ] {
        let proxy = proxy();
        proxy.set(fault);
        let log = skald(&proxy, "refuses").fails();
        assert!(log.lines().any(|line| line.contains("level=error") && line.contains(says)), "{fault:?}: {log}");
    }
}

#[test]
fn metadata_is_answered_without_blocks_and_a_needle_reads_few() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let mut server = skald_with(&proxy, "metadata", "compactor:\n  compaction_interval: 1s\n  index_min_objects: 2\n");
    server.restart();
    let (mut state, mut needle) = (7, String::new());
    for part in 0..4 {
        let mut id = || (0..12).map(|_| char::from(b'a' + (random(&mut state) % 26) as u8)).collect::<String>();
        let mut line = || format!("level=info msg=\"request served\" id={} status=200 method=GET path=/api/v1/items", id());
        let new: Vec<(i64, String)> = (0..40_000).map(|_| (now_ns(), line())).collect();
        for some in new.chunks(10_000) {
            server.push("", &push_body(&[("job", "metadata"), ("part", &part.to_string())], some));
        }
        needle = new[20_000].1[..47].to_owned();
        wait_until_uploaded(&server);
    }
    until("the index covers everything", || {
        Bucket::of("metadata").names("fake/").iter().any(|name| name.contains("/index/")).then_some(())
    });
    let whole: usize =
        Bucket::of("metadata").sizes("fake/").iter().filter(|(name, _)| name.contains("/incoming/")).map(|(_, size)| size).sum();
    restart_cold(&mut server);
    proxy.take_exchanges();
    let (from, to) = (start.to_string(), now_ns().to_string());
    let range = [("start", from.as_str()), ("end", to.as_str())];
    assert_eq!(strings(&server.ask("/loki/api/v1/label/part/values", &range).json()["data"]), ["0", "1", "2", "3"]);
    for path in ["labels", "series", "index/volume", "index/stats"] {
        let answer = server.ask(
            &format!("/loki/api/v1/{path}"),
            &[&range[..], &[("query", "{job=\"metadata\"}"), ("match[]", "{job=\"metadata\"}")]].concat(),
        );
        assert!(answer.json().get("warnings").is_none(), "{path}: {}", answer.text());
    }
    let read = |what: &str| -> usize {
        proxy
            .take_exchanges()
            .iter()
            .filter(|exchange| exchange.reads("/incoming/"))
            .map(|exchange| exchange.received)
            .inspect(|got| assert!(*got > 0, "{what}"))
            .sum()
    };
    let of_metadata = read("metadata");
    assert!(of_metadata < whole / 10, "metadata queries read {of_metadata} of {whole} bytes");
    let needle = select_all(&server, &format!("{{job=\"metadata\"}} |= `{needle}`"), start);
    assert_eq!(entries(&needle).len(), 1);
    let of_needle = read("needle");
    assert!((1..whole / 2).contains(&of_needle), "a needle read {of_needle} of {whole} bytes");
    assert!(server.metric("skald_querier_blocks_skipped_total") > 0.0);
    println!("{whole} bytes stored; metadata read {of_metadata} bytes of data objects, a needle {of_needle}");
}

#[test]
fn indexes_and_manifests_in_the_bucket_are_built_anew() {
    let (start, proxy) = (now_ns() - HOUR_NS, proxy());
    let server = skald_with(&proxy, "rebuilt", "compactor:\n  compaction_interval: 1s\n  index_min_objects: 2\n");
    let mut server = server.variable("AWS_ENDPOINT_URL", &proxy.endpoint()).variable("AWS_REGION", "us-east-1");
    server.restart();
    for part in 0..4 {
        push(&server, "rebuilt", &format!("{part}"), 100);
        wait_until_uploaded(&server);
    }
    let bucket = Bucket::of("rebuilt");
    let made = || -> Vec<String> {
        bucket.names("fake/").into_iter().filter(|name| name.contains("/index/") || name.contains("/manifest/")).collect()
    };
    until("there is an index", || made().iter().any(|name| name.contains("/manifest/")).then_some(()));
    let whole = lines(&server, "rebuilt", start);
    let remote = ["--storage", "s3://logs/rebuilt"];
    assert!(server.terminate().success());
    let checked = server.fsck_with(&remote);
    assert_eq!(checked.code, 0, "{checked:?}");
    bucket.delete(&made());
    let rebuilt = server.fsck_with(&[&remote[..], &["--rebuild"]].concat());
    let report = rebuilt.text();
    assert!(report.contains("400 entries") && report.contains(" 0 tables failed"), "{report}");
    assert!(made().len() >= 2, "{:?}", made());
    restart_cold_after_stop(&mut server);
    assert_eq!(lines(&server, "rebuilt", start), whole);

    // A bucket that another process uses is left alone.
    let mut other = skald(&proxy, "rebuilt").variable("AWS_ENDPOINT_URL", &proxy.endpoint()).variable("AWS_REGION", "us-east-1");
    assert!(server.terminate().success());
    other.restart();
    let refused = server.fsck_with(&remote);
    assert!(refused.code == 1 && refused.stderr.contains("the object store is in use"), "{refused:?}");
}
