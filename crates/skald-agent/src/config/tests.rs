use super::*;
use crate::delivery::config::HiddenUrl;
use skald_config::{ByteSize, LogLevel};
use skald_runtime::StdDisk;
use skald_testkit::SimDisk;
use std::path::Path;

fn flags(line: &str) -> Flags {
    Flags::parse(line.split_whitespace().map(str::to_owned)).expect("the flags are known")
}

fn unset(_: &str) -> Option<String> {
    None
}

/// The files of one folder, with their text.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(folder);
    let disk: &dyn skald_model::seam::Disk = &StdDisk;
    let names = disk.list(&folder).expect("the folder is there").into_iter().map(|entry| entry.name);
    let files = names.map(|name| {
        let text = disk.read(&folder.join(&name)).expect("the file is there");
        (name, String::from_utf8(text).expect("it is text"))
    });
    files.collect()
}

fn load_text(line: &str, text: &str) -> Result<Loaded, ConfigError> {
    let disk = SimDisk::new();
    disk.plant(Path::new("agent.yaml"), text.as_bytes());
    load(&flags(&format!("-config.file=agent.yaml {line}")), &*disk, &unset)
}

fn taken(line: &str, text: &str) -> Config {
    load_text(line, text).unwrap_or_else(|error| panic!("{error}\n{text}")).config
}

#[test]
fn configurations_of_promtail_are_taken() {
    let files = files("taken");
    assert!(files.len() >= 7);
    for (name, text) in files {
        let loaded = load_text("", &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.warnings, [], "{name}");
        let again = taken("", &loaded.config.render().replace("<secret>", "hunter2"));
        assert_eq!(again.render(), loaded.config.render(), "{name} printed and read again");
        assert!(!loaded.config.render().contains("hunter2"), "{name} prints a secret");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let files = files("refused");
    assert!(files.len() >= 10);
    for (name, text) in files {
        let error = load_text("", &text).map(|loaded| loaded.config).expect_err(&name).to_string();
        let want = text.lines().filter_map(|line| line.strip_prefix("# want: "));
        let place = |want: &str| if want.starts_with(|c: char| c.is_ascii_digit()) { "agent.yaml:" } else { "agent.yaml: " };
        let want: Vec<String> = want.map(|want| format!("{}{want}", place(want))).collect();
        assert_eq!(error.lines().collect::<Vec<_>>(), want, "{name}");
    }
}

#[test]
fn blocks_without_values_have_their_defaults() {
    let text = files("taken").into_iter().find(|(name, _)| name == "kubernetes.yaml").expect("it is there").1;
    let config = taken("", &text);
    assert_eq!((config.limits_config, config.target_config), (LimitsConfig::default(), TargetConfig::default()));
    assert_eq!(config.server.http_listen_port, 3101);
    assert_eq!(config.spool.dir, "/run/promtail/spool");
}

#[test]
fn flags_stand_above_the_file() {
    let text =
        "server: {http_listen_port: 1, log_level: warn}\nclients: [{url: 'http://a/push', external_labels: {x: file}}]\nwal: {dir: /w}";
    let line = "-server.http-listen-port=2 -client.url=http://b/push -client.batch-size-bytes=7 -client.external-labels=x=flag,y=2 -spool.max-size=1kb";
    let config = taken(line, text);
    assert_eq!((config.server.http_listen_port, config.server.log_level), (2, LogLevel::Warn));
    let labels = |at: usize| config.clients[at].external_labels.0.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
    assert_eq!((labels(0), labels(1)), ("x=file,y=2".to_owned(), "x=flag,y=2".to_owned()));
    assert_eq!(config.clients[1].url, HiddenUrl("http://b/push".to_owned()));
    assert_eq!(config.clients[1].batchsize, ByteSize(7));
    assert_eq!(config.spool, SpoolConfig { dir: "/w".to_owned(), max_size: ByteSize(1024) });
}

#[test]
fn the_first_file_that_is_there_is_taken() {
    let disk = SimDisk::new();
    disk.plant(Path::new("b.yaml"), b"clients: [{url: 'http://${HOST:-h}/push'}]");
    let variable = |name: &str| (name == "HOST").then(|| "loki".to_owned());
    let loaded = load(&flags("-config.file=a.yaml,b.yaml -config.expand-env"), &*disk, &variable).expect("b is there");
    assert_eq!((loaded.file.as_str(), &loaded.config.clients[0].url), ("b.yaml", &HiddenUrl("http://loki/push".to_owned())));
    let refused = |line: &str| load(&flags(line), &*disk, &unset).map(|_| ()).expect_err(line).to_string();
    assert_eq!(refused("-config.file=a.yaml,c.yaml"), "no configuration file at a.yaml or c.yaml");
    assert_eq!(refused(""), "no configuration: give -config.file=<path>, or -kubernetes with -client.url");
    disk.plant(Path::new("c.yaml"), b"a: 1\nb: ${X");
    assert_eq!(refused("-config.file=c.yaml -config.expand-env"), "c.yaml:2:1: \"${\" without \"}\" on its line");
}

#[test]
fn a_source_beside_another_is_ignored_with_a_warning() {
    let text = "clients: [{url: 'http://a/push'}]\nscrape_configs:\n  - job_name: a\n    journal: {}\n    kafka: {x: 1}\n    static_configs: [{}]\n";
    let loaded = load_text("", text).expect("it can be read");
    assert!(matches!(loaded.config.scrape_configs[0].source, SourceConfig::Files(_)));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let warning =
        |what| format!("agent.yaml:3:5: scrape config \"a\": {what} is ignored beside static_configs; give it a scrape config of its own");
    assert_eq!(warnings, [warning("journal"), warning("kafka")]);
}

#[test]
fn the_built_in_configuration_of_kubernetes_needs_only_a_server() {
    let disk = SimDisk::new();
    let loaded = load(&flags("-kubernetes -client.url=http://loki-gateway/loki/api/v1/push"), &*disk, &unset).expect("it is complete");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.scrape_configs.len(), 1);
    assert_eq!(loaded.config.server.http_listen_port, 3101);
    let refused = load(&flags("-kubernetes"), &*disk, &unset).map(|_| ()).expect_err("there is no server").to_string();
    assert_eq!(refused, "-kubernetes: no client: give clients with an url, or -client.url");
}
