use super::options;
use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes labels of extracted values: names of labels, and of the values where these differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Labels(BTreeMap<String, Option<String>>);

impl Options for Labels {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        if self.0.is_empty() {
            return Err(StageError::Empty("labels"));
        }
        Ok(Compiled::each(Set { sources: options::sources(&self.0)?, memo: LabelMemo::default() }))
    }
}

#[derive(Clone)]
struct Set {
    sources: Arc<[(Text, Text)]>,
    memo: LabelMemo,
}

impl Stage for Set {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let extracted = &work.extracted;
        let values = self.sources.iter().filter_map(|(label, source)| Some((label, extracted.text(source)?)));
        self.memo.set(&mut work.entry.labels, values);
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn values_become_labels() {
        check(
            "- labels: {app:, b: app, c: none}",
            &["{app=web} x", "{app=api} x", "{d=1} x"],
            &[r#"{app="web", b="web"} x"#, r#"{app="api", b="api"} x"#, r#"{d="1"} x"#],
        );
        check("- labels: {b: a}", &["{a=1, b=2} x", "{a=, b=2} x"], &[r#"{a="1", b="1"} x"#, r#"{a="", b=""} x"#]);
    }

    #[test]
    fn names_that_no_label_can_have_are_refused() {
        refused("- labels:", "stage 1 (labels): at least one of labels is required");
        refused("- labels: {a-b:}", "stage 1 (labels): \"a-b\" cannot be the name of a label");
        refused("- labels: {1a: b}", "\"1a\" cannot be the name of a label");
        refused("- labels: {'': b}", "\"\" cannot be the name of a label");
    }
}
