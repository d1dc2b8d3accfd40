use super::options;
use crate::extracted::Value;
use crate::relabel::is_label_name;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Most values that are taken of one message.
const VALUES_MAX: usize = 256;

/// Extracts the `key: value` lines of a message of the Windows event log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EventLogMessage {
    /// Extracted value that is the message: `message`.
    source: Option<String>,
    /// Whether keys that cannot name a label are left out; otherwise they are made to.
    drop_invalid_labels: Option<bool>,
    /// Whether what is extracted already is replaced; otherwise the new value has `_extracted` behind its name.
    overwrite_existing: Option<bool>,
}

impl Options for EventLogMessage {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let source = options::not_empty("source", self.source.as_deref())?.unwrap_or("message");
        Ok(Compiled::each(Message {
            source: source.into(),
            drop_invalid: self.drop_invalid_labels.unwrap_or(false),
            overwrite: self.overwrite_existing.unwrap_or(false),
        }))
    }
}

#[derive(Clone)]
struct Message {
    source: Text,
    drop_invalid: bool,
    overwrite: bool,
}

impl Stage for Message {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let Some(message) = work.extracted.text(&self.source).map(Cow::into_owned) else {
            return Verdict::Keep;
        };
        let pairs = message.split("\r\n").filter_map(|line| line.split_once(':'));
        for (key, value) in pairs.filter_map(|(key, value)| Some((self.name(key.trim())?, value.trim()))).take(VALUES_MAX) {
            let taken = !self.overwrite && work.extracted.contains(&key);
            let name = if taken { format!("{key}_extracted") } else { key.into_owned() };
            work.extracted.set(&name.into(), Value::Text(value.to_owned()));
        }
        Verdict::Keep
    }
}

impl Message {
    /// The key as the name of a label.
    fn name<'a>(&self, key: &'a str) -> Option<Cow<'a, str>> {
        if is_label_name(key) {
            return Some(Cow::Borrowed(key));
        }
        if self.drop_invalid || key.is_empty() {
            return None;
        }
        let allowed = |(at, char): (usize, char)| {
            let good = char == '_' || char.is_ascii_alphabetic() || at > 0 && char.is_ascii_digit();
            if good { char } else { '_' }
        };
        Some(Cow::Owned(key.chars().enumerate().map(allowed).collect()))
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{Bench, entry, refused};
    use crate::{Inspected, Inspector, Mark, Pipeline};
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(String, String)>>);

    impl Inspector for Seen {
        fn inspect(&self, _job: &str, _name: &str, _before: &Inspected, after: &[Inspected]) {
            *self.0.lock().expect("no test fails while it holds the lock") = after[0].extracted.clone();
        }
    }

    /// What is extracted from a message that is a label of the entry.
    #[track_caller]
    fn check(options: &str, message: &str, want: &[(&str, &str)]) {
        let bench = Bench::new("[]");
        let seen = Arc::new(Seen::default());
        let mut context = bench.context.clone();
        context.inspector = Some(Arc::clone(&seen) as Arc<dyn Inspector>);
        let stages = crate::stages::testing::stages(&format!("- eventlogmessage: {{{options}}}"));
        let mut entry = entry("x", bench.now);
        entry.labels.set("message", message);
        entry.labels.set("old", "1");
        let mut instance = Pipeline::new(&stages, &context).expect("the options are good").instance();
        instance.process(entry, Mark(0), bench.now, &mut Vec::new());
        let got = seen.0.lock().expect("no test fails while it holds the lock").clone();
        let new: Vec<_> = got.iter().filter(|(name, _)| name != "message").map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(new, want, "{options} on {message:?}");
    }

    #[test]
    fn lines_become_values() {
        check(
            "",
            "Title\r\nKey: value: with colon\r\n\tAccount Name:\t\tme\r\nEmpty:\r\n: none",
            &[("Account_Name", "me"), ("Empty", ""), ("Key", "value: with colon"), ("old", "1")],
        );
        check("source: none", "Key: value", &[("old", "1")]);
    }

    #[test]
    fn names_are_made_to_fit_or_left_out() {
        check("", "1é-b: x", &[("___b", "x"), ("old", "1")]);
        check("drop_invalid_labels: true", "a b: x\r\nab: y", &[("ab", "y"), ("old", "1")]);
    }

    #[test]
    fn what_is_there_stays_unless_told_otherwise() {
        check("", "old: 2", &[("old", "1"), ("old_extracted", "2")]);
        check("overwrite_existing: true", "old: 2", &[("old", "2")]);
    }

    #[test]
    fn values_are_bounded() {
        let message: String = (0..super::VALUES_MAX + 10).map(|at| format!("k{at}: v\r\n")).collect();
        let bench = Bench::new("- eventlogmessage:");
        let mut work = crate::stage::Work::new(entry("x", bench.now), Mark(0));
        work.extracted.set(&"message".into(), crate::extracted::Value::Text(message));
        let mut stage = super::Message { source: "message".into(), drop_invalid: false, overwrite: false };
        crate::stage::Stage::process(&mut stage, &mut work, bench.now);
        assert_eq!(work.extracted.sorted().len(), super::VALUES_MAX + 1);
    }

    #[test]
    fn an_empty_source_is_refused() {
        refused("- eventlogmessage: {source: ''}", "option source: may be left out, but not be empty");
    }
}
