//! `scrape_configs`: what is read, and by which rules.

use super::settings::{Period, settings};
use super::{Place, Report};
use crate::sources::docker::DockerSdConfig;
use crate::sources::journal::JournalConfig;
use crate::sources::push::PushConfig;
use crate::sources::syslog::SyslogConfig;
use serde::de::IgnoredAny;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_saphyr::Spanned;
use skald_discovery::config::{FileSdConfig, KubernetesSdConfig, StaticConfig};
use skald_model::seam::Random;
use skald_pipeline::{Pipeline, PipelineContext, Relabel, RelabelConfig, StageConfig};
use skald_runtime::chain;
use std::sync::Arc;

/// One scrape config, with the one source that it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeConfig {
    /// Name, unique in the file.
    pub job_name: String,
    /// Where it stands.
    pub place: Place,
    /// What is done to each entry.
    pub pipeline_stages: Vec<StageConfig>,
    /// What is done to the labels of targets, or of entries where the source is no file.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Encoding of files, by its IANA name; `None` is UTF-8.
    pub encoding: Option<String>,
    /// Whether and how files are compressed.
    pub decompression: DecompressionConfig,
    /// Where entries come from.
    pub source: SourceConfig,
}

/// The one source of a scrape config.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceConfig {
    /// Files that discovery finds.
    Files(DiscoveryConfig),
    /// The journal of systemd.
    Journal(JournalConfig),
    /// A syslog listener.
    Syslog(Box<SyslogConfig>),
    /// A listener for pushes.
    Push(Box<PushConfig>),
    /// Containers of Docker engines.
    Docker(Vec<DockerSdConfig>),
}

/// How the targets of a scrape config are found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DiscoveryConfig {
    /// Written in the file itself.
    pub static_configs: Vec<StaticConfig>,
    /// In other files.
    pub file_sd_configs: Vec<FileSdConfig>,
    /// In Kubernetes.
    pub kubernetes_sd_configs: Vec<KubernetesSdConfig>,
}

settings! {
    /// `decompression` of a scrape config.
    pub struct DecompressionConfig {
        /// Whether files are compressed.
        pub enabled: bool = false,
        /// How long a new file is left alone, so that it can be written to its end.
        pub initial_delay: Period = Period::seconds(0),
        /// `gz`, `z`, `bz2`, `zst` or `lz4`.
        pub format: String = String::new(),
    }
}

/// A block that this build does not know, whatever it holds.
type Unbuilt = Option<Spanned<IgnoredAny>>;

/// One item of `scrape_configs` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    job_name: Option<String>,
    pipeline_stages: Option<Vec<StageConfig>>,
    relabel_configs: Option<Vec<RelabelConfig>>,
    encoding: Option<String>,
    decompression: Option<DecompressionConfig>,
    static_configs: Option<Vec<StaticConfig>>,
    file_sd_configs: Option<Vec<FileSdConfig>>,
    kubernetes_sd_configs: Option<Vec<KubernetesSdConfig>>,
    docker_sd_configs: Option<Vec<DockerSdConfig>>,
    journal: Option<JournalConfig>,
    syslog: Option<SyslogConfig>,
    loki_push_api: Option<PushConfig>,
    gcplog: Unbuilt,
    windows_events: Unbuilt,
    kafka: Unbuilt,
    azure_event_hubs: Unbuilt,
    gelf: Unbuilt,
    cloudflare: Unbuilt,
    heroku_drain: Unbuilt,
    consul_sd_configs: Unbuilt,
    consulagent_sd_configs: Unbuilt,
    dns_sd_configs: Unbuilt,
    ec2_sd_configs: Unbuilt,
    gce_sd_configs: Unbuilt,
    azure_sd_configs: Unbuilt,
    openstack_sd_configs: Unbuilt,
    digitalocean_sd_configs: Unbuilt,
    dockerswarm_sd_configs: Unbuilt,
    marathon_sd_configs: Unbuilt,
    nerve_sd_configs: Unbuilt,
    serverset_sd_configs: Unbuilt,
    triton_sd_configs: Unbuilt,
}

impl Written {
    /// The scrape config, if it has a name and a source that can be read; what is wrong with it goes to `report`.
    pub(super) fn check(mut self, place: Place, report: &mut Report) -> Option<ScrapeConfig> {
        let job_name = self.job_name.take().filter(|name| !name.is_empty());
        if job_name.is_none() {
            report.problem(place, "a scrape config needs a job_name".to_owned());
        }
        let name = job_name.clone().unwrap_or_default();
        let decompression = self.decompression.take().unwrap_or_default();
        if decompression.enabled && !matches!(decompression.format.as_str(), "gz" | "z" | "bz2" | "zst" | "lz4") {
            let message =
                format!("scrape config \"{name}\": decompression.format \"{}\" is none of gz, z, bz2, zst, lz4", decompression.format);
            report.problem(place, message);
        }
        let (pipeline_stages, relabel_configs) = (self.pipeline_stages.take(), self.relabel_configs.take());
        let encoding = self.encoding.take().filter(|name| !name.is_empty());
        compile(&name, place, pipeline_stages.as_deref(), relabel_configs.as_deref(), report);
        let before = report.count();
        self.refuse_discovery(&name, report);
        let source = self.source(&name, place, report);
        // One that was refused is a source all the same.
        if source.is_none() && report.count() == before {
            report.problem(place, format!("scrape config \"{name}\" has nothing to read: no static_configs, journal, syslog or the like"));
        }
        Some(ScrapeConfig {
            job_name: job_name?,
            place,
            pipeline_stages: pipeline_stages.unwrap_or_default(),
            relabel_configs: relabel_configs.unwrap_or_default(),
            encoding,
            decompression,
            source: source?,
        })
    }

    fn refuse_discovery(&self, name: &str, report: &mut Report) {
        let unbuilt = [
            ("consul_sd_configs", &self.consul_sd_configs),
            ("consulagent_sd_configs", &self.consulagent_sd_configs),
            ("dns_sd_configs", &self.dns_sd_configs),
            ("ec2_sd_configs", &self.ec2_sd_configs),
            ("gce_sd_configs", &self.gce_sd_configs),
            ("azure_sd_configs", &self.azure_sd_configs),
            ("openstack_sd_configs", &self.openstack_sd_configs),
            ("digitalocean_sd_configs", &self.digitalocean_sd_configs),
            ("dockerswarm_sd_configs", &self.dockerswarm_sd_configs),
            ("marathon_sd_configs", &self.marathon_sd_configs),
            ("nerve_sd_configs", &self.nerve_sd_configs),
            ("serverset_sd_configs", &self.serverset_sd_configs),
            ("triton_sd_configs", &self.triton_sd_configs),
        ];
        for (key, block) in unbuilt {
            if let Some(block) = block {
                report.problem(Place::of(block.referenced), not_supported(name, key));
            }
        }
    }

    /// The source that is read: the first that is written, in the order in which promtail looks.
    fn source(self, name: &str, place: Place, report: &mut Report) -> Option<SourceConfig> {
        let discovery = DiscoveryConfig {
            static_configs: self.static_configs.unwrap_or_default(),
            file_sd_configs: self.file_sd_configs.unwrap_or_default(),
            kubernetes_sd_configs: self.kubernetes_sd_configs.unwrap_or_default(),
        };
        let docker = self.docker_sd_configs.filter(|engines| !engines.is_empty());
        // What is not built is its place.
        let unbuilt = |block: Unbuilt| block.map(|block| Err(Place::of(block.referenced)));
        let found = [
            (discovery.key(), (!discovery.is_empty()).then(|| Ok(SourceConfig::Files(discovery)))),
            ("journal", self.journal.map(|journal| Ok(SourceConfig::Journal(journal)))),
            ("syslog", self.syslog.map(|syslog| Ok(SourceConfig::Syslog(Box::new(syslog))))),
            ("gcplog", unbuilt(self.gcplog)),
            ("loki_push_api", self.loki_push_api.map(|push| Ok(SourceConfig::Push(Box::new(push))))),
            ("windows_events", unbuilt(self.windows_events)),
            ("kafka", unbuilt(self.kafka)),
            ("azure_event_hubs", unbuilt(self.azure_event_hubs)),
            ("gelf", unbuilt(self.gelf)),
            ("cloudflare", unbuilt(self.cloudflare)),
            ("docker_sd_configs", docker.map(|docker| Ok(SourceConfig::Docker(docker)))),
            ("heroku_drain", unbuilt(self.heroku_drain)),
        ];
        let mut found = found.into_iter().filter_map(|(key, block)| Some((key, block?)));
        let (first, source) = found.next()?;
        for (ignored, _) in found {
            report.warning(
                place,
                format!("scrape config \"{name}\": {ignored} is ignored beside {first}; give it a scrape config of its own"),
            );
        }
        match source {
            Ok(source) => {
                for problem in source.problems() {
                    report.problem(place, format!("scrape config \"{name}\": {first}: {problem}"));
                }
                Some(source)
            }
            Err(place) => {
                report.problem(place, not_supported(name, first));
                None
            }
        }
    }
}

impl DiscoveryConfig {
    /// Whether nothing is to be found.
    pub fn is_empty(&self) -> bool {
        self.static_configs.is_empty() && self.file_sd_configs.is_empty() && self.kubernetes_sd_configs.is_empty()
    }

    /// The first key that is written.
    fn key(&self) -> &'static str {
        match (self.static_configs.is_empty(), self.file_sd_configs.is_empty()) {
            (false, _) => "static_configs",
            (true, false) => "file_sd_configs",
            (true, true) => "kubernetes_sd_configs",
        }
    }
}

impl SourceConfig {
    /// What is wrong with it.
    fn problems(&self) -> Vec<String> {
        match self {
            SourceConfig::Files(discovery) => {
                let kubernetes = discovery.kubernetes_sd_configs.iter().flat_map(KubernetesSdConfig::problems);
                let patterns = discovery.file_sd_configs.iter().flat_map(|config| &config.files);
                let wrong = |pattern: &&String| !["json", "yml", "yaml"].iter().any(|end| pattern.ends_with(&format!(".{end}")));
                let files = patterns.filter(wrong).map(|pattern| format!("\"{pattern}\" does not end in .json, .yml or .yaml"));
                kubernetes.map(|problem| problem.to_string()).chain(files).collect()
            }
            SourceConfig::Journal(journal) => journal.problems(),
            SourceConfig::Syslog(syslog) => syslog.problems(),
            SourceConfig::Push(_) => Vec::new(),
            SourceConfig::Docker(engines) => engines.iter().flat_map(DockerSdConfig::problems).collect(),
        }
    }
}

/// Tells what is wrong with the rules and the stages, by compiling them.
fn compile(name: &str, place: Place, stages: Option<&[StageConfig]>, rules: Option<&[RelabelConfig]>, report: &mut Report) {
    let context = PipelineContext {
        job: name.into(),
        counters: Arc::default(),
        metrics: Arc::default(),
        random: Arc::new(NoRandom),
        inspector: None,
    };
    if let Err(error) = Relabel::new(rules.unwrap_or_default()) {
        report.problem(place, format!("scrape config \"{name}\": relabel_configs: {}", chain(&error)));
    }
    if let Err(error) = Pipeline::new(stages.unwrap_or_default(), &context) {
        report.problem(place, format!("scrape config \"{name}\": pipeline_stages: {}", chain(&error)));
    }
}

/// For pipelines that are compiled and never run.
struct NoRandom;

impl Random for NoRandom {
    fn next_u64(&self) -> u64 {
        0
    }
}

/// As it was written, with the keys of its source beside the others.
impl Serialize for ScrapeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("job_name", &self.job_name)?;
        match &self.source {
            SourceConfig::Files(DiscoveryConfig { static_configs, file_sd_configs, kubernetes_sd_configs }) => {
                list(&mut map, "static_configs", static_configs)?;
                list(&mut map, "file_sd_configs", file_sd_configs)?;
                list(&mut map, "kubernetes_sd_configs", kubernetes_sd_configs)?;
            }
            SourceConfig::Journal(journal) => map.serialize_entry("journal", journal)?,
            SourceConfig::Syslog(syslog) => map.serialize_entry("syslog", syslog)?,
            SourceConfig::Push(push) => map.serialize_entry("loki_push_api", push)?,
            SourceConfig::Docker(engines) => map.serialize_entry("docker_sd_configs", engines)?,
        }
        if let Some(encoding) = &self.encoding {
            map.serialize_entry("encoding", encoding)?;
        }
        if self.decompression.enabled {
            map.serialize_entry("decompression", &self.decompression)?;
        }
        list(&mut map, "relabel_configs", &self.relabel_configs)?;
        list(&mut map, "pipeline_stages", &self.pipeline_stages)?;
        map.end()
    }
}

fn list<M: SerializeMap, T: Serialize>(map: &mut M, key: &str, items: &[T]) -> Result<(), M::Error> {
    if items.is_empty() { Ok(()) } else { map.serialize_entry(key, items) }
}

fn not_supported(name: &str, what: &str) -> String {
    format!("scrape config \"{name}\": {what} is not supported by this build")
}
