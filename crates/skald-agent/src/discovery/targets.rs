use crate::source::TargetStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use skald_model::quote;
use skald_pipeline::{LabelSet, Relabel, Text};
use skald_tail::{Decompression, FileTarget};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Most targets that are not read and are shown.
const DROPPED_MAX: usize = 100;
/// Reason of a target that another one reads already.
const EXISTS: &str = "exists";
/// The one label with two underscores that stays: it names the tenant.
const TENANT_LABEL: &str = "__tenant_id__";

/// By which rules the targets of a scrape config are chosen.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Its name.
    pub job: String,
    /// Its `relabel_configs`.
    pub relabel: Arc<Relabel>,
    /// Name of this machine: targets of others are not read.
    pub hostname: String,
    /// Encoding of its files.
    pub encoding: Option<String>,
    /// How its files are compressed.
    pub decompression: Option<Decompression>,
}

/// A target that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Labels before relabeling.
    pub discovered: LabelSet,
    /// Labels of its entries.
    pub labels: LabelSet,
    /// Which files.
    pub file: FileTarget,
}

/// Counts targets that are not read, by reason.
#[derive(Debug, Clone, Default)]
pub struct TargetFailures(Family<Reason, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl TargetFailures {
    /// Registers the metric; once a process.
    pub fn register(registry: &mut prometheus_client::registry::Registry) -> Self {
        let failures = TargetFailures::default();
        registry.register("promtail_targets_failed", "Targets that were found and are not read", failures.0.clone());
        failures
    }

    /// How many there were for a reason.
    pub fn count(&self, reason: &'static str) -> u64 {
        self.0.get_or_create(&Reason { reason }).get()
    }
}

/// The targets of one scrape config, by the groups in which they were found.
#[derive(Debug)]
pub struct TargetTable {
    rules: Rules,
    failures: TargetFailures,
    groups: BTreeMap<String, Vec<Judged>>,
}

#[derive(Debug)]
enum Judged {
    Read(Found),
    Not(TargetStatus),
}

impl TargetTable {
    /// Without targets.
    pub fn new(rules: Rules, failures: TargetFailures) -> Self {
        TargetTable { rules, failures, groups: BTreeMap::new() }
    }

    /// Its rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Replaces the targets of one group; none takes it away.
    pub fn replace(&mut self, group: &str, targets: Vec<LabelSet>) {
        self.groups.remove(group);
        let mut known: HashSet<Text> = self.read().iter().map(|found| Text::clone(&found.file.key)).collect();
        let judged: Vec<Judged> = targets.into_iter().map(|labels| self.rules.judge(labels)).collect();
        for target in &judged {
            let reason = match target {
                Judged::Read(found) if known.insert(Text::clone(&found.file.key)) => continue,
                Judged::Read(_) => EXISTS,
                Judged::Not(status) => reason_label(&status.reason),
            };
            self.failures.0.get_or_create(&Reason { reason }).inc();
        }
        if !judged.is_empty() {
            self.groups.insert(group.to_owned(), judged);
        }
    }

    /// The targets that are read, each key once.
    pub fn read(&self) -> Vec<&Found> {
        self.split().0
    }

    /// Some of the targets that are not read, each with its reason.
    pub fn dropped(&self) -> Vec<TargetStatus> {
        let twice = |found: &&Found| TargetStatus {
            discovered: found.discovered.clone(),
            labels: found.labels.clone(),
            reason: EXISTS.to_owned(),
            ..TargetStatus::default()
        };
        let not = self.groups.values().flatten().filter_map(|judged| match judged {
            Judged::Read(_) => None,
            Judged::Not(status) => Some(status.clone()),
        });
        not.chain(self.split().1.iter().map(twice)).take(DROPPED_MAX).collect()
    }

    /// Targets that can be read, those whose key comes for the first time and the others.
    fn split(&self) -> (Vec<&Found>, Vec<&Found>) {
        let found = self.groups.values().flatten().filter_map(|judged| match judged {
            Judged::Read(found) => Some(found),
            Judged::Not(_) => None,
        });
        let mut seen = HashSet::new();
        found.partition(|found| seen.insert(&found.file.key))
    }
}

/// A reason as the metric has it, without what went wrong in particular.
fn reason_label(reason: &str) -> &'static str {
    let known = ["dropped", "wrong_host", "no_path"];
    known.into_iter().find(|known| *known == reason).unwrap_or("error")
}

impl Rules {
    fn judge(&self, discovered: LabelSet) -> Judged {
        let mut labels = discovered.clone();
        let kept = self.relabel.apply(&mut labels);
        let path = labels.get("__path__").filter(|path| !path.is_empty()).map(str::to_owned);
        let elsewhere = labels.get("__host__").is_some_and(|host| host != self.hostname);
        let exclude = labels.get("__path_exclude__").filter(|path| !path.is_empty()).map(str::to_owned);
        let not = |labels: LabelSet, reason: String| {
            Judged::Not(TargetStatus { discovered: discovered.clone(), labels, reason, ..TargetStatus::default() })
        };
        let reason = if !kept {
            "dropped"
        } else if elsewhere {
            "wrong_host"
        } else if path.is_none() {
            "no_path"
        } else {
            ""
        };
        let (Some(path), "") = (path, reason) else { return not(labels, reason.to_owned()) };
        labels.retain(|name, _| !name.starts_with("__") || name == TENANT_LABEL);
        let key = self.key(&path, exclude.as_deref(), &labels);
        let file = FileTarget { key, path, exclude, encoding: self.encoding.clone(), decompression: self.decompression };
        match file.check() {
            Ok(()) => Judged::Read(Found { discovered, labels, file }),
            Err(error) => not(labels, format!("error: {error}")),
        }
    }

    /// Tells a target from others, in this process and the next.
    fn key(&self, path: &str, exclude: Option<&str>, labels: &LabelSet) -> Text {
        let mut key = String::new();
        for part in [&self.job, path, exclude.unwrap_or_default()] {
            quote(&mut key, part);
            key.push(' ');
        }
        key.push_str(&labels.to_string());
        key.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_pipeline::RelabelConfig;

    fn table(rules: &str) -> TargetTable {
        let rules: Vec<RelabelConfig> = serde_json::from_str(rules).expect("rules");
        let relabel = Arc::new(Relabel::new(&rules).expect("they compile"));
        let rules = Rules { job: "j".to_owned(), relabel, hostname: "here".to_owned(), encoding: None, decompression: None };
        TargetTable::new(rules, TargetFailures::default())
    }

    fn labels(pairs: &[(&str, &str)]) -> LabelSet {
        pairs.iter().copied().collect()
    }

    fn paths(table: &TargetTable) -> Vec<String> {
        table.read().iter().map(|found| format!("{} {}", found.file.path, found.labels)).collect()
    }

    fn reasons(table: &TargetTable) -> Vec<String> {
        table.dropped().into_iter().map(|status| status.reason).collect()
    }

    #[test]
    fn a_target_is_read_or_says_why_not() {
        let mut table = table(
            r#"[{"source_labels": ["drop"], "regex": "yes", "action": "drop"}, {"source_labels": ["to"], "target_label": "__path__"}]"#,
        );
        let path = ("to", "/a/*.log");
        table.replace(
            "g",
            vec![
                labels(&[path, ("a", "1"), ("__meta", "x"), ("__tenant_id__", "t")]),
                labels(&[path, ("drop", "yes")]),
                labels(&[path, ("__host__", "there")]),
                labels(&[path, ("__host__", "here"), ("__path_exclude__", "/a/x*")]),
                labels(&[("a", "1")]),
                labels(&[path, ("a", "1"), ("__other", "y"), ("__tenant_id__", "t")]),
                labels(&[("to", "/a/[")]),
            ],
        );
        assert_eq!(paths(&table), [r#"/a/*.log {__tenant_id__="t", a="1", to="/a/*.log"}"#, r#"/a/*.log {to="/a/*.log"}"#]);
        assert_eq!(table.read()[1].file.exclude.as_deref(), Some("/a/x*"));
        let reasons = reasons(&table);
        assert_eq!(reasons[..3], ["dropped", "wrong_host", "no_path"]);
        assert!(reasons[3].starts_with("error: glob"), "{reasons:?}");
        assert_eq!(reasons[4..], ["exists"]);
        for reason in ["dropped", "wrong_host", "no_path", "exists", "error"] {
            assert_eq!(table.failures.count(reason), 1, "{reason}");
        }
    }

    #[test]
    fn a_group_replaces_what_it_was_before() {
        let mut table = table("[]");
        let target = |path: &str, app: &str| labels(&[("__path__", path), ("app", app)]);
        table.replace("one", vec![target("/a", "1"), target("/b", "1")]);
        table.replace("two", vec![target("/c", "1"), target("/a", "1")]);
        assert_eq!(paths(&table), [r#"/a {app="1"}"#, r#"/b {app="1"}"#, r#"/c {app="1"}"#]);
        assert_eq!(reasons(&table), ["exists"]);
        table.replace("one", vec![target("/b", "2")]);
        assert_eq!(paths(&table), [r#"/b {app="2"}"#, r#"/c {app="1"}"#, r#"/a {app="1"}"#], "what was there twice is there once");
        table.replace("two", Vec::new());
        assert_eq!((paths(&table), reasons(&table).len()), (vec![r#"/b {app="2"}"#.to_owned()], 0));
    }

    #[test]
    fn few_of_many_dropped_targets_are_shown() {
        let mut table = table("[]");
        table.replace("g", (0..500).map(|at| labels(&[("at", &at.to_string())])).collect());
        assert_eq!((table.dropped().len(), table.failures.count("no_path")), (DROPPED_MAX, 500));
    }

    #[test]
    fn keys_tell_targets_apart_and_stay() {
        let rules = table("[]").rules;
        let key = |path: &str, exclude: Option<&str>, pairs: &[(&str, &str)]| rules.key(path, exclude, &labels(pairs)).to_string();
        assert_eq!(key("/a", None, &[("x", "1")]), r#""j" "/a" "" {x="1"}"#);
        let all = [key("/a", None, &[]), key("/a", Some("/b"), &[]), key("/a\" \"/b", None, &[]), key("/a", None, &[("x", "1")])];
        assert_eq!(HashSet::from(all).len(), 4);
    }
}
