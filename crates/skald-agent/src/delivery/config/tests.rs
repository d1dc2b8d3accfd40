use super::*;
use std::time::Duration;

fn read(text: &str) -> ClientConfig {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_is_not_written_has_promtails_defaults() {
    let all_null = "{url: 'http://h/p', batchwait: , headers: , backoff_config: , tls_config: , external_labels: , http_headers: , proxy_connect_header: }";
    for text in ["url: http://h/p", all_null] {
        let config = read(text);
        assert_eq!((config.batchwait.0, config.batchsize), (Duration::from_secs(1), ByteSize(1_048_576)));
        assert_eq!((config.timeout.0, config.follow_redirects), (Duration::from_secs(10), true));
        let backoff = &config.backoff_config;
        assert_eq!((backoff.min_period.0, backoff.max_period.0), (Duration::from_millis(500), Duration::from_secs(300)));
        assert_eq!((backoff.max_retries, config.drop_rate_limited_batches), (None, false));
        assert_eq!(config.problems(), [""; 0]);
    }
}

#[test]
fn every_key_is_read() {
    let config = read(
        "
name: main
url: https://7:key@logs.example.com/loki/api/v1/push
tenant_id: team
batchwait: 2s
batchsize: 102400
headers: {X-Team: 7, X-Empty: }
timeout: 5s
backoff_config: {min_period: 100ms, max_period: 10s, max_retries: 0}
drop_rate_limited_batches: true
external_labels: {cluster: eu}
basic_auth: {username: u, username_file: f, password: p, password_file: f}
authorization: {type: Bearer, credentials: c, credentials_file: f}
bearer_token: t
bearer_token_file: f
oauth2: {client_id: i, client_secret: s, client_secret_file: f, token_url: 'http://a/t', scopes: [a], endpoint_params: {k: v}, tls_config: {ca: x},
         proxy_url: 'http://p', no_proxy: n, proxy_from_environment: false, proxy_connect_header: {A: [b]}}
tls_config: {ca: a, ca_file: b, cert: c, cert_file: d, key: e, key_file: f, server_name: g, insecure_skip_verify: true, min_version: TLS12, max_version: TLS13}
proxy_url: http://proxy:3128
no_proxy: localhost,10.0.0.0/8
proxy_from_environment: false
proxy_connect_header: {Proxy-Authorization: [Basic eA==]}
follow_redirects: false
enable_http2: true
http_headers: {X-A: {values: [a], secrets: [b], files: [c]}}
",
    );
    assert_eq!((config.id().as_str(), config.tenant_id.as_str(), config.batchsize), ("main", "team", ByteSize(102_400)));
    assert_eq!(config.headers.0["X-Team"], Hidden("7".to_owned()));
    assert_eq!(config.headers.0["X-Empty"], Hidden(String::new()));
    assert_eq!(config.backoff_config.max_retries, Some(0));
    assert_eq!(config.external_labels.0["cluster"], "eu");
    assert_eq!(config.http_headers["X-A"].files, ["c"]);
    assert!(config.tls_config.insecure_skip_verify && config.drop_rate_limited_batches && !config.follow_redirects);
}

#[test]
fn a_key_that_is_not_known_is_refused() {
    let error = serde_saphyr::from_str::<ClientConfig>("url: http://h\nbatch_wait: 1s").expect_err("no such key").to_string();
    assert!(error.contains("batch_wait"), "{error}");
    let error = serde_saphyr::from_str::<ClientConfig>("tls_config: {caFile: x}").expect_err("no such key").to_string();
    assert!(error.contains("caFile"), "{error}");
}

#[test]
fn no_secret_is_printed() {
    let config = read(
        "
url: https://7:hunter1@logs.example.com:443/push?x=1
headers: {Authorization: hunter2}
basic_auth: {username: u, password: hunter3}
bearer_token: hunter4
oauth2: {client_id: i, client_secret: hunter5, token_url: 'https://a:hunter6@b/c'}
tls_config: {key: hunter7}
proxy_url: http://u:hunter8@proxy
proxy_connect_header: {A: [hunter9]}
http_headers: {B: {secrets: [hunter10]}}
",
    );
    let printed = format!("{}{config:?}", serde_saphyr::to_string(&config).expect("settings are plain data"));
    assert!(!printed.contains("hunter"), "{printed}");
    assert!(printed.contains("url: https://7:xxxxx@logs.example.com:443/push?x=1\n"), "{printed}");
}

#[test]
fn the_name_stays_while_secrets_change() {
    let id = |text: &str| read(text).id();
    let one = id("url: http://u:p@h/push");
    assert_eq!(one.len(), 6);
    assert_eq!(one, id("{url: 'http://u:q@h/push', bearer_token: t, timeout: 3s, name: ''}"));
    for other in
        ["url: http://v:p@h/push", "{url: 'http://u:p@h/push', tenant_id: t}", "{url: 'http://u:p@h/push', external_labels: {a: b}}"]
    {
        assert_ne!(one, id(other), "{other}");
    }
}

#[track_caller]
fn check(text: &str, problem: &str) {
    assert_eq!(read(text).problems(), [problem], "{text}");
}

#[test]
fn each_problem_is_named() {
    check("name: x", "url is missing");
    check("url: 'ftp://h'", "url \"ftp://h\" is not an address of the kind http:// or https://host");
    check("url: 'localhost'", "url \"localhost\" is not an address: relative URL without a base");
    let with = |more: &str| format!("url: http://h\n{more}");
    check(&with("timeout: 0"), "timeout must be above 0");
    check(&with("batchsize: 0"), "batchsize must be above 0");
    check(&with("backoff_config: {min_period: 1m, max_period: 1s}"), "backoff_config.min_period is longer than backoff_config.max_period");
    check(&with("headers: {'a b': c}"), "headers: \"a b\" is not the name of a header");
    check(&with("http_headers: {a: {secrets: [\"x\\ny\"]}}"), "http_headers: the value of \"a\" holds what a header cannot");
    let one = "at most one of basic_auth, authorization, bearer_token(_file) and oauth2 may be given";
    check(&with("basic_auth: {username: u}\nbearer_token: t"), one);
    check(
        &with("basic_auth: {password: u, password_file: f}"),
        "at most one of basic_auth.password and basic_auth.password_file may be given",
    );
    check(&with("authorization: {type: Basic}"), "authorization.type cannot be basic; use basic_auth");
    check(&with("oauth2: {client_id: i, token_url: 'http://h'}"), "oauth2.client_secret is missing");
    check(
        &with("proxy_url: ldap://h"),
        "proxy_url \"ldap://h\" is not an address of the kind http:// or https:// or socks5:// or socks5h://host",
    );
    check(&with("no_proxy: h"), "no_proxy needs proxy_url");
    check(&with("proxy_url: http://p\ntls_config: {server_name: s}"), "tls_config.server_name does not go together with a proxy");
    check(&with("tls_config: {cert: c}"), "tls_config: a certificate and its key go together");
    check(&with("tls_config: {min_version: '1.2'}"), "tls_config.min_version is none of TLS10, TLS11, TLS12, TLS13");
    check(&with("tls_config: {max_version: TLS11}"), "tls_config.max_version: TLS 1.2 is the oldest that is spoken");
    check(&with("tls_config: {min_version: TLS13, max_version: TLS12}"), "tls_config: min_version is above max_version");
}
