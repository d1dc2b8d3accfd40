//! Objects in a real S3 server. `make test` installs it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests against a real server")]

use bytes::Bytes;
use futures::future::join_all;
use integration_tests::{Server, push_body, until};
use prometheus_client::registry::Registry;
use skald_config::{S3Config, S3Url, StoreUrl};
use skald_model::ErrorKind;
use skald_model::seam::Clock;
use skald_runtime::{SystemClock, TokioSpawner};
use skald_store::s3::{Credentials, Metrics, Parts, S3Store};
use skald_store::{ObjectStore, RemoteFailure, RemoteProblem, StoreError, conformance};
use skald_testkit::S3Server;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// One for all tests of this file; each has a bucket or a folder of its own.
static SERVER: LazyLock<S3Server> = LazyLock::new(|| {
    let server = S3Server::start();
    server.create_bucket("logs");
    server
});

fn url(text: &str) -> S3Url {
    match text.parse() {
        Ok(StoreUrl::S3(url)) => url,
        other => panic!("{text}: {other:?}"),
    }
}

fn config(endpoint: &str) -> S3Config {
    S3Config { endpoint: Some(endpoint.to_owned()), ..S3Config::default() }
}

async fn connect(url_text: &str, config: S3Config, secret_key: &str) -> S3Store {
    let (access_key, secret_key) = (S3Server::ACCESS_KEY.to_owned(), secret_key.to_owned());
    let (clock, spawner) = (Arc::new(SystemClock::new()), Arc::new(TokioSpawner::new(&skald_runtime::Metrics::new("test"))));
    let metrics = Metrics::register(&mut Registry::default());
    let credentials = Credentials::Given { access_key, secret_key };
    S3Store::connect(Parts { url: url(url_text), config, credentials, clock, spawner, metrics }).await.unwrap()
}

async fn store(url: &str) -> S3Store {
    connect(url, config(&SERVER.endpoint()), S3Server::SECRET_KEY).await
}

fn remote<T: std::fmt::Debug>(result: Result<T, StoreError>) -> RemoteFailure {
    match result {
        Err(StoreError::Remote(failure)) => *failure,
        other => panic!("{other:?}"),
    }
}

fn body(len: usize) -> Bytes {
    (0..len).map(|at| ((at * 31) >> 7) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_promises_of_an_object_store() {
    conformance::suite(&store("s3://logs/conformance/deep").await, "suite").await;
    // A bucket without a prefix.
    SERVER.create_bucket("whole-bucket");
    conformance::suite(&store("s3://whole-bucket").await, "suite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_does_not_see_into_one_whose_name_goes_on() {
    let (short, long) = (store("s3://logs/begin").await, store("s3://logs/beginning").await);
    for (store, name) in [(&short, "t/a"), (&short, "t-2/a"), (&short, "~owner/1"), (&long, "t/b")] {
        store.put(name, Bytes::from_static(b"x")).await.unwrap();
    }
    let names = |listed: Vec<skald_store::ObjectMeta>| listed.into_iter().map(|meta| meta.name).collect::<Vec<_>>();
    assert_eq!(names(short.list("").await.unwrap()), ["t-2/a", "t/a", "~owner/1"]);
    assert_eq!(names(short.list("t/").await.unwrap()), ["t/a"]);
    assert_eq!(names(long.list("").await.unwrap()), ["t/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_many_pages_are_whole_and_large_deletes_too() {
    let store = store("s3://logs/pages").await;
    let names: Vec<String> = (0..2500).map(|number| format!("t/{:02}/{number:04}", number % 7)).collect();
    let before = SystemClock::new().now();
    for chunk in names.chunks(50) {
        for put in join_all(chunk.iter().map(|name| store.put(name, Bytes::from_static(b"xyz")))).await {
            put.unwrap();
        }
    }
    let mut sorted = names.clone();
    sorted.sort();
    let listed = store.list("").await.unwrap();
    assert_eq!(listed.iter().map(|meta| &meta.name).collect::<Vec<_>>(), sorted.iter().collect::<Vec<_>>());
    // The store's clock may show whole seconds.
    let earliest = before.minus(Duration::from_secs(2));
    assert!(listed.iter().all(|meta| meta.size == 3 && meta.modified >= earliest), "{:?}", listed.first());
    store.delete_many(&names).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_come_back_as_they_were() {
    let store = store("s3://logs/large").await;
    // One put, and parts.
    for len in [40 << 20, (128 << 20) + 12_345] {
        let body = body(len);
        store.put("t/a", body.clone()).await.unwrap();
        assert!(store.get_range("t/a", 0..len as u64).await.unwrap() == body, "{len} bytes");
        let ranges = vec![len as u64 - 10..len as u64, 0..10, (16 << 20) - 5..(16 << 20) + 5, 7..20 << 20];
        let got = store.get_ranges("t/a", ranges.clone()).await.unwrap();
        assert!(ranges.iter().zip(&got).all(|(range, got)| *got == body[range.start as usize..range.end as usize]));
        let past = store.get_range("t/a", 0..len as u64 + 1).await;
        assert!(matches!(past, Err(StoreError::OutOfRange { .. })), "{past:?}");
    }
    store.delete("t/a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_do_not_replace_what_has_their_name() {
    let store = store("s3://logs/large-if-absent").await;
    let (first, other) = (body((128 << 20) + 1), Bytes::from(vec![9; (128 << 20) + 1]));
    // One after the other: this server does not look and place in one step when an upload of parts is completed, Amazon's does.
    store.put_if_absent("t/a", first.clone()).await.unwrap();
    for body in [other, Bytes::from_static(b"small")] {
        let put = store.put_if_absent("t/a", body).await;
        assert!(matches!(&put, Err(StoreError::AlreadyExists(name)) if name == "t/a"), "{put:?}");
    }
    assert!(store.get_range("t/a", 0..first.len() as u64).await.unwrap() == first);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_told_in_one_sentence() {
    let denied = connect("s3://logs/x", config(&SERVER.endpoint()), "wrong").await;
    let failure = remote(denied.put("t/a", Bytes::new()).await);
    assert_eq!(failure.problem, RemoteProblem::WrongSecretKey, "{failure}");
    assert!(
        failure.to_string().starts_with("PutObject of 's3://logs/x/t/a': the secret key is wrong (403 SignatureDoesNotMatch"),
        "{failure}"
    );

    // This server makes a bucket that is missing for the first put of someone who may do so.
    let missing = store("s3://no-such-bucket/x").await;
    let failures =
        [remote(missing.get_range("t/a", 0..1).await), remote(missing.get_range("t/a", 0..0).await), remote(missing.list("").await)];
    for failure in failures {
        assert_eq!((&failure.problem, failure.problem.kind()), (&RemoteProblem::NoBucket, ErrorKind::Internal), "{failure}");
        assert!(failure.to_string().contains("of 's3://no-such-bucket/x/") && failure.to_string().contains("the bucket does not exist"));
    }

    // A port at which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = connect("s3://logs/x", config(&format!("http://{free}")), S3Server::SECRET_KEY).await;
    let failure = remote(dead.put("t/a", Bytes::new()).await);
    assert_eq!((&failure.problem, failure.problem.kind()), (&RemoteProblem::Unreachable, ErrorKind::Unavailable));
    assert!(skald_runtime::chain(&failure).contains("refused"), "{}", skald_runtime::chain(&failure));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_has_what_it_had() {
    let server = tokio::task::spawn_blocking(S3Server::start).await.unwrap();
    server.create_bucket("logs");
    let timeouts = S3Config { request_timeout: Duration::from_secs(5), ..config(&server.endpoint()) };
    let store = connect("s3://logs", timeouts, S3Server::SECRET_KEY).await;
    store.put("t/a", Bytes::from_static(b"kept")).await.unwrap();
    server.stop();
    assert_eq!(store.put("t/b", Bytes::new()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get_range("t/a", 0..4).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let server = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let _server = server.await.unwrap();
    assert_eq!(store.get_range("t/a", 0..4).await.unwrap(), "kept");
}

/// A process on a folder of the bucket, with a data directory of its own.
fn skald(folder: &str) -> Server {
    skald_at(&SERVER, folder)
}

fn skald_at(s3: &S3Server, folder: &str) -> Server {
    let config = format!("storage:\n  url: s3://logs/{folder}\n  s3:\n    endpoint: {}\n{}", s3.endpoint(), integration_tests::GENEROUS);
    let server = Server::stopped(&config);
    server.variable("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY).variable("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY)
}

#[test]
fn a_process_that_cannot_use_its_bucket_says_why() {
    let config = format!("storage:\n  url: s3://logs/x\n  s3:\n    endpoint: {}\n", SERVER.endpoint());
    let mut without = Server::stopped(&config).variable("AWS_EC2_METADATA_DISABLED", "true");
    let log = without.fails();
    assert!(log.contains("no credentials: set AWS_ACCESS_KEY_ID"), "{log}");
    let with = Server::stopped(&config).variable("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY);
    let log = with.variable("AWS_SECRET_ACCESS_KEY", "wrong-secret").fails();
    assert!(log.contains("the secret key is wrong") && !log.contains("wrong-secret"), "{log}");
    let elsewhere = Server::stopped("storage: {url: s3://logs/x}").variable("AWS_EC2_METADATA_DISABLED", "true").fails();
    assert!(elsewhere.contains("no region for the bucket: set storage.s3.region"), "{elsewhere}");
    let wrong = Server::stopped("storage: {url: 's3://Logs'}").fails();
    assert!(wrong.contains("skald.yaml:1:16: storage.url: 'Logs' is not the name of a bucket"), "{wrong}");
}

#[test]
fn a_process_with_an_empty_disk_serves_what_another_stored() {
    let (mut first, mut second) = (skald("serve"), skald("serve"));
    first.restart();
    let now = integration_tests::now_ns();
    let entries: Vec<(i64, String)> = (0..1000).map(|number| (now - 1000 + number, format!("line {number}"))).collect();
    first.push("", &push_body(&[("app", "web")], &entries));
    first.flush();
    assert!(first.metric("skald_store_s3_requests_total") > 0.0 && first.metric("skald_store_s3_price_dollars_total") > 0.0);
    assert!(first.terminate().success());
    second.restart();
    let found = second.select("{app=\"web\"}", now - 1_000_000_000, now + 1);
    assert_eq!(integration_tests::entries(&found).len(), 1000);
}

#[test]
fn over_tls_the_certificate_must_be_trusted() {
    let s3 = S3Server::start_tls();
    s3.create_bucket("logs");
    let mut waiting = skald_at(&s3, "tls");
    waiting.begin();
    let tells = |text: &str| text.contains("no connection to the store") && text.contains("certificate");
    until("it says what it waits for", || {
        let ready = waiting.get("/ready");
        (ready.status == 503 && tells(ready.text())).then_some(())
    });
    let refused = waiting.post("/loki/api/v1/push", &[("content-type", "application/json")], b"{}");
    assert!(refused.status == 503 && tells(refused.text()), "{}", refused.text());
    assert!(waiting.terminate().success(), "it can be stopped meanwhile");
    let mut trusting = skald_at(&s3, "tls").variable("SSL_CERT_FILE", &s3.certificate().display().to_string());
    trusting.restart();
    let now = integration_tests::now_ns();
    trusting.push("", &push_body(&[("app", "web")], &[(now, "over TLS")]));
    trusting.flush();
    let found = trusting.select("{app=\"web\"}", now - 1, now + 1);
    assert_eq!(integration_tests::entries(&found), [(now, "over TLS".to_owned())]);
}
