use super::*;
use crate::test_disk::TestDisk;
use proptest::prelude::*;
use std::time::Duration;

const MEMINFO: (&str, &str) = ("/proc/meminfo", "MemTotal: 8388608 kB\n");

fn source(environment: &[(&str, &str)]) -> Source {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Source { mode: Mode::Service, file: None, flags: Vec::new(), environment }
}

fn load_yaml(yaml: &str) -> Result<Config, ConfigError> {
    load(&source(&[]).file("/etc/skald.yaml"), &TestDisk::with(&[MEMINFO, ("/etc/skald.yaml", yaml)])).map(|loaded| loaded.config)
}

#[track_caller]
fn refused(yaml: &str, want: &[&str]) {
    let error = load_yaml(yaml).expect_err("it is wrong");
    assert_eq!(error.to_string().lines().collect::<Vec<_>>(), want, "{yaml}");
}

#[test]
fn later_layers_win() {
    let disk = TestDisk::with(&[MEMINFO, ("s.yaml", "server: {http_listen_port: 1, grpc_listen_port: 2, log_level: debug}")]);
    let environment =
        source(&[("SKALD_SERVER__GRPC_LISTEN_PORT", "3"), ("SKALD_SERVER__LOG_LEVEL", "warn"), ("SKALD_AUTH_ENABLED", "false")]);
    let source = environment.file("s.yaml").flag("--log-level", "server.log_level", "error");
    let config = load(&source, &disk).expect("all of it is right").config;
    assert_eq!((config.server.http_listen_port, config.server.grpc_listen_port), (1, 3));
    assert_eq!(config.server.log_level, crate::LogLevel::Error);
    assert!(!config.auth_enabled);
    assert_eq!(config.server.blocking_threads, 32);
}

#[test]
fn defaults_follow_the_kind_of_process_and_its_memory() {
    let disk = TestDisk::with(&[MEMINFO]);
    let service = load(&source(&[]), &disk).expect("defaults are right").config;
    assert!(service.auth_enabled);
    assert_eq!(service.memory_limit, ByteSize::gib(8));
    assert_eq!(service.ingester.memory_budget, ByteSize::gib(2));
    let single = load(&Source { mode: Mode::SingleProcess, ..source(&[]) }, &disk).expect("defaults are right");
    assert!(!single.config.auth_enabled);
    assert_eq!(single.config.server.http_listen_address, "127.0.0.1");
    assert_eq!(single.config, single.defaults);
    let told = load(&source(&[("SKALD_MEMORY_LIMIT", "1GB")]), &disk).expect("it is a size").config;
    assert_eq!(told.ingester.memory_budget, ByteSize::mib(256));
}

#[test]
fn variables_that_are_not_keys_are_left_alone() {
    let disk = TestDisk::with(&[MEMINFO]);
    let others = source(&[("SKALD_PORT", "tcp://10.0.0.1:3100"), ("SKALD_SERVICE_HOST", "10.0.0.1"), ("SKALD_CONFIG", "x"), ("HOME", "/")]);
    assert!(load(&others, &disk).is_ok());
    let misspelt = source(&[("SKALD_SERVER__HTTP_LISTEN_PROT", "1"), ("SKALD_SERVER__LOG_FORMAT", "xml")]);
    let error = load(&misspelt, &disk).expect_err("two things are wrong").to_string();
    let want = [
        "variable SKALD_SERVER__HTTP_LISTEN_PROT: server.http_listen_prot: unknown key; did you mean 'http_listen_port'?",
        "variable SKALD_SERVER__LOG_FORMAT: server.log_format: expected logfmt or json, found 'xml'",
    ];
    let mut lines: Vec<_> = error.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, want);
}

#[test]
fn texts_that_look_like_numbers_stay_texts() {
    let environment = source(&[
        ("SKALD_STORAGE__DATA_DIR", "007"),
        ("SKALD_INGESTER__WAL__DIR", "true"),
        ("SKALD_LIMITS_CONFIG__MAX_LINE_SIZE_TRUNCATE_IDENTIFIER", "{1.50}"),
        ("SKALD_LIMITS_CONFIG__REQUIRED_LABELS", "[app, env]"),
        ("SKALD_LIMITS_CONFIG__INGESTION_RATE_MB", "1.5"),
    ]);
    let config = load(&environment, &TestDisk::with(&[MEMINFO])).expect("all are right").config;
    assert_eq!(config.storage.data_dir, PathBuf::from("007"));
    assert_eq!(config.ingester.wal.dir, Some(PathBuf::from("true")));
    assert_eq!(config.limits_config.max_line_size_truncate_identifier, "{1.50}");
    assert_eq!(config.limits_config.ingestion_rate_mb, 1.5);
    assert_eq!(config.limits_config.required_labels, ["app", "env"]);
    let config = load_yaml("limits_config: {required_labels: [y, on]}").expect("y and on are texts");
    assert_eq!(config.limits_config.required_labels, ["y", "on"]);
}

#[test]
fn limits_take_the_forms_that_loki_takes() {
    let yaml = "
limits_config:
  ingestion_rate_mb: 1000
  max_line_size: 262144
  per_stream_rate_limit: 1GB
  max_query_length: 1w
  query_timeout: 1m30s
  retention_period: 0
  shard_streams:
    enabled: false
querier:
runtime_config:
  file:
";
    let limits = load_yaml(yaml).expect("all forms are known").limits_config;
    assert_eq!(limits.ingestion_rate_mb, 1000.0);
    assert_eq!((limits.max_line_size, limits.per_stream_rate_limit), (ByteSize(262_144), ByteSize::gib(1)));
    assert_eq!((limits.max_query_length, limits.query_timeout), (Duration::from_secs(604_800), Duration::from_secs(90)));
    assert!(!limits.shard_streams.enabled);
}

#[test]
fn every_wrong_key_and_value_is_refused_with_its_place() {
    refused(
        "server:\n  http_listen_prot: 1\n  grpc_listen_port: 70000\nquerrier: {}\nlimits_config:\n  query_timeout: 5\n  volume_enabled: yes\n",
        &[
            "/etc/skald.yaml:6:18: limits_config.query_timeout: expected a duration such as 30s, 1h30m or 7d, found 5",
            "/etc/skald.yaml:7:19: limits_config.volume_enabled: expected true or false, found 'yes'",
            "/etc/skald.yaml:4:1: querrier: unknown key; did you mean 'querier'?",
            "/etc/skald.yaml:3:21: server.grpc_listen_port: expected a whole number from 0 to 65535, found 70000",
            "/etc/skald.yaml:2:3: server.http_listen_prot: unknown key; did you mean 'http_listen_port'?",
        ],
    );
    refused("server: 5", &["/etc/skald.yaml:1:9: server: expected a section of keys, found 5"]);
    refused("storage: {data_dir: [a]}", &["/etc/skald.yaml:1:21: storage.data_dir: expected a path, found a list"]);
    refused("- a", &["/etc/skald.yaml:1:1: expected keys and values"]);
}

#[test]
fn a_later_layer_does_not_hide_what_is_wrong_in_the_file() {
    let disk = TestDisk::with(&[MEMINFO, ("s.yaml", "server: 7\n")]);
    let source = source(&[]).file("s.yaml").flag("--log-level", "server.log_level", "loud");
    let error = load(&source, &disk).expect_err("two things are wrong").to_string();
    let want = [
        "s.yaml:1:9: server: expected a section of keys, found 7",
        "flag --log-level: server.log_level: expected trace, debug, info, warn or error, found 'loud'",
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), want);
}

#[test]
fn broken_rules_name_the_place_of_the_value() {
    refused(
        "storage:\n  url: ftp://x\nquerier:\n  max_concurrent: 0\n",
        &[
            "/etc/skald.yaml:2:8: storage.url: 'ftp://x' is neither file:///directory nor s3://bucket/prefix",
            "/etc/skald.yaml:4:19: querier.max_concurrent: must be 1 or more",
        ],
    );
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    for yaml in ["a: [", "server: {a: 1, a: 2}", "a: b: c", "\tx: 1", "a: 1\n---\nb: 2\n"] {
        let error = load_yaml(yaml).expect_err(yaml).to_string();
        assert!(error.starts_with("/etc/skald.yaml:") && error.lines().count() == 1, "{yaml:?} gave {error}");
        assert!(!error.contains("Options") && !error.contains("from_str"), "the user does not call the parser: {error}");
    }
    let disk = TestDisk::with(&[]);
    let error = load(&source(&[]).file("/none.yaml"), &disk).expect_err("there is no file");
    assert_eq!(error.to_string(), "read /none.yaml");
}

#[test]
fn files_made_to_exhaust_the_process_are_refused() {
    let levels = (1..30).map(|level| format!("l{level}: &l{level} [{}]\n", format!("*l{},", level - 1).repeat(10)));
    let laughs = std::iter::once("l0: &l0 lol\n".to_owned()).chain(levels).collect::<String>();
    for yaml in [laughs, format!("a: {}", "[".repeat(100_000)), "{a: ".repeat(100_000), "- ".repeat(100_000), "a:\n ".repeat(9)] {
        assert!(load_yaml(&yaml).is_err());
    }
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        assert!(load_yaml(&format!("a: {}1{}", open.repeat(1000), close.repeat(1000))).is_err());
    }
}

#[test]
fn relative_limits_files_lie_beside_the_configuration() {
    let config = load_yaml("runtime_config: {file: overrides.yaml, period: 5s}").expect("it is right");
    assert_eq!(config.runtime_config.file, Some("/etc/overrides.yaml".into()));
    let config = load_yaml("runtime_config: {file: /run/overrides.yaml}").expect("it is right");
    assert_eq!(config.runtime_config.file, Some("/run/overrides.yaml".into()));
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]

    #[test]
    fn any_bytes_load_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = YamlFile::parse("any", &bytes);
    }

    #[test]
    fn any_yaml_like_text_loads_or_is_refused(text in "(server|limits_config|storage|[a-z\\[\\]{}:,&*!|>'\"# \n-]){0,12}") {
        let _ = load_yaml(&text);
    }
}
