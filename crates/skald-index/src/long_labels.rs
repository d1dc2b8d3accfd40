use crate::terms;
use crate::wire::{Reader, put_text, put_varint};
use crate::{BuildError, FormatError, Part};
use skald_model::Labels;

/// Most bytes of all long labels together: they are held in memory with the rest of the core.
const BYTES_MAX: usize = 64 << 20;

/// Labels that are too long for the dictionary, which is rare: kept as text with the number of their stream, and looked at one by one.
#[derive(Default)]
pub(crate) struct LongLabels {
    entries: Vec<(u32, String, String)>,
    bytes: usize,
}

impl LongLabels {
    /// Keeps those of a stream that the dictionary cannot hold. Streams come in ascending order.
    pub(crate) fn add(&mut self, stream: u32, labels: &Labels) -> Result<(), BuildError> {
        for (name, value) in labels.iter().filter(|(name, value)| !terms::fits(name, value)) {
            self.bytes += name.len() + value.len();
            if self.bytes > BYTES_MAX {
                return Err(BuildError::TooLarge { what: "bytes of very long labels", max: BYTES_MAX as u64 });
            }
            self.entries.push((stream, name.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes + 16 * self.entries.len() + 1);
        put_varint(&mut out, self.entries.len() as u64);
        for (stream, name, value) in &self.entries {
            put_varint(&mut out, u64::from(*stream));
            put_text(&mut out, name);
            put_text(&mut out, value);
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8], streams: u32) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, Part::LongLabels);
        let mut entries = Vec::with_capacity(reader.count(3)?);
        for _ in 0..entries.capacity() {
            let stream = reader.small("a stream number is out of range")?;
            if stream >= streams {
                return Err(reader.malformed("a stream number is out of range"));
            }
            entries.push((stream, reader.text()?.to_owned(), reader.text()?.to_owned()));
        }
        reader.finish()?;
        Ok(LongLabels { entries, bytes: bytes.len() })
    }

    /// Stream, name and value of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.entries.iter().map(|(stream, name, value)| (*stream, name.as_str(), value.as_str()))
    }

    /// Stream and value of those with this name.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u32, &'a str)> {
        self.iter().filter(move |entry| entry.1 == name).map(|(stream, _, value)| (stream, value))
    }

    /// Bytes of memory held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes + self.entries.capacity() * size_of::<(u32, String, String)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn random_bytes_are_an_error_or_labels(bytes in proptest::collection::vec(0u8..8, 0..60)) {
            if let Ok(labels) = LongLabels::parse(&bytes, 5) {
                prop_assert!(labels.iter().all(|(stream, _, _)| stream < 5));
            }
        }
    }

    #[test]
    fn only_what_the_dictionary_cannot_hold_is_kept() {
        let long = "v".repeat(70_000);
        let labels = Labels::from_pairs([("a", "short"), ("b", &long), (&long, "x")]).expect("names differ");
        let mut written = LongLabels::default();
        written.add(3, &labels).expect("few");
        let read = LongLabels::parse(&written.encode(), 4).expect("just written");
        assert_eq!(read.iter().collect::<Vec<_>>(), [(3, "b", long.as_str()), (3, long.as_str(), "x")]);
        assert_eq!(read.of("b").collect::<Vec<_>>(), [(3, long.as_str())]);
        assert!(LongLabels::parse(&written.encode(), 3).is_err());
    }

    #[test]
    fn they_are_bounded() {
        let labels = Labels::from_pairs([("a", "v".repeat(BYTES_MAX / 2))]).expect("one name");
        let mut written = LongLabels::default();
        written.add(0, &labels).expect("half of it");
        assert!(matches!(written.add(1, &labels), Err(BuildError::TooLarge { .. })));
    }
}
