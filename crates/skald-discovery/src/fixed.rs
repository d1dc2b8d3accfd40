//! Targets that the configuration itself lists.

use std::collections::VecDeque;

use async_trait::async_trait;

use crate::config::StaticConfig;
use crate::{Discovery, LabelSet, TargetGroup, Update};

const ADDRESS: &str = "__address__";
/// The one target of a list that names none: what it is for is in its labels.
const DEFAULT_TARGET: &str = "localhost";

/// The groups of `static_configs`: one for each list, numbered from 0. A list without targets has the one target `localhost`.
pub fn static_targets(configs: &[StaticConfig]) -> Vec<TargetGroup> {
    let group = |(number, config): (usize, &StaticConfig)| TargetGroup { source: number.to_string(), targets: targets(config) };
    configs.iter().enumerate().map(group).collect()
}

/// Labels of each target of one list. A list's own `__address__` gives way to the target.
pub(crate) fn targets(config: &StaticConfig) -> Vec<LabelSet> {
    let with_address = |target: &str| {
        let own = config.labels.iter().filter(|(name, _)| *name != ADDRESS).map(|(name, value)| (name.clone(), value.clone()));
        std::iter::once((ADDRESS.to_owned(), target.to_owned())).chain(own).collect()
    };
    if config.targets.is_empty() {
        return vec![with_address(DEFAULT_TARGET)];
    }
    config.targets.iter().map(|target| with_address(target)).collect()
}

/// [`static_targets`] as a [`Discovery`]: tells each group once, then that this was all, and is silent from then on.
pub struct StaticDiscovery {
    updates: VecDeque<Update>,
}

impl StaticDiscovery {
    /// The targets of `configs`.
    pub fn new(configs: &[StaticConfig]) -> Self {
        let groups = static_targets(configs).into_iter().map(Update::Group);
        StaticDiscovery { updates: groups.chain([Update::Synced]).collect() }
    }
}

#[async_trait]
impl Discovery for StaticDiscovery {
    async fn next(&mut self) -> Update {
        match self.updates.pop_front() {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(targets: &[&str], labels: &[(&str, &str)]) -> StaticConfig {
        StaticConfig {
            targets: targets.iter().map(|target| target.to_string()).collect(),
            labels: labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }

    #[track_caller]
    fn check(config: StaticConfig, want: &[&[(&str, &str)]]) {
        let got = targets(&config);
        let got: Vec<Vec<(&str, &str)>> = got.iter().map(|labels| labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn every_target_carries_the_labels_of_its_list() {
        check(config(&[], &[("job", "a")]), &[&[("__address__", "localhost"), ("job", "a")]]);
        check(
            config(&["one", "two"], &[("__path__", "/x")]),
            &[&[("__address__", "one"), ("__path__", "/x")], &[("__address__", "two"), ("__path__", "/x")]],
        );
        check(config(&["one"], &[("__address__", "other")]), &[&[("__address__", "one")]]);
    }

    #[tokio::test]
    async fn static_targets_are_told_once_and_then_nothing() {
        let mut discovery = StaticDiscovery::new(&[config(&["one"], &[]), config(&["two"], &[])]);
        for source in ["0", "1"] {
            assert!(matches!(discovery.next().await, Update::Group(group) if group.source == source && group.targets.len() == 1));
        }
        assert_eq!(discovery.next().await, Update::Synced);
        assert!(futures::poll!(discovery.next()).is_pending());
    }
}
