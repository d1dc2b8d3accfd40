//! Logs of real OpenTelemetry clients: the Python SDK with its exporters (`scripts/otlp-exporter.sh` installs them), and a client made of the published messages.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes")]

use integration_tests::{Server, entries};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use std::path::Path;
use std::process::Command;

const CONFIG: &str = "auth_enabled: true\nlimits_config:\n  max_line_size: 100B\n";
const TENANT: &str = "otlp";

/// Where the Python packages are; installs them when they are not there.
fn python_path() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/otlp-exporter.sh");
    let output = Command::new(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the OpenTelemetry exporters for Python cannot be installed: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn ask(server: &Server, path: &str, query: &str) -> serde_json::Value {
    let answer = server.ask_with(path, &[("query", query), ("direction", "forward")], &[("x-scope-orgid", TENANT)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn lines(server: &Server, query: &str) -> Vec<String> {
    entries(&ask(server, "/loki/api/v1/query_range", query)).into_iter().map(|(_, line)| line).collect()
}

#[test]
fn logs_of_the_python_sdk_are_found_by_labels_and_metadata() {
    let path = python_path();
    let server = Server::start(CONFIG);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/otlp_logs.py");
    let output = Command::new("python3")
        .arg(program)
        .args([server.address(), server.grpc_address(), TENANT])
        .env("PYTHONPATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for by in ["http", "grpc"] {
        let stream = format!("{{service_name=\"shop-{by}\", k8s_pod_name=\"pod-1\"}}");
        let paid = r#"{"event":"paid","items":["a",1]}"#;
        assert_eq!(lines(&server, &format!("{stream} | host_name=\"h1\" | scope_name=\"checkout\"")), ["order placed", paid, "shipped"]);
        assert_eq!(lines(&server, &format!("{stream} | http_method=\"GET\" | code=\"200\" | detected_level=\"warn\"")), ["order placed"]);
        assert_eq!(lines(&server, &format!("{stream} | cart_size=\"2\" | json | event=\"paid\"")), [paid]);
        assert_eq!(lines(&server, &format!("{stream} | event_name=\"order.shipped\"")), ["shipped"]);
    }
}

#[tokio::test]
async fn a_grpc_client_is_told_what_was_refused() {
    let server = Server::start(CONFIG);
    let mut client = LogsServiceClient::connect(format!("http://{}", server.grpc_address())).await.unwrap();
    let request = |lines: &[usize]| {
        let record =
            |len: &usize| LogRecord { severity_text: "x".repeat(*len), time_unix_nano: 0, body: Some(body(*len)), ..LogRecord::default() };
        let scope = ScopeLogs { log_records: lines.iter().map(record).collect(), ..ScopeLogs::default() };
        let resource_logs = vec![ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() }];
        let mut request = tonic::Request::new(ExportLogsServiceRequest { resource_logs });
        request.metadata_mut().insert("x-scope-orgid", TENANT.parse().unwrap());
        request
    };
    let partial = client.export(request(&[1, 101, 2])).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_log_records, 1);
    assert!(partial.error_message.starts_with("max entry size '100' bytes exceeded"), "{}", partial.error_message);
    assert_eq!(client.export(request(&[3])).await.unwrap().into_inner().partial_success, None);
    let mut anonymous = request(&[4]);
    anonymous.metadata_mut().clear();
    assert_eq!(client.export(anonymous).await.unwrap_err().code(), tonic::Code::Unauthenticated);
    assert_eq!(lines(&server, "{service_name=\"unknown_service\"}").len(), 3);
    assert_eq!(server.metric("skald_discarded_samples_total"), 1.0);
}

fn body(len: usize) -> opentelemetry_proto::tonic::common::v1::AnyValue {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(Value::StringValue("y".repeat(len))) }
}
