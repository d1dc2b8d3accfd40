use crate::memo::LabelMemo;
use crate::relabel::is_label_name;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sets labels to fixed values; those without a value are left alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StaticLabels(BTreeMap<String, Option<String>>);

impl Options for StaticLabels {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        if let Some(name) = self.0.keys().find(|name| !is_label_name(name)) {
            return Err(StageError::Name(name.clone()));
        }
        let pair = |(name, value): (&String, &Option<String>)| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some((Text::from(name.as_str()), Text::from(value)))
        };
        Ok(Compiled::each(Set { labels: self.0.iter().filter_map(pair).collect(), memo: LabelMemo::default() }))
    }
}

#[derive(Clone)]
struct Set {
    labels: Arc<[(Text, Text)]>,
    memo: LabelMemo,
}

impl Stage for Set {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        self.memo.set(&mut work.entry.labels, self.labels.iter().map(|(name, value)| (name, Cow::Borrowed(&**value))));
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn labels_are_set_where_they_have_a_value() {
        check(
            "- static_labels: {a: 1, b: '', c:, d: true}",
            &["{a=0, b=2, c=3} x", "x"],
            &[r#"{a="1", b="2", c="3", d="true"} x"#, r#"{a="1", d="true"} x"#],
        );
        check("- static_labels:", &["{a=0} x"], &[r#"{a="0"} x"#]);
        refused("- static_labels: {a-b: 1}", "\"a-b\" cannot be the name of a label");
    }
}
