use super::batch::text;
use super::label_set::LabelSet;
use super::pipeline::Columns;
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED, RowLabels};
use skald_model::{Column, Labels};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Which labels of an entry name its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeriesKey {
    /// These, sorted, where present.
    By(Vec<String>),
    /// All but these, sorted.
    Without { names: Vec<String>, drop_empty: bool },
}

impl SeriesKey {
    /// Columns that it looks at.
    pub(crate) fn columns(&self) -> Columns {
        match self {
            SeriesKey::Without { .. } => Columns::All,
            SeriesKey::By(names) => {
                let mut columns: BTreeSet<String> = names.iter().filter(|name| *name != ERROR && *name != ERROR_DETAILS).cloned().collect();
                columns.extend(names.iter().filter_map(|name| name.strip_suffix(EXTRACTED)).map(str::to_owned));
                Columns::Names(columns)
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            SeriesKey::By(names) => names.binary_search_by(|n| n.as_str().cmp(name)).is_ok(),
            SeriesKey::Without { names, .. } => names.binary_search_by(|n| n.as_str().cmp(name)).is_err(),
        }
    }

    /// Whether the values of a metadata column can show in the key of entries of this stream.
    pub(crate) fn depends_on(&self, column: &Column, stream: &Labels) -> bool {
        let name = column.name();
        if stream.get(name).is_some() { self.has(&format!("{name}{EXTRACTED}")) } else { self.has(name) }
    }

    /// Writes the key of an entry; equal keys are one series.
    pub(crate) fn write(&self, row: &RowLabels, key: &mut Vec<u8>) {
        key.clear();
        match self {
            SeriesKey::By(names) => names.iter().for_each(|name| push_part(key, row.visible(name))),
            SeriesKey::Without { names, drop_empty } => {
                let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
                row.for_each(|name, value, _| {
                    if names.binary_search_by(|n| n.as_bytes().cmp(name)).is_err() {
                        pairs.push((name, value));
                    }
                });
                // Of a name that comes twice the first stays.
                pairs.sort_by_key(|(name, _)| *name);
                pairs.dedup_by_key(|(name, _)| *name);
                pairs.retain(|(_, value)| !(*drop_empty && value.is_empty()));
                pairs.into_iter().flat_map(|(name, value)| [name, value]).for_each(|part| push_part(key, Some(part)));
            }
        }
    }

    /// Names and values that a key stands for, in name order.
    pub(crate) fn pairs<'a>(&'a self, key: &'a [u8]) -> Pairs<'a> {
        let names = if let SeriesKey::By(names) = self { Some(names.as_slice()) } else { None };
        Pairs { names, key }
    }

    /// The order of the labels that two keys stand for.
    pub(crate) fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        let (mut rest_a, mut rest_b) = (a, b);
        loop {
            return match (take_part(&mut rest_a), take_part(&mut rest_b)) {
                (None, None) => Ordering::Equal,
                (Some(a), Some(b)) if a == b => continue,
                (Some(Some(a)), Some(Some(b))) if a.is_ascii() && b.is_ascii() => a.cmp(b),
                _ => self.pairs(a).cmp(self.pairs(b)),
            };
        }
    }

    /// The labels that a key stands for.
    pub(crate) fn labels(&self, key: &[u8]) -> LabelSet {
        LabelSet::from_pairs(self.pairs(key).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }
}

/// Iterator over the labels of a key.
pub(crate) struct Pairs<'a> {
    /// Names whose values stand in the key; none where it holds the names too.
    names: Option<&'a [String]>,
    key: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name = match &mut self.names {
                None => text(take_part(&mut self.key)??),
                Some(names) => {
                    let (name, rest) = names.split_first()?;
                    *names = rest;
                    Cow::Borrowed(name.as_str())
                }
            };
            if let Some(value) = take_part(&mut self.key)? {
                return Some((name, text(value)));
            }
        }
    }
}

/// Appends a value, or that there is none, so that different sequences give different bytes.
fn push_part(key: &mut Vec<u8>, value: Option<&[u8]>) {
    let len = value.map_or(u32::MAX, |value| value.len() as u32);
    key.extend_from_slice(&len.to_le_bytes());
    key.extend_from_slice(value.unwrap_or_default());
}

/// Takes off what [`push_part`] appended; none behind the last.
fn take_part<'a>(key: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (len, rest) = key.split_first_chunk()?;
    let len = u32::from_le_bytes(*len);
    if len == u32::MAX {
        *key = rest;
        return Some(None);
    }
    let (value, rest) = rest.split_at_checked(len as usize)?;
    *key = rest;
    Some(Some(value))
}

/// Names of a key as they are kept.
pub(crate) fn sorted_names(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to an entry on its way.
    #[derive(Debug, Clone)]
    enum Event {
        Metadata(usize, usize),
        Parsed(usize, usize),
        Removed(usize),
        Failed(bool),
    }

    fn entry(events: Vec<Event>) -> RowLabels {
        let mut row = RowLabels::default();
        row.begin(&Labels::from_pairs([("app", "web"), ("b", "s")]).expect("distinct"));
        for event in events {
            match event {
                Event::Metadata(name, value) => row.add_metadata(NAMES[name], VALUES[value]),
                Event::Parsed(name, value) => row.set_parsed(NAMES[name].as_bytes(), VALUES[value]),
                Event::Removed(name) => row.remove(NAMES[name]),
                Event::Failed(details) => row.set_error("Err", details.then_some("why")),
            }
        }
        row
    }

    const NAMES: [&str; 7] = ["a", "app", "b", "b_extracted", "detected_level", ERROR, ERROR_DETAILS];
    const VALUES: [&[u8]; 5] = [b"", b"1", b"22", b"\xff", b"\xef\xbf\xbd"];

    fn event() -> impl Strategy<Value = Event> {
        let (name, value) = (0..NAMES.len(), 0..VALUES.len());
        prop_oneof![
            (name.clone(), value.clone()).prop_map(|(name, value)| Event::Metadata(name, value)),
            (name.clone(), value).prop_map(|(name, value)| Event::Parsed(name, value)),
            name.prop_map(Event::Removed),
            any::<bool>().prop_map(Event::Failed),
        ]
    }

    proptest! {
        #![proptest_config(skald_testkit::property(500))]

        #[test]
        fn keys_say_which_labels_of_an_entry_they_are_made_of(
            events in proptest::collection::vec(event(), 0..8), others in proptest::collection::vec(event(), 0..8), named in proptest::collection::vec(0..NAMES.len(), 0..4), kind in 0..3,
        ) {
            let row = entry(events);
            let names = sorted_names(&named.iter().map(|name| NAMES[*name].to_owned()).collect::<Vec<_>>());
            let drop_empty = kind == 2;
            let key = if kind == 0 { SeriesKey::By(names) } else { SeriesKey::Without { names, drop_empty } };
            let mut bytes = Vec::new();
            key.write(&row, &mut bytes);
            let want = row.to_set(None).filtered(|name, value| key.has(name) && !(drop_empty && value.is_empty()));
            prop_assert_eq!(key.labels(&bytes), want.clone());
            let mut other = Vec::new();
            key.write(&entry(others), &mut other);
            prop_assert_eq!(key.compare(&bytes, &other), want.cmp(&key.labels(&other)));
        }
    }
}
