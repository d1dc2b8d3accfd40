//! `match`.

use super::StageConfig;
use super::options;
use crate::chain::Chain;
use crate::pipeline::Parts;
use crate::stage::{Build, Compiled, Holding, Options, Run, Stage, Verdict, Work};
use crate::{Counter, Mark, Now, StageError};
use serde::{Deserialize, Serialize};
use skald_logql::exec::EntrySelector;
use std::sync::Arc;
use std::time::Duration;

/// Runs stages on the entries that a selector means, or drops these.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Match {
    /// Label matchers and line filters.
    selector: Option<String>,
    /// What is run.
    #[serde(deserialize_with = "super::or_default")]
    stages: Vec<StageConfig>,
    /// `keep` or `drop`.
    action: Option<String>,
    /// The reason under which entries are counted.
    drop_counter_reason: Option<String>,
}

impl Options for Match {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let text = options::required("selector", self.selector.as_deref())?;
        let selector = EntrySelector::parse(text).map_err(|err| StageError::invalid("selector", err.to_string()))?;
        let selector = Arc::new(selector);
        match (self.action.as_deref().unwrap_or("keep"), self.stages.is_empty()) {
            ("keep" | "", false) => {
                let parts = Parts::compile(&self.stages, build).map_err(|err| StageError::Nested(Box::new(err)))?;
                Ok(Compiled::holding(move || Nested { selector: Arc::clone(&selector), chain: parts.chain() }))
            }
            ("keep" | "", true) => Err(StageError::Choice("action keep needs stages")),
            ("drop", true) => {
                let reason = options::reason(self.drop_counter_reason.as_deref(), "match_stage");
                Ok(Compiled::each(Dropping { selector, dropped: build.context.counters.reason(reason) }))
            }
            ("drop", false) => Err(StageError::Choice("action drop takes no stages")),
            _ => Err(StageError::invalid("action", "must be keep or drop")),
        }
    }
}

fn is_meant(selector: &EntrySelector, work: &Work) -> bool {
    selector.matches(|name| work.entry.labels.get(name), &work.entry.line)
}

#[derive(Clone)]
struct Dropping {
    selector: Arc<EntrySelector>,
    dropped: Counter,
}

impl Stage for Dropping {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        if !is_meant(&self.selector, work) {
            return Verdict::Keep;
        }
        self.dropped.add(1);
        Verdict::Drop
    }
}

struct Nested {
    selector: Arc<EntrySelector>,
    chain: Chain,
}

impl Holding for Nested {
    fn process(&mut self, work: Work, run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        if is_meant(&self.selector, &work) { self.chain.process(work, run, released) } else { Some(work) }
    }

    fn tick(&mut self, run: &mut Run, released: &mut Vec<Work>) {
        self.chain.tick(run, released);
    }

    fn flush(&mut self, run: &mut Run, released: &mut Vec<Work>) {
        self.chain.flush(run, released);
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.chain.next_deadline()
    }

    fn oldest_held(&self) -> Option<Mark> {
        self.chain.oldest_held()
    }
}

#[cfg(test)]
mod tests {
    use crate::Mark;
    use crate::stages::testing::{Bench, check, refused, show_all};
    use std::time::Duration;

    #[test]
    fn stages_run_on_what_is_meant() {
        let yaml = r#"- match: {selector: '{app="web"} |= "x"', pipeline_name: p, stages: [{static_labels: {m: 1}}]}"#;
        check(
            yaml,
            &["{app=web} x", "{app=web} y", "{app=api} x", "x"],
            &[r#"{app="web", m="1"} x"#, r#"{app="web"} y"#, r#"{app="api"} x"#, "{} x"],
        );
    }

    #[test]
    fn matchers_see_labels_as_they_are_now() {
        let yaml = "- labels: {b: a}\n- match: {selector: '{b=\"1\", none=\"\"}', stages: [{labeldrop: [b]}, {match: {selector: '{b=\"\"}', stages: [{static_labels: {in: 1}}]}}]}";
        check(yaml, &["{a=1} x", "{a=2} x"], &[r#"{a="1", in="1"} x"#, r#"{a="2", b="2"} x"#]);
    }

    #[test]
    fn what_is_meant_is_dropped_and_counted() {
        let mut bench = Bench::new(
            "- match: {selector: '{app=\"web\"}', action: drop}\n- match: {selector: '{} |= \"secret\"', action: drop, drop_counter_reason: why}",
        );
        let out: Vec<_> =
            ["{app=web} x", "{app=api} secret", "{app=api} y", "{app=web} secret"].iter().flat_map(|line| bench.push(line)).collect();
        assert_eq!(show_all(&out), [r#"{app="api"} y"#]);
        assert_eq!(bench.dropped(), ["match_stage:2", "why:1"]);
    }

    #[test]
    fn nested_stages_may_hold_and_pause() {
        let yaml = "- match: {selector: '{m=\"1\"}', stages: [{multiline: {firstline: ^a, max_wait_time: 1s}}, {limit: {rate: 1, burst: 1}}]}\n- static_labels: {end: 1}";
        let mut bench = Bench::new(yaml);
        assert_eq!(show_all(&bench.push("{m=0} a")), [r#"{end="1", m="0"} a"#]);
        assert!(bench.push("{m=1} a1").is_empty());
        assert_eq!(bench.instance.oldest_held(), Some(Mark(1)));
        assert_eq!(bench.instance.next_deadline(), Some(bench.now.monotonic + Duration::from_secs(1)));
        assert_eq!(show_all(&bench.push("{m=1} a2")), [r#"{end="1", m="1"} a1"#]);
        assert_eq!(bench.pause, Duration::ZERO);
        assert_eq!(show_all(&bench.push("{m=1} a3")), [r#"{end="1", m="1"} a2"#]);
        assert_eq!(bench.pause, Duration::from_secs(1));
        bench.advance(Duration::from_secs(1));
        assert_eq!(bench.tick().len(), 1);
        assert!(bench.push("{m=1} a4").is_empty());
        assert_eq!(bench.flush().len(), 1);
        assert_eq!(bench.instance.oldest_held(), None);
    }

    #[test]
    fn options_go_together() {
        refused("- match:", "stage 1 (match): option selector is required");
        refused("- match: {selector: '{a=}', action: drop}", "option selector: parse error at line 1");
        refused(
            "- match: {selector: '{a=\"b\"} | json', action: drop}",
            "option selector: only label matchers and line filters are supported",
        );
        refused("- match: {selector: '{}'}", "action keep needs stages");
        refused("- match: {selector: '{}', action: drop, stages: [{decolorize: }]}", "action drop takes no stages");
        refused("- match: {selector: '{}', action: hide}", "option action: must be keep or drop");
        refused(
            "- match: {selector: '{}', stages: [{decolorize: }, {output: }]}",
            "stage 1 (match): option stages: stage 2 (output): option source is required",
        );
        refused("- match: {selector: '{}', stages: [{colour: }]}", "unknown stage type: \"colour\"");
    }
}
