mod oauth2;
mod proxy;
mod server;
mod tls;

use super::*;
use crate::delivery::testing::{compress, lines_of};
use server::{Files, Reply, Request, Server};
use skald_runtime::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn seams() -> Seams {
    skald_runtime::seams(1, &Metrics::new("test")).expect("the system has threads")
}

fn settings(config: &str) -> ClientConfig {
    let config: ClientConfig = serde_saphyr::from_str(config).unwrap_or_else(|error| panic!("{config}: {error}"));
    assert_eq!(config.problems(), [""; 0]);
    config
}

async fn open(config: &str) -> HttpTransport {
    HttpTransport::open(&settings(config), &seams()).await.unwrap_or_else(|error| panic!("{config}: {}", skald_runtime::chain(&error)))
}

fn body() -> Bytes {
    compress(&vec![("{a=\"1\"}".to_owned(), vec!["line".to_owned()])])
}

async fn push(transport: &HttpTransport) -> Answer {
    transport.push(None, body()).await.unwrap_or_else(|error| panic!("{}", skald_runtime::chain(&error)))
}

/// What a client of these settings sends.
async fn sent(more: &str) -> Request {
    let server = Server::start(|_| Reply::status(204)).await;
    let transport = open(&format!("url: {}/push\n{more}", server.url())).await;
    assert_eq!(push(&transport).await.status, 204);
    server.requests().remove(0)
}

#[tokio::test]
async fn a_push_is_what_promtail_sends() {
    let server = Server::start(|_| Reply::status(204)).await;
    let transport = open(&format!("url: {}/loki/api/v1/push?x=1", server.url())).await;
    let answer = transport.push(Some("team"), body()).await.expect("an answer");
    assert_eq!(answer, Answer { status: 204, ..Answer::default() });
    let request = server.requests().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/loki/api/v1/push?x=1"));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert!(request.header("user-agent").expect("there is one").starts_with("promtail/3."), "{request:?}");
    assert_eq!(request.header("x-scope-orgid"), Some("team"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(lines_of(&request.body), ["line"]);
}

#[tokio::test]
async fn headers_of_the_configuration_are_sent_and_ours_win() {
    let files = Files::new();
    let path = files.write("value", "from a file\n");
    let request = sent(&format!(
        "headers: {{X-One: 1, User-Agent: other, Content-Type: text/plain, X-Scope-OrgID: own}}
http_headers: {{X-Two: {{values: [a], secrets: [b], files: ['{path}']}}}}"
    ))
    .await;
    assert_eq!(request.header("x-one"), Some("1"));
    assert_eq!(request.all("x-two"), ["a", "b", "from a file"]);
    assert_eq!(request.all("content-type"), ["application/x-protobuf"]);
    assert_eq!(request.all("user-agent"), [AGENT]);
    assert_eq!(request.header("x-scope-orgid"), Some("own"), "no tenant of the client stands against it");
}

#[tokio::test]
async fn each_way_to_authenticate_gives_its_header() {
    let files = Files::new();
    let (user, password) = (files.write("user", "u\n"), files.write("password", " p\n"));
    let basic = "Basic dTpw";
    for (config, want) in [
        ("basic_auth: {username: u, password: p}".to_owned(), basic),
        (format!("basic_auth: {{username_file: '{user}', password_file: '{password}'}}"), basic),
        ("authorization: {credentials: c}".to_owned(), "Bearer c"),
        (format!("authorization: {{type: Token, credentials_file: '{user}'}}"), "Token u"),
        ("bearer_token: t".to_owned(), "Bearer t"),
        (format!("bearer_token_file: '{user}'"), "Bearer u"),
        ("headers: {Authorization: mine}\nbearer_token: t".to_owned(), "mine"),
    ] {
        assert_eq!(sent(&config).await.all("authorization"), [want], "{config}");
    }
}

#[tokio::test]
async fn user_and_password_of_the_address_are_basic_authentication() {
    let server = Server::start(|_| Reply::status(204)).await;
    let url = server.url().replace("http://", "http://7:k%2Fy@");
    push(&open(&format!("url: {url}/push")).await).await;
    let request = server.requests().remove(0);
    assert_eq!(request.all("authorization"), [auth::basic("7", "k/y")]);
}

#[tokio::test]
async fn a_secret_file_is_read_anew_for_each_request() {
    let files = Files::new();
    let path = files.write("token", "old");
    let server =
        Server::start(|request| Reply::status(if request.header("authorization") == Some("Bearer new") { 204 } else { 401 })).await;
    let transport = open(&format!("url: {}\nbearer_token_file: '{path}'", server.url())).await;
    assert_eq!(push(&transport).await.status, 401);
    files.write("token", "new\n");
    assert_eq!(push(&transport).await.status, 204);
    files.remove("token");
    let error = transport.push(None, body()).await.expect_err("there is no token");
    assert_eq!(error.cause(), Cause::Local);
    assert!(skald_runtime::chain(&error).contains(&path), "{error:?}");
}

#[tokio::test]
async fn what_the_server_says_is_handed_on() {
    let long = format!(" at line 1: {}", "x".repeat(500));
    let server = Server::start(move |_| Reply { body: long.clone(), ..Reply::status(429).with("retry-after", "17") }).await;
    let answer = push(&open(&format!("url: {}", server.url())).await).await;
    assert_eq!((answer.status, answer.retry_after.as_deref(), answer.page), (429, Some("17"), false));
    assert_eq!(answer.message.len(), MESSAGE_CHARS_MAX);
    assert!(answer.message.starts_with("at line 1: xxx"));
    let server = Server::start(|_| Reply::status(200).with("content-type", " Text/HTML; charset=utf-8")).await;
    assert!(push(&open(&format!("url: {}", server.url())).await).await.page);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let pieces = Arc::new(AtomicUsize::new(0));
    let counted = pieces.clone();
    let server = Server::start(move |_| Reply { long: Some(counted.clone()), ..Reply::status(400) }).await;
    let answer = push(&open(&format!("url: {}", server.url())).await).await;
    assert_eq!((answer.status, answer.message.len()), (400, MESSAGE_CHARS_MAX));
    let sent = pieces.load(Ordering::Relaxed) * server::PIECE_LEN;
    assert!(sent < server::LONG_LEN / 2, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_the_timeout() {
    let server = Server::start(|_| Reply { never: true, ..Reply::status(204) }).await;
    let transport = open(&format!("url: {}\ntimeout: 100ms", server.url())).await;
    let error = transport.push(None, body()).await.expect_err("nobody answers");
    assert!(matches!(error, TransportError::TimedOut(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_away_and_comes_back_is_found_again() {
    let address = server::free_address().await;
    let transport = open(&format!("url: http://u:secret@{address}/push")).await;
    let error = transport.push(None, body()).await.expect_err("nobody listens");
    assert_eq!(error.cause(), Cause::Connection);
    assert!(!skald_runtime::chain(&error).contains("secret"), "{error:?}");
    let server = Server::start_at(address, |_| Reply::status(204)).await;
    assert_eq!(push(&transport).await.status, 204);
    server.stop().await;
    transport.push(None, body()).await.expect_err("nobody listens");
    let _server = Server::start_at(address, |_| Reply::status(204)).await;
    assert_eq!(push(&transport).await.status, 204);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::start(|_| Reply::status(204)).await;
    let transport = open(&format!("url: {}", server.url())).await;
    for _ in 0..3 {
        push(&transport).await;
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_redirect_is_followed_with_the_entries() {
    for code in [301, 302, 307, 308] {
        let server = Server::start(move |request| match request.path.as_str() {
            "/new" => Reply::status(204),
            _ => Reply::status(code).with("location", "/new"),
        })
        .await;
        let transport = open(&format!("url: {}/old\nbearer_token: t", server.url())).await;
        assert_eq!(push(&transport).await.status, 204, "{code}");
        let request = server.requests().remove(1);
        assert_eq!((request.method.as_str(), lines_of(&request.body)), ("POST", vec!["line".to_owned()]), "{code}");
        assert_eq!(request.header("authorization"), Some("Bearer t"), "{code}");
        let user = open(&format!("url: {}/old", server.url().replace("//", "//u:p@"))).await;
        assert_eq!(push(&user).await.status, 204, "{code}");
        assert_eq!(server.requests().remove(3).header("authorization"), Some("Basic dTpw"), "{code}");
        let stays = open(&format!("url: {}/old\nfollow_redirects: false", server.url())).await;
        assert_eq!(push(&stays).await.status, code, "{code}");
    }
    let server = Server::start(|_| Reply::status(303).with("location", "/new")).await;
    assert_eq!(push(&open(&format!("url: {}", server.url())).await).await.status, 303, "what it points to is no push endpoint");
}

#[tokio::test]
async fn another_host_gets_no_credentials() {
    let other = Server::start(|_| Reply::status(204)).await;
    let target = other.url().replace("127.0.0.1", "localhost");
    let server = Server::start(move |_| Reply::status(307).with("location", &target)).await;
    let transport = open(&format!("url: {}\nbearer_token: t\nheaders: {{Cookie: c, X-Team: x}}", server.url())).await;
    assert_eq!(push(&transport).await.status, 204);
    assert_eq!(server.requests()[0].header("cookie"), Some("c"));
    let request = other.requests().remove(0);
    assert_eq!((request.header("authorization"), request.header("cookie"), request.header("x-team")), (None, None, Some("x")));
}

#[test]
fn credentials_stay_with_the_host_and_its_encryption() {
    let keeps = |from: &str, to: &str| keeps_credentials(&Url::parse(from).expect("an address"), &Url::parse(to).expect("an address"));
    assert!(keeps("http://h/a", "http://h/b"));
    assert!(keeps("http://h/a", "https://h/a"));
    assert!(!keeps("https://h/a", "http://h/a"));
    assert!(!keeps("https://h/a", "https://other/a"));
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = Server::start(|_| Reply::status(307).with("location", "/again")).await;
    let error = open(&format!("url: {}", server.url())).await.push(None, body()).await.expect_err("it goes in circles");
    assert_eq!(error.cause(), Cause::Misrouted);
    assert_eq!(server.requests().len(), REDIRECTS_MAX + 1);
}
