use crate::grpc::EXPORT;
use crate::otlp::answer::{Exported, PartialSuccess, RetryInfo, RpcStatus, Seconds};
use crate::testing::{NOW, Server};
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use skald_config::{ByteSize, DistributorConfig, Limits};
use skald_model::ErrorKind;
use skald_rpc::{PushError, Refusal};
use tonic::{Code, Status};
use tower::ServiceExt;

fn request(lines: &[&str]) -> Vec<u8> {
    let text = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let record = |line: &&str| LogRecord {
        time_unix_nano: NOW as u64 * 1_000_000_000,
        body: text(line),
        attributes: vec![KeyValue { key: "k".to_owned(), value: text("v"), ..KeyValue::default() }],
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: lines.iter().map(record).collect(), ..ScopeLogs::default() };
    let resource_logs = vec![ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn frame(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    [&[u8::from(is_compressed)][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// The answer to a call, as a client reads it.
fn call(server: &Server, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Exported, Status> {
    let request = Request::post(EXPORT).header("content-type", "application/grpc").header("x-scope-orgid", "t");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = server.distributor.grpc_routes().oneshot(request.body(Body::from(body)).expect("a request"));
    let (head, body) = futures::executor::block_on(response).expect("routers do not fail").into_parts();
    assert_eq!((head.status.as_u16(), head.headers["content-type"].as_bytes()), (200, &b"application/grpc"[..]));
    assert_eq!(head.headers["grpc-accept-encoding"], "identity,gzip,zstd");
    let body = futures::executor::block_on(body.collect()).expect("in memory");
    let trailers = body.trailers().cloned().unwrap_or_else(HeaderMap::new);
    let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers)).expect("a status");
    if status.code() != Code::Ok {
        return Err(status);
    }
    let bytes = body.to_bytes();
    assert_eq!(bytes[..5], frame(false, &bytes[5..])[..5]);
    Ok(Exported::decode(&bytes[5..]).expect("an answer"))
}

#[test]
fn an_export_is_taken_compressed_or_not() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).expect("to memory");
        encoder.finish().expect("to memory")
    };
    let message = request(&["one", "two"]);
    let server = Server::new(Limits::default());
    for (encoding, body) in [
        ("identity", frame(false, &message)),
        ("gzip", frame(true, &gzip(&message))),
        ("gzip", frame(false, &message)),
        ("zstd", frame(true, &zstd::encode_all(&message[..], 1).expect("to memory"))),
    ] {
        assert_eq!(call(&server, &[("grpc-encoding", encoding)], body).expect("taken"), Exported::default());
        let row = |line: &str| format!("{{service_name=\"unknown_service\"}} 0 {line} k=v ~detected_level=unknown");
        assert_eq!(server.stored(), [row("one"), row("two")]);
    }
    assert_eq!(call(&server, &[], frame(false, &[])).expect("nothing is no error"), Exported::default());
}

#[test]
fn entries_refused_are_told_in_the_answer() {
    let limits = Limits { max_line_size: ByteSize(3), ..Limits::default() };
    let server = Server::new(limits);
    let partial = call(&server, &[], frame(false, &request(&["one", "three", "seven"]))).expect("taken").partial_success.expect("not all");
    assert_eq!(partial.rejected_log_records, 2);
    assert!(partial.error_message.starts_with("2 errors like: max entry size '3' bytes exceeded"), "{}", partial.error_message);
    assert_eq!(server.stored().len(), 1);
    let refusal = |kind| Refusal { kind, reason: "too_far_behind", message: "late".to_owned(), entries: 1, bytes: 3 };
    server.ingester.answer_with(move |_, _| Err(PushError::Refused(vec![refusal(ErrorKind::InvalidInput)])));
    let partial = call(&server, &[], frame(false, &request(&["one", "three"]))).expect("taken").partial_success;
    assert_eq!(partial, Some(PartialSuccess { rejected_log_records: 2, error_message: "late".to_owned() }));
    server.ingester.answer_with(move |_, _| Err(PushError::Refused(vec![refusal(ErrorKind::LimitExceeded)])));
    let status = call(&server, &[], frame(false, &request(&["one"]))).expect_err("to be sent again");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[test]
fn what_may_come_again_says_when() {
    let server = Server::new(Limits { ingestion_burst_size_mb: 0.0, ..Limits::default() });
    let status = call(&server, &[], frame(false, &request(&["one"]))).expect_err("too much");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("ingestion rate limit exceeded for user t"), "{}", status.message());
    let details = RpcStatus::decode(status.details()).expect("a status");
    assert_eq!((details.code, details.message.as_str()), (8, status.message()));
    assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let info = RetryInfo::decode(&details.details[0].value[..]).expect("retry info");
    assert_eq!(info.retry_delay, Some(Seconds { seconds: 1 }));
    let server = Server::new(Limits::default());
    server.ingester.answer_with(|_, _| Err(PushError::Unavailable("not ready".to_owned())));
    let status = call(&server, &[], frame(false, &request(&["one"]))).expect_err("not now");
    assert_eq!((status.code(), status.message(), status.details().is_empty()), (Code::Unavailable, "not ready", false));
}

#[test]
fn what_is_no_call_is_refused() {
    let config =
        DistributorConfig { max_recv_msg_size: ByteSize(1000), max_decompressed_size: ByteSize(2000), ..DistributorConfig::default() };
    let server = Server::with_config(Limits::default(), config);
    let message = request(&["one"]);
    for (headers, body, code, text) in [
        (&[][..], vec![], Code::InvalidArgument, "the body is not one gRPC message"),
        (&[], vec![0, 0, 0, 0, 9], Code::InvalidArgument, "the body is not one gRPC message"),
        (&[], [frame(false, &message), frame(false, &message)].concat(), Code::InvalidArgument, "the body is not one gRPC message"),
        (&[], frame(false, b"\xff"), Code::InvalidArgument, "unexpected EOF"),
        (
            &[("grpc-encoding", "deflate")],
            frame(true, &message),
            Code::Unimplemented,
            "grpc-encoding deflate is not supported: only gzip and zstd are",
        ),
        (&[("x-scope-orgid", "t|u")], frame(false, &message), Code::Ok, ""),
        (&[], vec![0; 1001], Code::InvalidArgument, "request body too large: message size too large than max (1001 vs 1000)"),
        (
            &[("grpc-encoding", "zstd")],
            frame(true, &zstd::encode_all(&[0; 3000][..], 1).expect("to memory")),
            Code::InvalidArgument,
            "request body too large: decompressed message size too large than max (3000 vs 2000)",
        ),
    ] {
        let answer =
            call(&server, headers, body).map_or_else(|status| (status.code(), status.message().to_owned()), |_| (Code::Ok, String::new()));
        assert_eq!(answer, (code, text.to_owned()));
    }
    let request =
        Request::post(EXPORT).header("content-type", "application/grpc").body(Body::from(frame(false, &message))).expect("a request");
    let response = futures::executor::block_on(server.distributor.grpc_routes().oneshot(request)).expect("routers do not fail");
    let status = Status::from_header_map(response.headers()).expect("a status");
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no org id"));
}
