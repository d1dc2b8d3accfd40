use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// Packs labels and the line into a JSON object, which becomes the line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pack {
    /// Labels or extracted values that are packed; labels are removed from the entry.
    labels: Option<Vec<String>>,
    /// Whether the entry's time becomes the present: so that what is packed into one stream is in order.
    ingest_timestamp: Option<bool>,
}

impl Options for Pack {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let mut names: Vec<Text> = self.labels.iter().flatten().map(|name| Text::from(name.as_str())).collect();
        names.sort();
        names.dedup();
        let ingest_timestamp = self.ingest_timestamp.unwrap_or(true);
        Ok(Compiled::each(Packed { names: names.into(), ingest_timestamp, memo: LabelMemo::default() }))
    }
}

#[derive(Clone)]
struct Packed {
    names: Arc<[Text]>,
    ingest_timestamp: bool,
    memo: LabelMemo,
}

impl Stage for Packed {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let mut text = String::from("{");
        for name in self.names.iter() {
            let value = work.entry.labels.get(name).map(Cow::Borrowed).or_else(|| work.extracted.text(name));
            if let Some(value) = value {
                member(&mut text, name, &value);
            }
        }
        member(&mut text, "_entry", &work.entry.line);
        text.push('}');
        work.entry.line = text;
        self.memo.change(&mut work.entry.labels, std::iter::empty(), |labels, _| {
            labels.retain(|name, _| !self.names.iter().any(|packed| **packed == *name));
        });
        if self.ingest_timestamp {
            work.entry.timestamp = now.wall;
        }
        Verdict::Keep
    }
}

fn member(object: &mut String, name: &str, value: &str) {
    let quoted = |text| serde_json::to_string(text).expect("text is always valid in JSON");
    object.push_str(if object.len() > 1 { "," } else { "" });
    object.push_str(&quoted(name));
    object.push(':');
    object.push_str(&quoted(value));
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{Bench, check, show_all};
    use skald_model::Timestamp;

    #[test]
    fn labels_and_line_become_an_object() {
        check(
            "- pack: {labels: [pod, app, none, app]}",
            &["{app=web, pod=p1, env=prod} say \"hi\"\t", "{env=dev} x"],
            &[r#"{env="prod"} {"app":"web","pod":"p1","_entry":"say \"hi\"\t"}"#, r#"{env="dev"} {"_entry":"x"}"#],
        );
        check("- pack:", &["{a=1} x"], &[r#"{a="1"} {"_entry":"x"}"#]);
    }

    #[test]
    fn extracted_values_are_packed_too_and_labels_come_first() {
        check(
            "- labeldrop: [a]\n- static_labels: {b: new}\n- pack: {labels: [a, b]}",
            &["{a=1, b=old} x"],
            &[r#"{} {"a":"1","b":"new","_entry":"x"}"#],
        );
    }

    #[test]
    fn the_time_becomes_the_present_unless_told_not_to() {
        for (yaml, want) in [("- pack: {}", "{} {\"_entry\":\"x\"}"), ("- pack: {ingest_timestamp: false}", "{} @-5ns {\"_entry\":\"x\"}")]
        {
            let mut bench = Bench::new(yaml);
            let mut entry = crate::stages::testing::entry("x", bench.now);
            entry.timestamp = Timestamp(entry.timestamp.0 - 5);
            let mut out = Vec::new();
            bench.instance.process(entry, crate::Mark(0), bench.now, &mut out);
            assert_eq!(show_all(&out), [want], "{yaml}");
        }
    }
}
