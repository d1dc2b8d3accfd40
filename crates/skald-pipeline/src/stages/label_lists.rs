//! `labeldrop` and `labelallow`.

use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Removes these labels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LabelDrop(Vec<String>);

/// Removes all labels but these, even those of the agent itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LabelAllow(Vec<String>);

impl Options for LabelDrop {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        List::compile(&self.0, false)
    }
}

impl Options for LabelAllow {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        List::compile(&self.0, true)
    }
}

#[derive(Clone)]
struct List {
    names: Arc<[String]>,
    /// Whether the labels of the list stay or go.
    keep: bool,
    memo: LabelMemo,
}

impl List {
    fn compile(names: &[String], keep: bool) -> Result<Compiled, StageError> {
        if names.is_empty() {
            return Err(StageError::Empty("labels"));
        }
        Ok(Compiled::each(List { names: names.into(), keep, memo: LabelMemo::default() }))
    }
}

impl Stage for List {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        self.memo.change(&mut work.entry.labels, std::iter::empty(), |labels, _| {
            labels.retain(|name, _| self.names.iter().any(|listed| listed == name) == self.keep);
        });
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn listed_labels_go_or_stay() {
        let lines = &["{a=1, b=2, c=3} x", "x", "{a=1, b=2, c=3} y"];
        check("- labeldrop: [a, c, d]", lines, &[r#"{b="2"} x"#, "{} x", r#"{b="2"} y"#]);
        check("- labelallow: [a, c, d]", lines, &[r#"{a="1", c="3"} x"#, "{} x", r#"{a="1", c="3"} y"#]);
        check("- labelallow: [a]", &["{__tenant_id__=t, a=1, filename=f} x"], &[r#"{a="1"} x"#]);
    }

    #[test]
    fn an_empty_list_is_refused() {
        refused("- labeldrop: []", "stage 1 (labeldrop): at least one of labels is required");
        refused("- labelallow:", "stage 1 (labelallow): at least one of labels is required");
        refused("- labelallow: a", "line 1");
    }
}
