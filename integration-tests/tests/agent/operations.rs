//! How the agent is run: command line, reload, several clients, a server that refuses.

use crate::common::{Writer, arrives, client, files, server};
use integration_tests::{Agent, binary, until};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs the agent until it ends by itself.
fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(binary("skald-agent"));
    let mut child =
        command.env_clear().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_configuration_is_checked_without_being_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("promtail.yaml");
    let file = format!("--config.file={}", path.display());
    let check = |config: &str| {
        std::fs::write(&path, config).unwrap();
        let output = run(&[&file, "-check-syntax"], "");
        (output.status.code(), text(&output.stderr) + &text(&output.stdout))
    };
    let good = "clients: [{url: 'http://127.0.0.1:1/loki/api/v1/push'}]\nscrape_configs: [{job_name: a, static_configs: [{labels: {__path__: /none}}]}]\n";
    let (code, said) = check(good);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check(&good.replace("job_name: a,", "job_name: a, nonsense: 1,"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("promtail.yaml:2") && said.contains("nonsense"), "{said}");
    let (code, said) = check("clients: [{url: 'http://127.0.0.1:1/'}]\nscrape_configs:\n  - job_name: a\n    kafka: {brokers: [b]}\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("promtail.yaml:4") && said.contains("kafka") && said.contains("not supported"), "{said}");
}

#[test]
fn standard_input_is_shipped_to_its_end() {
    let server = server();
    let url = format!("-client.url=http://127.0.0.1:{}/loki/api/v1/push", server.port());
    let output = run(&["-stdin", &url], "one\ntwo\nthree");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(server.total("sum(count_over_time({job=\"stdin\"}[1h]))"), 3.0);
}

#[test]
fn a_dry_run_prints_entries_and_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    std::fs::write(folder.path().join("app.log"), "hello\n").unwrap();
    let config = format!(
        "server: {{disable: true}}\npositions: {{filename: {at}/positions.yaml}}\nclients: [{{url: 'http://127.0.0.1:1/loki/api/v1/push'}}]\nscrape_configs: [{{job_name: a, static_configs: [{{labels: {{job: dry, __path__: {at}/app.log}}}}]}}]\n"
    );
    std::fs::write(folder.path().join("agent.yaml"), config).unwrap();
    let mut command = Command::new(binary("skald-agent"));
    let printed = std::fs::File::create(folder.path().join("printed")).unwrap();
    let file = format!("-config.file={at}/agent.yaml");
    let mut child = command.env_clear().args([&file, "-dry-run"]).stdout(printed).stderr(Stdio::null()).spawn().unwrap();
    let read = || std::fs::read_to_string(folder.path().join("printed")).unwrap();
    until("the entry is printed", || read().contains("hello").then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(read().contains("job=\"dry\""), "{}", read());
    assert!(!folder.path().join("positions.yaml").exists());
}

#[test]
fn a_reload_takes_a_new_configuration_and_refuses_a_wrong_one() {
    let server = server();
    let config = |glob: &str| format!("{}{}", client(&server), files(glob, ""));
    let agent = Agent::start(&config("logs/one.log"));
    let mut one = Writer::new(agent.path().join("logs/one.log"));
    let mut two = Writer::new(agent.path().join("logs/two.log"));
    one.write(10);
    two.write(10);
    arrives(&server, "files", &one.written);

    agent.configure(&format!("{}nonsense: 1\n", config("logs/*.log")));
    agent.signal("-HUP");
    until("the failure is counted", || (agent.metric("promtail_config_reload_fail_total", "") == 1.0).then_some(()));
    one.write(10);
    arrives(&server, "files", &one.written);

    agent.configure(&config("logs/*.log"));
    agent.signal("-HUP");
    until("the reload is counted", || (agent.metric("promtail_config_reload_success_total", "") == 1.0).then_some(()));
    one.write(10);
    let both = one.written.union(&two.written).cloned().collect();
    arrives(&server, "files", &both);
}

#[test]
fn a_dead_client_does_not_hold_up_another_and_gets_everything_later() {
    let (mut dead, live) = (server(), server());
    dead.kill();
    let clients = format!("{}{}", client(&live), client(&dead).replace("clients: [", "").replace("]\n", ""));
    let clients = clients.replacen("]\n", ", ", 1) + "]\n";
    let agent = Agent::start(&format!("{clients}{}", files("logs/*.log", "")));
    let mut writer = Writer::new(agent.path().join("logs/app.log"));
    writer.write(500);
    arrives(&live, "files", &writer.written);
    assert!(!agent.positions().contains("app.log: \"") || agent.positions().contains("app.log: \"0\""), "{}", agent.positions());
    dead.restart();
    arrives(&dead, "files", &writer.written);
    let bytes = format!("app.log: \"{}\"", writer.path.metadata().unwrap().len());
    until("the position follows", || agent.positions().contains(&bytes).then_some(()));
}

#[test]
fn what_a_server_refuses_costs_only_itself() {
    let server = server();
    // The server refuses lines above 256 KiB, with 400; everything else of the batch has to arrive.
    let agent = Agent::start(&format!("{}{}", client(&server), files("logs/*.log", "")));
    let mut writer = Writer::new(agent.path().join("logs/app.log"));
    writer.write(100);
    let path = agent.path().join("logs/long.log");
    std::fs::write(&path, format!("{}\nshort\n", "x".repeat(300 << 10))).unwrap();
    writer.write(100);
    let mut want = writer.written.clone();
    want.insert("short".to_owned());
    arrives(&server, "files", &want);
    until("the loss is counted", || (agent.metric("promtail_dropped_entries_total", "ingester_error") == 1.0).then_some(()));
}
