use super::super::{FileSdConfig, StaticConfig};
use super::*;

fn parse<T: for<'de> Deserialize<'de>>(yaml: &str) -> Result<T, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn kubernetes(yaml: &str) -> KubernetesSdConfig {
    parse(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

#[track_caller]
fn refused<T: for<'de> Deserialize<'de> + std::fmt::Debug>(yaml: &str, because: &str) {
    let error = parse::<T>(yaml).expect_err(yaml);
    assert!(error.contains(because), "{yaml}: {error}");
}

#[track_caller]
fn wrong(yaml: &str, want: &[&str]) {
    let problems: Vec<String> = kubernetes(yaml).problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), want.len(), "{yaml}: {problems:?}");
    for (problem, want) in problems.iter().zip(want) {
        assert!(problem.contains(want), "{yaml}: {problem}");
    }
}

#[test]
fn a_role_alone_is_a_configuration() {
    let config = kubernetes("role: pod");
    assert_eq!(config, KubernetesSdConfig::new(Role::Pod));
    assert_eq!(config.problems(), []);
}

#[test]
fn a_key_without_a_value_has_its_default() {
    let config = kubernetes(
        "role: endpointslice\nnamespaces:\nselectors:\nattach_metadata:\napi_server:\nkubeconfig_file:\nbasic_auth:\nauthorization:\n\
         bearer_token:\nbearer_token_file:\noauth2:\ntls_config:\nproxy_url:\nno_proxy:\nproxy_from_environment:\nproxy_connect_header:\n\
         follow_redirects:\nenable_http2:\nhttp_headers:\n",
    );
    assert_eq!(config, KubernetesSdConfig::new(Role::EndpointSlice));
    assert_eq!(
        kubernetes("role: pod\nnamespaces: {names: , own_namespace: }\nattach_metadata: {node: }"),
        KubernetesSdConfig::new(Role::Pod)
    );
}

#[test]
fn every_key_is_read() {
    let config = kubernetes(
        "role: endpoints\napi_server: https://a:6443\nnamespaces: {names: [x, y]}\n\
         selectors: [{role: pod, label: 'a=b', field: 'c=d'}, {role: service}]\nattach_metadata: {node: true, namespace: true}\n\
         authorization: {type: Bearer, credentials_file: /t}\n\
         tls_config: {ca_file: /ca, cert_file: /c, key_file: /k, server_name: n, insecure_skip_verify: true, min_version: TLS12}\n\
         follow_redirects: false\nenable_http2: true\nhttp_headers: {X-A: {values: [v], secrets: [s], files: [/f]}}\n",
    );
    assert_eq!(config.namespaces, Namespaces { names: vec!["x".into(), "y".into()], own_namespace: false });
    assert_eq!(config.selectors[0], Selector { role: Role::Pod, label: Some("a=b".into()), field: Some("c=d".into()) });
    assert_eq!(config.tls_config.as_ref().and_then(|tls| tls.server_name.as_deref()), Some("n"));
    assert_eq!(config.http_headers["X-A"].secrets, [Secret::new("s")]);
    assert_eq!(config.problems(), []);
}

#[test]
fn unknown_keys_and_roles_are_refused_by_name() {
    refused::<KubernetesSdConfig>("role: pod\nnamespace: x", "namespace");
    refused::<KubernetesSdConfig>("role: pods", "pods");
    refused::<KubernetesSdConfig>("api_server: http://x", "role");
    refused::<KubernetesSdConfig>("role: pod\nselectors: [{role: pod, labels: x}]", "labels");
    refused::<StaticConfig>("target: [a]", "target");
    refused::<FileSdConfig>("files: [a.json]\nrefresh_interval: soon", "soon");
}

#[test]
fn what_contradicts_itself_is_told_all_at_once() {
    wrong("role: pod\napi_server: http://a\nkubeconfig_file: /k", &["simultaneously"]);
    wrong(
        "role: pod\napi_server: http://a\nnamespaces: {own_namespace: true}",
        &["'namespaces.own_namespace' cannot be used with 'api_server'"],
    );
    wrong("role: pod\nkubeconfig_file: /k\nnamespaces: {own_namespace: true}", &["with 'kubeconfig_file'"]);
    wrong("role: pod\nbearer_token: x", &["'bearer_token' needs 'api_server'"]);
    wrong("role: pod\nkubeconfig_file: /k\ntls_config: {ca_file: /x}", &["'tls_config' cannot be used with 'kubeconfig_file'"]);
    wrong("role: pod\napi_server: a:6443", &["api_server 'a:6443'"]);
    wrong("role: pod\napi_server: http://a\nbearer_token: x\nbearer_token_file: /x", &["bearer_token and bearer_token_file"]);
    wrong("role: pod\napi_server: http://a\nbasic_auth: {username: u, password: p, password_file: /p}", &["basic_auth.password and"]);
    wrong("role: pod\napi_server: http://a\nbasic_auth: {password: p}", &["needs a username"]);
    wrong("role: pod\napi_server: http://a\nauthorization: {type: basic}", &["basic_auth", "needs credentials"]);
    wrong("role: pod\napi_server: http://a\ntls_config: {cert_file: /c, max_version: TLS12}", &["both", "max_version"]);
    wrong("role: pod\nselectors: [{role: service}, {role: pod}, {role: pod}]", &["role 'pod' does not look at", "two selectors"]);
    wrong("role: pod\nproxy_url: http://p\noauth2: {client_id: x}", &["'oauth2'", "'proxy_url'"]);
}

#[test]
fn secrets_do_not_show() {
    let config = kubernetes("role: pod\napi_server: http://a\nbasic_auth: {username: u, password: hunter2}");
    assert!(!format!("{config:?}").contains("hunter2"));
    let text = serde_saphyr::to_string(&config).unwrap();
    assert!(!text.contains("hunter2") && text.contains("<secret>"), "{text}");
    assert_eq!(config.basic_auth.unwrap().password.unwrap().reveal(), "hunter2");
}

#[test]
fn lists_and_files_have_their_defaults() {
    let list: StaticConfig = parse("targets:\nlabels: {job: a, port: 9080, on: true}").unwrap();
    assert_eq!(list.targets, [""; 0]);
    assert_eq!(list.labels, BTreeMap::from([("job", "a"), ("port", "9080"), ("on", "true")].map(|(n, v)| (n.to_owned(), v.to_owned()))));
    let files: FileSdConfig = parse("files: [a.json]").unwrap();
    assert_eq!(files.refresh_interval, std::time::Duration::from_secs(300));
    let files: FileSdConfig = parse("files: [a.json]\nrefresh_interval: 1m30s").unwrap();
    assert_eq!(files.refresh_interval, std::time::Duration::from_secs(90));
}
