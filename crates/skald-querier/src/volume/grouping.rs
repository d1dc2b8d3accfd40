//! Which series the bytes of a stream count towards.

use skald_logql::ast::Matcher;
use skald_logql::exec::LabelSet;
use skald_model::Labels;
use std::collections::BTreeSet;

/// What the bytes of streams are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AggregateBy {
    /// Labels with their values.
    #[default]
    Series,
    /// Names of labels, each by itself: a stream counts once towards every label that it has.
    Labels,
}

/// Maps streams to series.
#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    by: AggregateBy,
    /// Labels that a stream needs in order to count.
    targets: BTreeSet<String>,
    /// Labels that series are made of; `None` takes all of the stream's.
    shown: Option<BTreeSet<String>>,
}

impl Grouping {
    /// By the labels of `targets`, a list with commas. When it names none: by all labels for [`AggregateBy::Labels`] and where the selector has no
    /// matcher, else by those that the matchers name.
    pub(crate) fn new(by: AggregateBy, targets: &str, matchers: &[Matcher]) -> Self {
        let targets: BTreeSet<String> = targets.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let shown = match (targets.is_empty(), by) {
            (false, _) => Some(targets.clone()),
            (true, AggregateBy::Series) if !matchers.is_empty() => Some(matchers.iter().map(|matcher| matcher.name.clone()).collect()),
            (true, _) => None,
        };
        Grouping { by, targets, shown }
    }

    /// The series of a stream; none when it lacks a label that is a target.
    pub(crate) fn series_of(&self, labels: &Labels) -> Vec<LabelSet> {
        if self.targets.iter().any(|name| labels.get(name).is_none()) {
            return Vec::new();
        }
        let shown = labels.iter().filter(|(name, _)| self.shown.as_ref().is_none_or(|shown| shown.contains(*name)));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self.by {
            AggregateBy::Series => vec![LabelSet::from_pairs(shown.map(|(name, value)| pair(name, value)).collect())],
            AggregateBy::Labels => shown.map(|(name, _)| LabelSet::from_pairs(vec![pair(name, "")])).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_logql::parse_matchers;

    #[track_caller]
    fn check(by: AggregateBy, targets: &str, selector: &str, want: &[&str]) {
        let labels = skald_testkit::labels(&[("app", "a"), ("env", "p"), ("pod", "1")]);
        let grouping = Grouping::new(by, targets, &parse_matchers(selector, true).expect("a selector"));
        let found: Vec<String> = grouping.series_of(&labels).iter().map(ToString::to_string).collect();
        assert_eq!(found, want, "{by:?} {targets:?} {selector}");
    }

    #[test]
    fn series_are_made_of_targets_else_of_the_matched_labels() {
        use AggregateBy::Series;
        check(Series, "", r#"{app="a"}"#, &[r#"{app="a"}"#]);
        check(Series, "", r#"{env=~".+", app="a", none!="x"}"#, &[r#"{app="a", env="p"}"#]);
        check(Series, "", "{}", &[r#"{app="a", env="p", pod="1"}"#]);
        check(Series, " pod,,env,env ", r#"{app="a"}"#, &[r#"{env="p", pod="1"}"#]);
        check(Series, "pod,none", r#"{app="a"}"#, &[]);
    }

    #[test]
    fn label_names_are_all_or_the_targets() {
        use AggregateBy::Labels;
        check(Labels, "", r#"{app="a"}"#, &[r#"{app=""}"#, r#"{env=""}"#, r#"{pod=""}"#]);
        check(Labels, "env", r#"{app="a"}"#, &[r#"{env=""}"#]);
        check(Labels, "none", "{}", &[]);
    }
}
