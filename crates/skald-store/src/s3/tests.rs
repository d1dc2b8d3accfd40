//! What is asked of a server and what becomes of its answers, on a server that answers by a script. The real one is asked in `integration-tests`.
#![allow(clippy::disallowed_methods, reason = "the server that answers by a script has a real socket")]

use super::*;
use crate::{RemoteFailure, RemoteProblem};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use skald_model::{ErrorKind, Timestamp};
use skald_testkit::SimClock;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// One request as it came: its first line, its headers in lower case, its body.
#[derive(Debug, Clone)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Gives the bytes to answer with; the connection is closed behind them. `None` never answers.
type Script = dyn Fn(&Request) -> Option<Vec<u8>> + Send + Sync;

/// A server on a free port that answers by a script.
struct Scripted {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    fn start(script: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (seen, script): (_, Arc<Script>) = (requests.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, script) = (seen.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Scripted { address, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, script: &Script) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = (&mut reader).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let Some(line) = lines.next() else { return };
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))).collect();
    let mut request = Request { line, headers, body: Vec::new() };
    let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    request.body.resize(len, 0);
    if reader.read_exact(&mut request.body).is_err() {
        return;
    }
    seen.lock().push(request.clone());
    match script(&request) {
        // The client may have gone.
        Some(answer) => drop(stream.write_all(&answer)),
        None => drop(reader.read_to_end(&mut Vec::new())),
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes())
}

fn refusal(status: &str, code: &str) -> Option<Vec<u8>> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words\nof {code}</Message></Error>");
    answer(status, "x-amz-request-id: ID42\r\ncontent-type: application/xml\r\n", &body)
}

/// A store on the server, the clock that bounds its requests, and its metrics.
struct World {
    store: S3Store,
    clock: Arc<SimClock>,
    registry: Registry,
}

impl World {
    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    #[track_caller]
    fn check_metric(&self, line: &str) {
        let text = self.metrics();
        assert!(text.lines().any(|found| found == line), "no '{line}' in {text}");
    }
}

/// Tasks run on the runtime of the test.
struct OnRuntime;

impl Spawner for OnRuntime {
    fn spawn(&self, _name: &'static str, task: futures::future::BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn spawn_blocking(&self, _job: skald_model::seam::Job) {
        unreachable!("nothing blocks")
    }

    fn spawn_thread(&self, _name: &'static str, _job: skald_model::seam::Job) {
        unreachable!("nothing has a thread of its own")
    }
}

/// Runs `test` with a store on a server that answers by a script.
fn with_store(server: &Scripted, test: impl AsyncFnOnce(&World)) {
    let credentials = Credentials::Given { access_key: "key".into(), secret_key: "secret".into() };
    let config = S3Config { endpoint: Some(server.address.clone()), region: Some("eu-test-1".into()), ..S3Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = S3Url { bucket: "logs".into(), prefix: "prod/eu".into() };
        let clock = SimClock::new(Timestamp(1_768_435_200_000_000_000));
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let parts = Parts { url, config, credentials, clock: clock.clone(), spawner: Arc::new(OnRuntime), metrics };
        let store = S3Store::connect(parts).await.unwrap();
        test(&World { store, clock, registry }).await;
    });
}

#[track_caller]
fn remote<T: std::fmt::Debug>(result: Result<T, StoreError>) -> RemoteFailure {
    match result {
        Err(StoreError::Remote(failure)) => *failure,
        other => panic!("{other:?}"),
    }
}

/// What becomes of a put, and of a get, that is answered so.
#[track_caller]
fn check(answered: Option<Vec<u8>>, want: RemoteProblem, kind: ErrorKind) {
    let server = Scripted::start(move |_| answered.clone());
    with_store(&server, async |world| {
        let put = remote(world.store.put("t/a", Bytes::from_static(b"x")).await);
        let get = remote(world.store.get_range("t/a", 0..1).await);
        for failure in [put, get] {
            assert_eq!((&failure.problem, failure.problem.kind()), (&want, kind), "{failure:?}");
        }
    });
    assert_eq!(server.requests().len(), 2, "nothing is tried again");
}

#[test]
fn refusals_tell_again_from_never() {
    use RemoteProblem as P;
    let (again, never) = (ErrorKind::Unavailable, ErrorKind::Internal);
    check(refusal("503 Slow Down", "SlowDown"), P::Throttled, again);
    check(refusal("503 Service Unavailable", "ServiceUnavailable"), P::Failed, again);
    check(answer("503 Service Unavailable", "", ""), P::Failed, again);
    check(refusal("429 Too Many Requests", "TooManyRequests"), P::Throttled, again);
    check(refusal("500 Internal Server Error", "InternalError"), P::Failed, again);
    check(answer("502 Bad Gateway", "content-type: text/html\r\n", "<html>oops</html>"), P::Failed, again);
    check(answer("504 Gateway Timeout", "", ""), P::Failed, again);
    check(refusal("400 Bad Request", "RequestTimeout"), P::Timeout, again);
    check(refusal("403 Forbidden", "RequestTimeTooSkewed"), P::Failed, again);
    check(refusal("409 Conflict", "ConditionalRequestConflict"), P::Conflict, again);
    check(refusal("403 Forbidden", "AccessDenied"), P::Denied, never);
    check(answer("403 Forbidden", "", ""), P::Denied, never);
    check(refusal("403 Forbidden", "InvalidAccessKeyId"), P::UnknownAccessKey, never);
    check(refusal("403 Forbidden", "SignatureDoesNotMatch"), P::WrongSecretKey, never);
    check(refusal("404 Not Found", "NoSuchBucket"), P::NoBucket, never);
    check(refusal("501 Not Implemented", "NotImplemented"), P::Refused, never);
    check(refusal("400 Bad Request", "InvalidRequest"), P::Refused, never);
    check(refusal("301 Moved Permanently", "PermanentRedirect"), P::WrongRegion(None), never);
    let elsewhere =
        answer("400 Bad Request", "x-amz-bucket-region: us-west-2\r\n", "<Error><Code>AuthorizationHeaderMalformed</Code></Error>");
    check(elsewhere, P::WrongRegion(Some("us-west-2".into())), never);
}

#[test]
fn what_breaks_off_or_never_comes_is_worth_another_try() {
    // No answer, and half of one.
    check(Some(Vec::new()), RemoteProblem::Unreachable, ErrorKind::Unavailable);
    check(Some(b"HTTP/1.1 200".to_vec()), RemoteProblem::Unreachable, ErrorKind::Unavailable);
    let nonsense = Scripted::start(|_| answer("200 OK", "", "<html>a login page</html>"));
    with_store(&nonsense, async |world| assert_eq!(remote(world.store.list("").await).problem, RemoteProblem::Broken));
    let server =
        Scripted::start(|_| Some(b"HTTP/1.1 206 Partial\r\ncontent-length: 10\r\ncontent-range: bytes 0-9/10\r\n\r\nhalf".to_vec()));
    with_store(&server, async |world| {
        let failure = remote(world.store.get_range("t/a", 0..10).await);
        assert_eq!((&failure.problem, failure.problem.kind()), (&RemoteProblem::Broken, ErrorKind::Unavailable));
        world.check_metric("store_s3_requests_total{operation=\"GetObject\",outcome=\"broken\"} 1");
    });
}

#[test]
fn an_answer_to_another_range_is_none() {
    for (headers, body) in [
        ("content-range: bytes 1-4/10\r\n", "1234"),
        ("content-range: bytes 0-4/10\r\n", "01234"),
        ("content-range: bytes 0-3/10\r\n", "012"),
        ("content-range: bytes 0-3/10\r\n", "01234"),
        ("content-range: bytes 0-3/*\r\n", "0123"),
        ("content-range: nonsense\r\n", "0123"),
        ("", "0123456789"),
    ] {
        let server = Scripted::start(move |_| answer("206 Partial Content", headers, body));
        with_store(&server, async |world| {
            let failure = remote(world.store.get_range("t/a", 0..4).await);
            assert_eq!(failure.problem, RemoteProblem::Broken, "{headers} {body}");
        });
    }
}

#[test]
fn taken_names_missing_objects_and_ranges_past_the_end_are_answers() {
    for (status, code) in [("412 Precondition Failed", "PreconditionFailed"), ("412 Precondition Failed", "")] {
        let server = Scripted::start(move |_| refusal(status, code));
        with_store(&server, async |world| {
            let put = world.store.put_if_absent("t/a", Bytes::new()).await;
            assert!(matches!(&put, Err(StoreError::AlreadyExists(name)) if name == "t/a"), "{put:?}");
        });
    }
    let server = Scripted::start(|_| refusal("404 Not Found", "NoSuchKey"));
    with_store(&server, async |world| {
        for range in [0..0, 0..1, 0..u64::MAX] {
            let get = world.store.get_range("t/a", range).await;
            assert!(matches!(&get, Err(StoreError::NotFound(name)) if name == "t/a"), "{get:?}");
        }
        world.store.delete("t/a").await.unwrap();
    });
    let server = Scripted::start(|_| refusal("416 Range Not Satisfiable", "InvalidRange"));
    with_store(&server, async |world| {
        assert!(world.store.get_range("t/a", 0..0).await.unwrap().is_empty(), "the object is empty");
        let get = world.store.get_ranges("t/a", vec![0..0, 3..7]).await;
        assert!(matches!(get, Err(StoreError::OutOfRange { end: 7, .. })), "{get:?}");
    });
}

#[test]
fn messages_name_the_request_the_object_and_what_the_store_said() {
    let server = Scripted::start(|_| refusal("503 Slow Down", "SlowDown"));
    with_store(&server, async |world| {
        let error = world.store.put("t/a", Bytes::new()).await.unwrap_err();
        let want = "PutObject of 's3://logs/prod/eu/t/a': the store asks to slow down (503 SlowDown, 'words of SlowDown', request ID42)";
        assert_eq!((error.to_string().as_str(), error.kind(), error.retry_in()), (want, ErrorKind::Unavailable, None));
    });
    let server = Scripted::start(|_| answer("503 Slow Down", "retry-after: 7\r\n", ""));
    with_store(&server, async |world| {
        assert_eq!(world.store.delete("t/a").await.unwrap_err().retry_in(), Some(Duration::from_secs(7)));
    });
    let server =
        Scripted::start(|_| answer("403 Forbidden", "", &format!("<Error><Message>{}</Message></Error>", "x\u{1b}[1m".repeat(10_000))));
    with_store(&server, async |world| {
        let text = world.store.put("t/a", Bytes::new()).await.unwrap_err().to_string();
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{text}");
    });
}

#[test]
fn a_request_that_is_not_answered_ends_in_time() {
    let server = Scripted::start(|_| None);
    with_store(&server, async |world| {
        let put = world.store.put("t/a", Bytes::from_static(b"x"));
        let passing = async {
            while server.requests().is_empty() {
                tokio::task::yield_now().await;
            }
            world.clock.advance(Duration::from_secs(61));
        };
        let (put, ()) = futures::join!(put, passing);
        assert_eq!(remote(put).problem, RemoteProblem::Timeout);
        world.check_metric("store_s3_requests_total{operation=\"PutObject\",outcome=\"timeout\"} 1");
    });
}

#[test]
fn puts_carry_a_checksum_and_their_condition() {
    let server = Scripted::start(|_| answer("200 OK", "etag: \"e\"\r\n", ""));
    with_store(&server, async |world| {
        world.store.put_if_absent("t/a b", Bytes::from_static(b"123456789")).await.unwrap();
        world.store.put("t/c", Bytes::new()).await.unwrap();
        world.check_metric("store_s3_sent_bytes_total 9");
        world.check_metric("store_s3_price_dollars_total{class=\"put\"} 0.00001");
    });
    let [conditional, plain] = &server.requests()[..] else { panic!("two puts are two requests") };
    assert!(conditional.line.starts_with("PUT /logs/prod/eu/t/a%20b"), "{}", conditional.line);
    assert_eq!(conditional.header("if-none-match"), Some("*"));
    // CRC-32 of the nine digits, from the definition of the checksum.
    assert_eq!(conditional.header("x-amz-checksum-crc32"), Some("y/Q5Jg=="));
    assert_eq!(conditional.body, b"123456789");
    assert_eq!(plain.header("if-none-match"), None);
    let signed = conditional.header("authorization").unwrap();
    assert!(signed.contains("/eu-test-1/s3/") && signed.contains("if-none-match"), "{signed}");
    assert_ne!(conditional.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"), "without TLS the signature covers the body");
}

fn list_of(names: &[&str], next: Option<&str>) -> Option<Vec<u8>> {
    let object =
        |name: &&str| format!("<Contents><Key>{name}</Key><Size>7</Size><LastModified>2026-01-15T00:00:01.500Z</LastModified></Contents>");
    let objects: String = names.iter().map(object).collect();
    let more = next.map_or("<IsTruncated>false</IsTruncated>".to_owned(), |token| {
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
    });
    answer("200 OK", "", &format!("<ListBucketResult>{objects}{more}</ListBucketResult>"))
}

#[test]
fn lists_go_on_to_the_last_page_and_leave_out_what_is_not_ours() {
    let server = Scripted::start(|request| match request.line.contains("continuation-token=two") {
        false => list_of(&["prod/eu/t/b", "prod/eu/t/", "prod/eu/t/~/x//", "prod/other/t/c"], Some("two")),
        true => list_of(&["prod/eu/t/a", "prod/eu/t/b"], None),
    });
    with_store(&server, async |world| {
        let modified = Timestamp(1_768_435_201_500_000_000);
        let meta = |name: &str| ObjectMeta { name: name.to_owned(), size: 7, modified };
        assert_eq!(world.store.list("t/").await.unwrap(), [meta("t/a"), meta("t/b")]);
        world.check_metric("store_s3_price_dollars_total{class=\"put\"} 0.00001");
    });
    assert!(server.requests()[0].line.contains("prefix=prod%2Feu%2Ft%2F"), "{}", server.requests()[0].line);
    let server = Scripted::start(|_| list_of(&["prod/eu/t/a"], Some("again")));
    with_store(&server, async |world| assert_eq!(remote(world.store.list("").await).problem, RemoteProblem::Broken));
    assert_eq!(server.requests().len(), 2, "a list that goes in a circle ends");
}

#[test]
fn ranges_near_each_other_are_one_request() {
    let server = Scripted::start(|request| {
        let (first, last) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        let body: String = (first..=last).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
        answer("206 Partial Content", &format!("content-range: bytes {first}-{last}/1000000\r\n"), &body)
    });
    with_store(&server, async |world| {
        let got = world.store.get_ranges("t/a", vec![200_000..200_003, 26..28, 0..3, 5..5]).await.unwrap();
        assert_eq!(got, ["ijk", "ab", "abc", ""]);
        world.check_metric("store_s3_received_bytes_total 31");
    });
    let mut asked: Vec<_> = server.requests().iter().map(|request| request.header("range").unwrap().to_owned()).collect();
    asked.sort();
    assert_eq!(asked, ["bytes=0-27", "bytes=200000-200002"]);
}

#[test]
fn many_names_are_deleted_by_one_request_and_those_that_are_not_are_told() {
    let names: Vec<String> = (0..1001).map(|number| format!("t/{number}")).collect();
    let server = Scripted::start(|_| answer("200 OK", "", "<DeleteResult/>"));
    with_store(&server, async |world| {
        world.store.delete_many(&names).await.unwrap();
        world.store.delete_many(&[]).await.unwrap();
    });
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(String::from_utf8_lossy(&requests[0].body).contains("<Key>prod/eu/t/999</Key>"));
    assert!(requests[0].header("x-amz-checksum-crc32").is_some(), "{requests:?}");
    let error = |key: &str, code: &str| format!("<Error><Key>prod/eu/{key}</Key><Code>{code}</Code><Message>m</Message></Error>");
    let body = format!("<DeleteResult>{}{}</DeleteResult>", error("t/1", "NoSuchKey"), error("t/2", "SlowDown"));
    let server = Scripted::start(move |_| answer("200 OK", "", &body));
    with_store(&server, async |world| {
        let failure = remote(world.store.delete_many(&names[..3]).await);
        assert_eq!((failure.problem, failure.object.as_str()), (RemoteProblem::Throttled, "s3://logs/prod/eu/t/2"));
    });
}

/// A server on which an upload begins, and `script` answers the rest.
fn uploads(script: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |request| match request.line.split(' ').next() {
        Some("POST") if request.line.contains("uploads") => {
            answer("200 OK", "", "<InitiateMultipartUploadResult><UploadId>UP</UploadId></InitiateMultipartUploadResult>")
        }
        Some("DELETE") => answer("204 No Content", "", ""),
        _ => script(request),
    })
}

fn verbs(server: &Scripted) -> Vec<String> {
    let mut verbs: Vec<String> = server.requests().iter().map(|request| request.line.split(' ').next().unwrap().to_owned()).collect();
    verbs.sort();
    verbs
}

#[test]
fn a_large_body_goes_in_parts_of_which_the_last_request_has_the_condition() {
    let server = uploads(|request| match request.line.starts_with("PUT") {
        true => answer("200 OK", "etag: \"part\"\r\nx-amz-checksum-crc32: AAAAAA==\r\n", ""),
        false => answer("200 OK", "", "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"),
    });
    let body = Bytes::from(vec![7; upload::SINGLE_PUT_MAX + 1]);
    with_store(&server, async |world| world.store.put_if_absent("t/a", body.clone()).await.unwrap());
    assert_eq!(verbs(&server), ["POST", "POST", "PUT", "PUT", "PUT", "PUT", "PUT"]);
    let requests = server.requests();
    let complete = requests.last().unwrap();
    assert_eq!(complete.header("if-none-match"), Some("*"));
    let parts = String::from_utf8_lossy(&complete.body).into_owned();
    assert!(parts.contains("<PartNumber>5</PartNumber>") && parts.contains("<ChecksumCRC32>AAAAAA==</ChecksumCRC32>"), "{parts}");
    assert_eq!(requests.iter().filter(|request| request.line.starts_with("PUT")).map(|put| put.body.len()).sum::<usize>(), body.len());
}

#[test]
fn an_upload_that_fails_or_is_left_is_aborted() {
    let body = Bytes::from(vec![7; upload::SINGLE_PUT_MAX + 1]);
    let server = uploads(|_| refusal("500 Internal Server Error", "InternalError"));
    with_store(&server, async |world| {
        assert_eq!(remote(world.store.put("t/a", body.clone()).await).problem, RemoteProblem::Failed);
    });
    assert!(verbs(&server).contains(&"DELETE".to_owned()));
    let taken = uploads(|request| match request.line.starts_with("PUT") {
        true => answer("200 OK", "etag: \"part\"\r\n", ""),
        false => refusal("412 Precondition Failed", "PreconditionFailed"),
    });
    with_store(&taken, async |world| {
        let put = world.store.put_if_absent("t/a", body.clone()).await;
        assert!(matches!(put, Err(StoreError::AlreadyExists(_))), "{put:?}");
    });
    assert!(verbs(&taken).contains(&"DELETE".to_owned()));
    let silent = uploads(|_| None);
    with_store(&silent, async |world| {
        let mut put = Box::pin(world.store.put("t/a", body.clone()));
        while verbs(&silent).len() < 2 {
            assert!(futures::poll!(&mut put).is_pending());
            tokio::task::yield_now().await;
        }
        drop(put);
        while !verbs(&silent).contains(&"DELETE".to_owned()) {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn names_leave_room_for_the_prefix_within_what_s3_allows() {
    let server = Scripted::start(|_| None);
    with_store(&server, async |world| {
        let long = format!("{}/{}", "x/".repeat(500), "y".repeat(20));
        let put = world.store.put(&long[..1020], Bytes::new()).await;
        assert!(matches!(put, Err(StoreError::InvalidName(_))), "{put:?}");
    });
    assert_eq!(server.requests().len(), 0);
}
