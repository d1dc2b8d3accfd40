//! Files that rotate in every way while servers and the agent die.

use crate::common::{Writer, arrives, client, files, has_read, server};
use integration_tests::{Agent, until};
use std::collections::BTreeSet;

#[test]
fn lines_of_files_that_rotate_in_every_way_are_stored_once_while_the_server_dies_and_returns() {
    let mut server = server();
    let mut agent = Agent::start(&format!("{}{}", client(&server), files("logs/*.log", "")));
    let path = |name: &str| agent.path().join("logs").join(name);
    let names = ["renamed.log", "truncated.log", "deleted.log", "zipped.log", "steady.log"];
    let mut writers: Vec<Writer> = names.iter().map(|name| Writer::new(path(name))).collect();
    for writer in &mut writers {
        // What was renamed before anybody saw it was never a file of this pattern.
        writer.write(1);
        has_read(&agent, &writer.path);
    }
    for round in 0..6 {
        if round % 2 == 1 {
            server.kill();
        }
        for writer in &mut writers {
            writer.write(200);
        }
        if round == 0 {
            // A file that was renamed before anyone has seen it is not known to be a file of this name.
            writers.iter().for_each(|writer| has_read(&agent, &writer.path));
        }
        writers[0].rename_to(&format!("renamed.log.{round}"));
        // Without a line left unread: what is gone from a file is not readable any more.
        has_read(&agent, &writers[1].path);
        writers[1].copy_truncate(&format!("truncated.log.{round}"));
        has_read(&agent, &writers[2].path);
        writers[2].delete();
        let zipped = writers[3].path.with_file_name(format!("zipped.log.{round}"));
        writers[3].rename_to(&format!("zipped.log.{round}"));
        assert!(std::process::Command::new("gzip").arg(&zipped).status().unwrap().success());
        for writer in &mut writers {
            writer.write(100);
        }
        if round % 2 == 1 {
            server.restart();
        }
    }
    let written: BTreeSet<String> = writers.iter().flat_map(|writer| writer.written.iter().cloned()).collect();
    arrives(&server, "files", &written);
    assert!(agent.terminate().success());
}

#[test]
fn two_rotations_while_a_push_stalls_lose_nothing() {
    let server = server();
    let agent = Agent::start(&format!("{}{}", client(&server), files("logs/app.log", "")));
    let mut writer = Writer::new(agent.path().join("logs/app.log"));
    writer.write(100);
    arrives(&server, "files", &writer.written);
    // The process is there and takes connections, and answers nothing.
    server.signal("-STOP");
    writer.write(1_000);
    writer.rename_to("app.log.1");
    writer.write(1_000);
    std::fs::rename(writer.path.with_file_name("app.log.1"), writer.path.with_file_name("app.log.2")).unwrap();
    writer.rename_to("app.log.1");
    writer.write(1_000);
    until("the agent reads on", || (agent.metric("promtail_read_lines_total", "app.log") >= 3_100.0).then_some(()));
    std::fs::remove_file(writer.path.with_file_name("app.log.2")).unwrap();
    server.signal("-CONT");
    arrives(&server, "files", &writer.written);
}

#[test]
fn a_killed_agent_goes_on_where_it_was_also_in_files_that_rotated_meanwhile() {
    let mut server = server();
    let mut agent = Agent::start(&format!("{}{}", client(&server), files("logs/*.log", "")));
    let mut writers: Vec<Writer> = ["one.log", "two.log"].iter().map(|name| Writer::new(agent.path().join("logs").join(name))).collect();
    for round in 0..5 {
        for writer in &mut writers {
            writer.write(500);
        }
        match round {
            // Some of it is sent, some is in the spool, some is not read yet.
            0 | 3 => until("something is sent", || (agent.metric("promtail_sent_entries_total", "") > 0.0).then_some(())),
            1 => server.kill(),
            _ => {}
        }
        agent.kill();
        writers[0].write(100);
        writers[0].rename_to(&format!("one.log.{round}"));
        writers[0].write(100);
        agent.restart();
        if round == 2 {
            server.restart();
        }
    }
    let written: BTreeSet<String> = writers.iter().flat_map(|writer| writer.written.iter().cloned()).collect();
    arrives(&server, "files", &written);
}
