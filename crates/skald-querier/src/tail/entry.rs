//! One entry of a tail: the stages of the query applied, and written as the client reads it.

use crate::encode;
use skald_logql::exec::{Batch, Category, Entry, LabelSet, LogEntry, LogStream, Scratch, Selection};
use skald_logql::plan::{Direction, LogPlan};
use skald_model::{Labels, Timestamp};
use skald_rpc::TailRows;
use std::ops::ControlFlow;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// An entry on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TailEntry {
    /// Its time.
    pub(crate) at: Timestamp,
    /// What it was before the stages of the query.
    pub(crate) id: EntryId,
    /// Its stream.
    pub(crate) labels: Labels,
    /// The stream object of a message that holds this entry alone.
    pub(crate) json: Box<[u8]>,
}

impl TailEntry {
    /// Bytes of memory held, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        std::mem::size_of::<Self>() + self.json.len()
    }
}

/// Hash of all that makes two entries one: stream, timestamp, line, pushed metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryId(pub(crate) u128);

impl EntryId {
    fn of(batch: &Batch<'_>, row: usize) -> Self {
        let line = batch.lines.map_or(&[][..], |lines| lines.line(row));
        let pushed = batch.columns.iter().filter(|column| !column.is_derived());
        let values = pushed.map(|column| (column.name().as_bytes(), column.value(batch.column_offset + row)));
        let mut metadata: Vec<(&[u8], &[u8])> = values.filter(|(_, value)| !value.is_empty()).collect();
        metadata.sort_unstable();
        let mut key = Vec::with_capacity(line.len() + 64);
        key.extend_from_slice(&batch.labels.fingerprint().0.to_le_bytes());
        key.extend_from_slice(&batch.timestamps[row].to_le_bytes());
        for part in std::iter::once(line).chain(metadata.into_iter().flat_map(|(name, value)| [name, value])) {
            key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            key.extend_from_slice(part);
        }
        EntryId(xxh3_128(&key))
    }
}

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All labels in the stream.
    Merged,
    /// Stream labels in the stream, the others with the entry.
    Categorised,
    /// As the oldest clients read it: labels as text, times as RFC 3339.
    Legacy,
}

/// Makes entries of rows.
pub(crate) struct Renderer {
    pub(crate) plan: Arc<LogPlan>,
    pub(crate) form: Form,
}

impl Renderer {
    /// The entries among `rows` that pass the stages.
    pub(crate) fn render(&self, rows: &[TailRows]) -> Vec<TailEntry> {
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        for TailRows { labels, rows } in rows {
            let batch = Batch::new(labels, rows);
            self.plan.pipeline().run(&batch, &Selection::All, Direction::Forward, &mut scratch, &mut |entry| {
                out.push(self.entry(&batch, entry));
                ControlFlow::Continue(())
            });
        }
        out
    }

    /// An entry of `batch` that passed the stages.
    pub(crate) fn entry(&self, batch: &Batch<'_>, entry: &Entry<'_>) -> TailEntry {
        let json = self.json(entry).into_boxed_slice();
        TailEntry { at: entry.timestamp, id: EntryId::of(batch, entry.row), labels: batch.labels.clone(), json }
    }

    fn json(&self, entry: &Entry<'_>) -> Vec<u8> {
        let (mut stream, mut metadata, mut parsed) = (Vec::new(), Vec::new(), Vec::new());
        entry.labels.for_each(|name, value, category| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            match (self.form, category) {
                (Form::Categorised, Category::Metadata) => &mut metadata,
                (Form::Categorised, Category::Parsed) => &mut parsed,
                _ => &mut stream,
            }
            .push((text(name), text(value)));
        });
        metadata.sort();
        parsed.sort();
        let only = LogEntry { timestamp: entry.timestamp, line: entry.line.to_vec(), metadata, parsed };
        let stream = LogStream { labels: LabelSet::from_pairs(stream), entries: vec![only] };
        let mut out = Vec::with_capacity(entry.line.len() + 128);
        match self.form {
            Form::Legacy => encode::legacy_stream(&mut out, &stream),
            Form::Merged | Form::Categorised => encode::log_stream(&mut out, &stream, self.form == Form::Categorised),
        }
        out
    }
}

/// Of a query, for tests.
#[cfg(test)]
pub(super) fn renderer(query: &str, form: Form) -> Renderer {
    use skald_logql::plan::{Params, Plan, plan};
    let params = Params::over(Timestamp(0), Timestamp::MAX);
    let Plan::Log(plan) = plan(&skald_logql::parse(query).expect("LogQL"), &params).expect("it can be planned") else { panic!("lines") };
    Renderer { plan: Arc::new(plan), form }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::{Rows, RowsBuilder};

    fn tail_rows(rows: Rows) -> Vec<TailRows> {
        vec![TailRows { labels: skald_testkit::labels(&[("app", "a")]), rows: Arc::new(rows) }]
    }

    fn with_metadata(line: &str, metadata: &[(&str, &str, bool)]) -> Rows {
        let mut builder = RowsBuilder::default();
        builder.push(Timestamp(1_500_000_000), line.as_bytes());
        metadata.iter().for_each(|(name, value, derived)| builder.set_metadata(name, value.as_bytes(), *derived));
        builder.finish()
    }

    #[track_caller]
    fn check(query: &str, form: Form, want: &[&str]) {
        let rows = tail_rows(with_metadata("n=1 <b>", &[("trace", "t", false)]));
        let found: Vec<String> =
            renderer(query, form).render(&rows).iter().map(|e| String::from_utf8_lossy(&e.json).into_owned()).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn entries_pass_the_stages_and_are_written_as_asked() {
        let line = r#"n=1 \u003cb\u003e"#;
        check("{app=\"a\"}", Form::Merged, &[&format!(r#"{{"stream":{{"app":"a","trace":"t"}},"values":[["1500000000","{line}"]]}}"#)]);
        check(
            "{app=\"a\"} | logfmt n",
            Form::Categorised,
            &[&format!(
                r#"{{"stream":{{"app":"a"}},"values":[["1500000000","{line}",{{"structuredMetadata":{{"trace":"t"}},"parsed":{{"n":"1"}}}}]]}}"#
            )],
        );
        check("{app=\"a\"} | line_format \"x\"", Form::Merged, &[r#"{"stream":{"app":"a","trace":"t"},"values":[["1500000000","x"]]}"#]);
        check("{app=\"a\"} |= \"other\"", Form::Merged, &[]);
        check(
            "{app=\"a\"}",
            Form::Legacy,
            &[&format!(r#"{{"labels":"{{app=\"a\", trace=\"t\"}}","entries":[{{"ts":"1970-01-01T00:00:01.5Z","line":"{line}"}}]}}"#)],
        );
    }

    #[test]
    fn the_identity_is_that_of_the_pushed_entry_whatever_the_query_makes_of_it() {
        let id = |query: &str, rows: Rows| renderer(query, Form::Merged).render(&tail_rows(rows))[0].id;
        let (all, formatted) = ("{app=\"a\"}", "{app=\"a\"} | line_format \"same\"");
        let first = id(all, with_metadata("one", &[("a", "1", false), ("b", "2", false)]));
        assert_eq!(first, id(formatted, with_metadata("one", &[("b", "2", false), ("a", "1", false)])));
        assert_eq!(first, id(all, with_metadata("one", &[("a", "1", false), ("b", "2", false), ("detected_level", "info", true)])));
        assert_ne!(first, id(formatted, with_metadata("two", &[("a", "1", false), ("b", "2", false)])));
        assert_ne!(first, id(all, with_metadata("one", &[("a", "1", false)])));
        assert_ne!(id(all, with_metadata("one", &[("a", "12", false)])), id(all, with_metadata("one", &[("a1", "2", false)])));
    }
}
