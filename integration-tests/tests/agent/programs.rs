//! Programs that send to the agent: `logger` by syslog, and pushes.

use crate::common::{client, server};
use integration_tests::{Agent, Client, now_ns, push_body, until};
use std::process::Command;

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn logger(port: u16, arguments: &[&str], message: &str) {
    let status =
        Command::new("logger").args(["--server", "127.0.0.1", "--port", &port.to_string()]).args(arguments).arg(message).status().unwrap();
    assert!(status.success());
}

#[test]
fn logger_is_understood_over_every_transport_and_in_both_formats() {
    let server = server();
    let (tcp, udp, old) = (free_port(), free_port(), free_port());
    let scrape = |job: &str, port: u16, more: &str| {
        format!(
            "  - job_name: {job}\n    syslog: {{listen_address: '127.0.0.1:{port}', {more} labels: {{job: {job}}}}}\n    relabel_configs:\n      - {{source_labels: [__syslog_message_app_name], target_label: app}}\n      - {{source_labels: [__syslog_message_severity], target_label: severity}}\n"
        )
    };
    let config = format!(
        "{}scrape_configs:\n{}{}{}",
        client(&server),
        scrape("tcp", tcp, ""),
        scrape("udp", udp, "listen_protocol: udp,"),
        scrape("old", old, "syslog_format: rfc3164,")
    );
    let agent = Agent::start(&config);
    until("ready", || (agent.get("/ready").status == 200).then_some(()));
    let all = ["--tag", "demo", "--priority", "local0.warning"];
    logger(tcp, &[&all[..], &["--tcp", "--rfc5424", "--octet-count"]].concat(), "counted octets");
    logger(tcp, &[&all[..], &["--tcp", "--rfc5424"]].concat(), "a line");
    logger(udp, &[&all[..], &["--udp", "--rfc5424"]].concat(), "a datagram");
    logger(old, &[&all[..], &["--tcp", "--rfc3164"]].concat(), "the old format");
    let count = |query: &str| server.total(&format!("sum(count_over_time({query}[1h]))"));
    let query = "{job=~\"tcp|udp|old\", app=\"demo\", severity=\"warning\"}";
    until("all four arrive", || (count(query) >= 4.0).then_some(()));
    for (job, line, want) in
        [("tcp", "counted octets", 1.0), ("tcp", "a line", 1.0), ("udp", "a datagram", 1.0), ("old", "the old format", 1.0)]
    {
        assert_eq!(count(&format!("{{job=\"{job}\"}} |= \"{line}\"")), want, "{line}");
    }
}

#[test]
fn a_push_is_answered_once_it_survives_a_kill() {
    let mut server = server();
    let port = free_port();
    let scrape = format!(
        "scrape_configs: [{{job_name: pushed, loki_push_api: {{server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_port: 0}}, use_incoming_timestamp: true, labels: {{via: agent}}}}}}]\n"
    );
    let mut agent = Agent::start(&format!("{}{scrape}", client(&server)));
    let pusher = Client::new(&format!("http://127.0.0.1:{port}"));
    server.kill();
    let body = push_body(&[("job", "pushed")], &[(now_ns(), "kept")]);
    let answer = until("the listener is there", || {
        pusher.call("POST", "/loki/api/v1/push", &[("content-type", "application/json")], body.as_bytes()).ok()
    });
    assert_eq!(answer.status, 204, "{}", answer.text());
    agent.kill();
    server.restart();
    agent.restart();
    let count = || server.total("sum(count_over_time({job=\"pushed\", via=\"agent\"} |= \"kept\" [1h]))");
    until("it arrives", || (count() == 1.0).then_some(()));
}
