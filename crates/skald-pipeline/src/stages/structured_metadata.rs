use super::options;
use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Entry, Now, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes structured metadata of extracted values or labels: names, and those of the values where these differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StructuredMetadata(BTreeMap<String, Option<String>>);

impl Options for StructuredMetadata {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        if self.0.is_empty() {
            return Err(StageError::Empty("names"));
        }
        Ok(Compiled::each(Moved { sources: options::sources(&self.0)?, memo: LabelMemo::default() }))
    }
}

#[derive(Clone)]
struct Moved {
    sources: Arc<[(Text, Text)]>,
    memo: LabelMemo,
}

impl Stage for Moved {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let Work { entry, extracted, .. } = work;
        for (name, source) in self.sources.iter() {
            let label = entry.labels.get_text(source).cloned();
            let value = match (extracted.text(source), &label) {
                (Some(value), _) => Text::from(value),
                (None, Some(label)) => Text::clone(label),
                (None, None) => continue,
            };
            if label.as_ref() == Some(&value) {
                self.memo.change(&mut entry.labels, std::iter::once((source, Cow::Borrowed(""))), |labels, _| {
                    labels.remove(source);
                });
            }
            put(entry, name, value);
        }
        Verdict::Keep
    }
}

fn put(entry: &mut Entry, name: &Text, value: Text) {
    match entry.metadata.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => entry.metadata.push((Text::clone(name), value)),
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn values_become_metadata_and_labels_with_them_go() {
        check(
            "- structured_metadata: {pod:, id: trace, none:}",
            &["{pod=p1, trace=t1, app=web} x", "{pod=p2} x", "plain"],
            &[r#"{app="web"} [id=t1] [pod=p1] x"#, r#"{} [pod=p2] x"#, "{} plain"],
        );
    }

    #[test]
    fn a_label_with_another_value_stays() {
        let stages = "- pack: {labels: [], ingest_timestamp: false}\n- static_labels: {a: other}\n- non_indexed_labels: {a:}";
        check(stages, &["{a=1} x"], &[r#"{a="other"} [a=1] {"_entry":"x"}"#]);
    }

    #[test]
    fn a_label_that_was_not_extracted_is_taken_from_the_labels() {
        check("- static_labels: {a: new}\n- structured_metadata: {b: a}", &["x"], &["{} [b=new] x"]);
    }

    #[test]
    fn a_name_comes_once() {
        check("- structured_metadata: {a: b}\n- structured_metadata: {a: c}", &["{b=1, c=2} x"], &["{} [a=2] x"]);
    }

    #[test]
    fn names_that_no_label_can_have_are_refused() {
        refused("- structured_metadata: {}", "stage 1 (structured_metadata): at least one of names is required");
        refused("- non_indexed_labels: {a.b:}", "stage 1 (structured_metadata): \"a.b\" cannot be the name of a label");
    }
}
