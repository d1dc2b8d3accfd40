use crate::FormatError;
use crate::wire::{Reader, put_bytes, put_varint};
use skald_model::Labels;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

/// The streams of an object, numbered in label order, and which of them have a label.
///
/// Each `name=value` pair is kept once; a stream is a list of pair numbers, and a pair has a list of stream numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTable {
    /// All names and values, end to end.
    text: String,
    names: Vec<Name>,
    /// Value of each pair in `text`, and the number of its name.
    pairs: Vec<(Range<u32>, u32)>,
    streams: Lists,
    postings: Lists,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: Range<u32>,
    pairs: Range<u32>,
}

/// Lists of numbers, end to end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Lists {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn get(&self, i: usize) -> &[u32] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.items[start..self.ends[i] as usize]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn close(&mut self) {
        self.ends.push(self.items.len() as u32);
    }

    /// For each key below `keys`, the items (in order) that `found` has for it.
    fn group(keys: usize, found: impl Iterator<Item = (u32, u32)> + Clone) -> Lists {
        let mut ends = vec![0u32; keys];
        found.clone().for_each(|(key, _)| ends[key as usize] += 1);
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        let mut items = vec![0; total as usize];
        for (key, item) in found {
            items[ends[key as usize] as usize] = item;
            ends[key as usize] += 1;
        }
        Lists { ends, items }
    }
}

/// Encodes label sets, which are in ascending order, each once.
pub(crate) fn encode(streams: &[Labels]) -> Vec<u8> {
    let mut names: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(|labels| labels.iter()) {
        names.entry(name).or_default().insert(value, 0);
    }
    let mut out = Vec::new();
    let mut next = 0..;
    put_varint(&mut out, names.len() as u64);
    for (name, values) in &mut names {
        put_bytes(&mut out, name.as_bytes());
        put_varint(&mut out, values.len() as u64);
        for (value, number) in values {
            put_bytes(&mut out, value.as_bytes());
            *number = next.next().expect("numbers do not end");
        }
    }
    put_varint(&mut out, streams.len() as u64);
    for labels in streams {
        put_varint(&mut out, labels.len() as u64);
        let mut last = 0;
        for (name, value) in labels.iter() {
            let number = names[name][value];
            put_varint(&mut out, number - last);
            last = number;
        }
    }
    out
}

impl StreamTable {
    pub(crate) fn parse(mut reader: Reader<'_>) -> Result<Self, FormatError> {
        let mut table = StreamTable {
            text: String::new(),
            names: Vec::new(),
            pairs: Vec::new(),
            streams: Lists::default(),
            postings: Lists::default(),
        };
        for _ in 0..reader.count()? {
            table.parse_name(&mut reader)?;
        }
        for _ in 0..reader.count()? {
            table.parse_stream(&mut reader)?;
        }
        reader.finish()?;
        table.text.shrink_to_fit();
        table.pairs.shrink_to_fit();
        table.streams.ends.shrink_to_fit();
        table.streams.items.shrink_to_fit();
        let streams = &table.streams;
        let found = (0..streams.len()).flat_map(|stream| streams.get(stream).iter().map(move |pair| (*pair, stream as u32)));
        table.postings = Lists::group(table.pairs.len(), found);
        Ok(table)
    }

    fn parse_name(&mut self, reader: &mut Reader<'_>) -> Result<(), FormatError> {
        let name = reader.text()?;
        if self.names.last().is_some_and(|last| self.slice(&last.text) >= name) {
            return Err(reader.malformed("label names are not in order"));
        }
        let (text, first) = (self.add_text(name), self.pairs.len() as u32);
        for _ in 0..reader.count()? {
            let value = reader.text()?;
            let ordered = self.pairs.len() as u32 == first || self.pairs.last().is_none_or(|(last, _)| self.slice(last) < value);
            if value.is_empty() || !ordered {
                return Err(reader.malformed("label values are empty or not in order"));
            }
            let value = self.add_text(value);
            self.pairs.push((value, self.names.len() as u32));
        }
        self.names.push(Name { text, pairs: first..self.pairs.len() as u32 });
        Ok(())
    }

    fn parse_stream(&mut self, reader: &mut Reader<'_>) -> Result<(), FormatError> {
        let (start, mut last) = (self.streams.items.len(), 0u64);
        for i in 0..reader.count()? {
            let number = last.saturating_add(reader.varint()?);
            let Some((_, name)) = usize::try_from(number).ok().and_then(|number| self.pairs.get(number)) else {
                return Err(reader.malformed("a stream has an unknown label"));
            };
            if i > 0 && self.pairs[last as usize].1 >= *name {
                return Err(reader.malformed("a stream has a label name twice"));
            }
            self.streams.items.push(number as u32);
            last = number;
        }
        if self.streams.len() > 0 && self.streams.get(self.streams.len() - 1) >= &self.streams.items[start..] {
            return Err(reader.malformed("streams are not in order"));
        }
        self.streams.close();
        Ok(())
    }

    fn add_text(&mut self, text: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start..self.text.len() as u32
    }

    fn slice(&self, range: &Range<u32>) -> &str {
        &self.text[range.start as usize..range.end as usize]
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names and values of a stream, in name order. Panics when there is no such stream.
    pub fn pairs(&self, stream: u32) -> impl Iterator<Item = (&str, &str)> {
        self.streams.get(stream as usize).iter().map(|pair| {
            let (value, name) = &self.pairs[*pair as usize];
            (self.slice(&self.names[*name as usize].text), self.slice(value))
        })
    }

    /// Labels of a stream. Panics when there is no such stream.
    pub fn labels(&self, stream: u32) -> Labels {
        Labels::from_pairs(self.pairs(stream)).expect("names of a stream were checked to ascend")
    }

    /// Number of the stream with exactly these labels.
    pub fn find(&self, labels: &Labels) -> Option<u32> {
        let compare = |stream: u32| self.pairs(stream).cmp(labels.iter());
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(middle) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Label names, ascending.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| self.slice(&name.text))
    }

    /// Values of a label name, ascending, and the streams that have each, ascending. Nothing when no stream has the name.
    pub fn values(&self, name: &str) -> impl ExactSizeIterator<Item = (&str, &[u32])> {
        let pairs = self.pairs_of(name);
        pairs.map(|pair| (self.slice(&self.pairs[pair as usize].0), self.postings.get(pair as usize)))
    }

    /// Streams that have the label, ascending. Cost: two binary searches.
    pub fn streams_with(&self, name: &str, value: &str) -> &[u32] {
        let range = self.pairs_of(name);
        let pairs = &self.pairs[range.start as usize..range.end as usize];
        match pairs.binary_search_by(|(text, _)| self.slice(text).cmp(value)) {
            Ok(at) => self.postings.get(range.start as usize + at),
            Err(_) => &[],
        }
    }

    fn pairs_of(&self, name: &str) -> Range<u32> {
        match self.names.binary_search_by(|known| self.slice(&known.text).cmp(name)) {
            Ok(at) => self.names[at].pairs.clone(),
            Err(_) => 0..0,
        }
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        let lists = |lists: &Lists| 4 * (lists.ends.capacity() + lists.items.capacity());
        self.text.capacity() + 16 * self.names.capacity() + 12 * self.pairs.capacity() + lists(&self.streams) + lists(&self.postings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn parse(bytes: &[u8]) -> Result<StreamTable, FormatError> {
        StreamTable::parse(Reader::new(bytes, Part::Streams, 0))
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).expect("names differ")
    }

    #[test]
    fn leads_from_labels_to_streams_and_back() {
        let streams = [
            Labels::empty(),
            labels(&[("app", "a")]),
            labels(&[("app", "a"), ("env", "x")]),
            labels(&[("app", "b")]),
            labels(&[("env", "x")]),
        ];
        let table = parse(&encode(&streams)).expect("just encoded");
        assert_eq!(table.len(), 5);
        assert_eq!(table.streams_with("app", "a"), [1, 2]);
        assert_eq!(table.streams_with("env", "x"), [2, 4]);
        assert_eq!((table.streams_with("app", "c"), table.streams_with("zone", "a")), (&[][..], &[][..]));
        assert_eq!(table.values("app").collect::<Vec<_>>(), [("a", &[1, 2][..]), ("b", &[3][..])]);
        assert_eq!(table.names().collect::<Vec<_>>(), ["app", "env"]);
        assert_eq!(table.find(&labels(&[("env", "y")])), None);
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]
        #[test]
        fn any_label_sets_come_back(sets in proptest::collection::btree_set(proptest::collection::btree_map("[a-c]{1,2}", "[x-zé]{0,2}", 0..4), 0..20)) {
            let streams: BTreeSet<Labels> = sets.iter().map(|pairs| Labels::from_pairs(pairs).expect("a map has each name once")).collect();
            let streams: Vec<Labels> = streams.into_iter().collect();
            let table = parse(&encode(&streams)).expect("just encoded");
            for (i, labels) in streams.iter().enumerate() {
                prop_assert_eq!(&table.labels(i as u32), labels);
                prop_assert_eq!(table.find(labels), Some(i as u32));
            }
        }

        #[test]
        fn random_bytes_are_an_error_or_a_table(bytes in proptest::collection::vec(0u8..6, 0..60)) {
            if let Ok(table) = parse(&bytes) {
                (0..table.len()).for_each(|stream| drop(table.labels(stream as u32)));
            }
        }
    }
}
