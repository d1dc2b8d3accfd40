use crate::stage::Work;
use crate::{Now, StageError};
use skald_logql::template::{Dialect, LabelMap, Subject, Template};
use std::borrow::Cow;
use std::sync::Arc;

/// What a stage's template calls the value that it changes, and the line.
const VALUE: &str = "Value";
const ENTRY: &str = "Entry";

/// A compiled template over what was extracted.
#[derive(Debug, Clone)]
pub(super) struct Rendering(Arc<Template>);

/// What a template sees of an entry, but for `.Value`.
pub(super) struct Seen<'a> {
    work: &'a Work,
    now: Now,
    pairs: Vec<(&'a str, Cow<'a, str>)>,
}

impl Rendering {
    pub(super) fn compile(option: &'static str, source: &str) -> Result<Self, StageError> {
        let template = Template::compile(option, source, Dialect::Agent).map_err(|why| StageError::invalid(option, why))?;
        Ok(Rendering(Arc::new(template)))
    }

    /// Looks up what the template can see of an entry: extracted values by their names and the line as `.Entry`.
    pub(super) fn seen<'a>(&'a self, work: &'a Work, now: Now) -> Seen<'a> {
        let mut pairs = Vec::new();
        let sees_all = self.0.sees_all_labels();
        if sees_all {
            let all = work.extracted.sorted();
            pairs.extend(all.into_iter().filter_map(|(name, value)| Some((name, Cow::Owned(value.text()?.into_owned())))));
        } else {
            let fields = self.0.fields().iter().filter(|name| *name != VALUE && *name != ENTRY);
            pairs.extend(fields.filter_map(|name| Some((name.as_str(), work.extracted.text(name)?))));
        }
        if sees_all || self.0.fields().iter().any(|name| name == ENTRY) {
            pairs.push((ENTRY, Cow::Borrowed(&work.entry.line)));
        }
        Seen { work, now, pairs }
    }

    /// Renders it with `value` as `.Value`. `None` when it fails, or would pass its bounds.
    pub(super) fn render(&self, seen: &Seen<'_>, value: &str) -> Option<String> {
        if let Some(text) = self.0.only_text() {
            return Some(text.to_owned());
        }
        let pairs = seen.pairs.iter().map(|(name, text)| (*name, &**text)).chain([(VALUE, value)]);
        let subject = Subject {
            line: seen.work.entry.line.as_bytes(),
            timestamp: seen.work.entry.timestamp.0,
            now: seen.now.wall.0,
            labels: &LabelMap::new(pairs),
        };
        self.0.render(subject).ok()
    }
}
