use super::or_default;
use super::source::Source;
use crate::extracted::Value;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};
use skald_logql::exec::logfmt_pairs;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Extracts values of `key=value` pairs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Logfmt {
    /// Name of the value and its key; without a key the name is it.
    #[serde(deserialize_with = "or_default")]
    mapping: BTreeMap<String, Option<String>>,
    /// Name of the value to read; else the line.
    source: Option<String>,
}

impl Options for Logfmt {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        if self.mapping.is_empty() {
            return Err(StageError::Missing { option: "mapping" });
        }
        let pair = |(name, key): (&String, &Option<String>)| {
            let key = key.as_deref().filter(|key| !key.is_empty()).unwrap_or(name);
            (key.to_owned(), Text::from(name.as_str()))
        };
        let keys = self.mapping.iter().map(pair).collect();
        Ok(Compiled::each(Pairs { keys, source: Source::optional(self.source.as_deref())?, buffer: Vec::new() }))
    }
}

#[derive(Clone)]
struct Pairs {
    /// Key and name of the value.
    keys: Arc<[(String, Text)]>,
    source: Source,
    buffer: Vec<u8>,
}

impl Stage for Pairs {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let Pairs { keys, source, buffer } = self;
        source.read(work, |text, extracted| {
            logfmt_pairs(text, buffer, |key, value| {
                for (_, name) in keys.iter().filter(|(wanted, _)| wanted == key) {
                    extracted.set(name, Value::Text(value.to_owned()));
                }
            });
        });
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn values_of_keys_are_extracted() {
        check(
            "[{logfmt: {mapping: {a: , level: lvl, again: lvl}}}, {labels: {a: , level: , again: }}]",
            &[r#"lvl=warn a="x \"y\"" a=last b=c"#, "{a=label} =broken lvl", "nothing"],
            &[
                r#"{a="last", again="warn", level="warn"} lvl=warn a="x \"y\"" a=last b=c"#,
                r#"{a="label", again="", level=""} =broken lvl"#,
                "{} nothing",
            ],
        );
    }

    #[test]
    fn a_value_can_be_read_instead_of_the_line() {
        check(
            "[{logfmt: {mapping: {a: }, source: app}}, {output: {source: a}}]",
            &["{app=a=5} line", "line"],
            &[r#"{app="a=5"} 5"#, "{} line"],
        );
        refused("- logfmt: {source: x}", "stage 1 (logfmt): option mapping is required");
        refused("- logfmt: {mapping: {a: }, source: ''}", "stage 1 (logfmt): option source: may be left out, but not be empty");
    }
}
