//! Files that operators write.

use crate::Target;
use skald_config::{Config, Mode, Overrides, Source, StoreUrl, load, render};
use skald_testkit::SimDisk;
use std::path::Path;
use std::sync::Arc;

pub(crate) const YAML: Target = Target {
    name: "config",
    about: "a configuration file, also read as limits of tenants; a configuration that was read is written and read to the same",
    seeds: || FILES.iter().map(|text| text.as_bytes().to_vec()).collect(),
    tokens: &[
        ":",
        "- ",
        "\n",
        "  ",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "!!int ",
        "|",
        ">",
        "#",
        "null",
        "~",
        "1h",
        "1MB",
        "-1",
        "1e999",
        "true",
        "<<: ",
        "limits_config:",
        "server:",
        "storage:",
        "overrides:",
        "ingester:",
        "---",
        "? ",
    ],
    run: |bytes| {
        let disk = SimDisk::new();
        disk.plant(Path::new("config.yaml"), bytes);
        let source = Source { mode: Mode::SingleProcess, file: Some("config.yaml".into()), flags: Vec::new(), environment: Vec::new() };
        match load(&source, &*disk) {
            Ok(loaded) => {
                let printed = render(&loaded.config);
                disk.plant(Path::new("config.yaml"), printed.as_bytes());
                let again = load(&source, &*disk).unwrap_or_else(|error| panic!("{error} in {printed}"));
                assert_eq!(again.config, loaded.config);
            }
            Err(error) => drop((error.kind(), error.to_string())),
        }
        disk.plant(Path::new("runtime.yaml"), bytes);
        let mut config = Config::default();
        config.runtime_config.file = Some("runtime.yaml".into());
        drop(Overrides::load(&config, Arc::clone(&disk) as _).map_err(|error| error.to_string()));
    },
};

pub(crate) const URL: Target = Target {
    name: "store-url",
    about: "where objects lie; a URL that was read is written and read to the same",
    seeds: || ["s3://bucket/prefix/a", "s3://a.b-c", "file:///var/lib/skald"].map(|text| text.as_bytes().to_vec()).into(),
    tokens: &["s3://", "file://", "/", "//", "..", ".", "@", ":", "?", "#", "%2e", "\0", "-", "\u{e9}"],
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(StoreUrl::S3(url)) = text.parse::<StoreUrl>() {
            assert_eq!(url.to_string().parse(), Ok(StoreUrl::S3(url)));
        }
    },
};

const FILES: &[&str] = &[
    "server:\n  http_listen_port: 3200\nlimits_config:\n  retention_period: 30d\n  ingestion_rate_mb: 8.5\n  max_query_length: 721h\n  blocked_queries:\n    - pattern: '.*foo.*'\n      regex: true\n",
    "storage:\n  url: s3://bucket/prefix\n  s3: {region: eu, endpoint: \"http://localhost:9000\"}\ningester:\n  generation: {max_age: 30m, target_size: 48MiB}\n",
    "overrides:\n  team-a:\n    ingestion_rate_mb: 10\n    otlp_config:\n      resource_attributes:\n        attributes_config:\n          - action: index_label\n            attributes: [a, b]\n  team-b: {max_streams_matchers_per_query: 5}\n",
];
