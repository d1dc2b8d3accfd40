use super::options;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Makes an extracted value the line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Output {
    /// Name of the value.
    source: Option<String>,
}

impl Options for Output {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        Ok(Compiled::each(From(options::required("source", self.source.as_deref())?.into())))
    }
}

#[derive(Clone)]
struct From(Arc<str>);

impl Stage for From {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        if let Some(text) = work.extracted.text(&self.0) {
            work.entry.line.clear();
            work.entry.line.push_str(&text);
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn a_value_becomes_the_line() {
        check("- output: {source: app}", &[r#"{app="web"} long line"#, r#"{app=""} line"#], &[r#"{app="web"} web"#, r#"{app=""} "#]);
        check("- output: {source: absent, unknown: 1}", &["line"], &["{} line"]);
    }

    #[test]
    fn the_source_is_required() {
        refused("- output:", "stage 1 (output): option source is required");
        refused("- output: {source: ''}", "stage 1 (output): option source is required");
    }
}
