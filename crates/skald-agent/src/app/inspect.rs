//! `-inspect`: what each stage does to each entry.

use parking_lot::Mutex;
use skald_pipeline::{Inspected, Inspector};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// Writes what a stage has changed, in colours if it is for a terminal.
pub struct Printer {
    out: Mutex<Box<dyn Write + Send>>,
    colour: bool,
}

impl Printer {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write + Send>, colour: bool) -> Self {
        Printer { out: Mutex::new(out), colour }
    }

    fn line(&self, text: &mut String, sign: char, what: &str) {
        let (on, off) = match (self.colour, sign) {
            (true, '-') => ("\x1b[31m", "\x1b[0m"),
            (true, '+') => ("\x1b[32m", "\x1b[0m"),
            _ => ("", ""),
        };
        writeln!(text, "  {on}{sign} {what}{off}").expect("writing to a string succeeds");
    }
}

impl Inspector for Printer {
    fn inspect(&self, job: &str, name: &str, before: &Inspected, after: &[Inspected]) {
        let mut text = format!("[{job}] {name}\n");
        if after.is_empty() {
            self.line(&mut text, '-', "dropped or held");
        }
        let before = facts(before);
        for after in after {
            let after = facts(after);
            for (fact, value) in before.iter().filter(|(fact, value)| after.get(*fact) != Some(value)) {
                self.line(&mut text, '-', &format!("{fact}: {value}"));
            }
            for (fact, value) in after.iter().filter(|(fact, value)| before.get(*fact) != Some(value)) {
                self.line(&mut text, '+', &format!("{fact}: {value}"));
            }
        }
        // When standard error is closed there is nobody to show it to.
        let _ = self.out.lock().write_all(text.as_bytes());
    }
}

/// All that is known of an entry, by name.
fn facts(inspected: &Inspected) -> BTreeMap<String, String> {
    let entry = &inspected.entry;
    let mut facts = BTreeMap::new();
    facts.insert("entry".to_owned(), format!("{:?}", entry.line));
    facts.insert("timestamp".to_owned(), jiff_text(entry.timestamp));
    facts.extend(entry.labels.iter().map(|(name, value)| (format!("label {name}"), value.to_owned())));
    facts.extend(entry.metadata.iter().map(|(name, value)| (format!("metadata {name}"), value.to_string())));
    facts.extend(inspected.extracted.iter().map(|(name, value)| (format!("extracted {name}"), value.clone())));
    facts
}

/// A time as people read it.
pub(super) fn jiff_text(timestamp: skald_model::Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(timestamp.0)).map_or_else(|_| timestamp.0.to_string(), |time| format!("{time:.9}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::buffer::Buffer;
    use skald_model::Timestamp;
    use skald_pipeline::Entry;

    fn inspected(line: &str, labels: &[(&str, &str)], extracted: &[(&str, &str)]) -> Inspected {
        let labels = labels.iter().copied().collect();
        let entry = Entry { labels, timestamp: Timestamp(1_500_000_000), line: line.to_owned(), metadata: Vec::new() };
        Inspected { entry, extracted: extracted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    #[test]
    fn changes_are_shown_and_nothing_else() {
        let buffer = Buffer::default();
        let printer = Printer::new(Box::new(buffer.clone()), false);
        let before = inspected("a b", &[("app", "x")], &[]);
        printer.inspect("job", "json", &before, &[inspected("b", &[("app", "x")], &[("level", "info")])]);
        printer.inspect("job", "drop", &before, &[]);
        let want = "[job] json\n  - entry: \"a b\"\n  + entry: \"b\"\n  + extracted level: info\n[job] drop\n  - dropped or held\n";
        assert_eq!(buffer.text(), want);
    }
}
