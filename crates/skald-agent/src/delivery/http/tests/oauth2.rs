use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A token server that numbers its tokens, and a log server that takes the last one alone.
async fn servers(lifetime: u64, in_form: bool) -> (Server, Server, Arc<AtomicUsize>) {
    let valid = Arc::new(AtomicUsize::new(0));
    let given = valid.clone();
    let tokens = Server::start(move |request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let known = if in_form {
            form.contains("client_secret=s%26cret")
        } else {
            request.header("authorization") == Some(&auth::basic("me", "s%26cret"))
        };
        if !known {
            return Reply::status(401);
        }
        let number = given.fetch_add(1, Ordering::Relaxed) + 1;
        Reply { body: format!(r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":{lifetime}}}"#), ..Reply::status(200) }
    })
    .await;
    let current = valid.clone();
    let logs = Server::start(move |request| {
        let want = format!("Bearer t{}", current.load(Ordering::Relaxed));
        Reply::status(if request.header("authorization") == Some(&want) { 204 } else { 401 })
    })
    .await;
    (tokens, logs, valid)
}

fn config(tokens: &Server, logs: &Server) -> String {
    format!(
        "url: {}\noauth2: {{client_id: me, client_secret: 's&cret', token_url: '{}/token', scopes: [a, b], endpoint_params: {{audience: logs}}}}",
        logs.url(),
        tokens.url()
    )
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_while_it_lives() {
    let (tokens, logs, _) = servers(3600, false).await;
    let transport = open(&config(&tokens, &logs)).await;
    for _ in 0..3 {
        assert_eq!(push(&transport).await.status, 204);
    }
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/token"));
    assert_eq!(asked[0].body, "grant_type=client_credentials&scope=a+b&audience=logs");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced() {
    let (tokens, logs, valid) = servers(3600, false).await;
    let transport = open(&config(&tokens, &logs)).await;
    assert_eq!(push(&transport).await.status, 204);
    valid.fetch_add(1, Ordering::Relaxed);
    assert_eq!(push(&transport).await.status, 401, "somebody revoked it");
    assert_eq!(push(&transport).await.status, 204);
    assert_eq!(tokens.requests().len(), 2);
}

#[tokio::test]
async fn a_server_that_wants_the_credentials_in_the_form_gets_them_there() {
    let (tokens, logs, valid) = servers(3600, true).await;
    let transport = open(&config(&tokens, &logs)).await;
    assert_eq!(push(&transport).await.status, 204);
    valid.fetch_add(1, Ordering::Relaxed);
    assert_eq!(push(&transport).await.status, 401);
    assert_eq!(push(&transport).await.status, 204);
    assert_eq!(tokens.requests().len(), 3, "the way that was refused is tried once");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let (_, logs, _) = servers(3600, false).await;
    for (status, body, cause) in
        [(403, "", Cause::Unauthorized), (503, "", Cause::Server), (404, "", Cause::Misrouted), (200, "<html>", Cause::Misrouted)]
    {
        let tokens = Server::start(move |_| Reply { body: body.to_owned(), ..Reply::status(status) }).await;
        let error = open(&config(&tokens, &logs)).await.push(None, self::body()).await.expect_err("there is no token");
        assert_eq!(error.cause(), cause, "{status}");
        assert!(!skald_runtime::chain(&error).contains("cret"), "{error:?}");
    }
    assert_eq!(logs.requests().len(), 0);
}
