use crate::quote;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3Default;

/// The label set that names a stream: sorted by name, each name once, no empty value.
///
/// One allocation behind a counted pointer; cloning is cheap. Prints as `{a="1", b="2"}`, the form that is a stream's identity.
#[derive(Clone)]
pub struct Labels(Arc<Inner>);

struct Inner {
    /// Names and values, one after the other.
    text: Box<str>,
    /// End of each name and of each value in `text`.
    ends: Box<[u32]>,
    fingerprint: Fingerprint,
}

/// 64-bit xxh3 of a label set's names and values: the same on every machine. Equal sets have equal fingerprints, not the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

/// Why pairs are not a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A name came twice.
    #[error("duplicate label name: '{0}'")]
    Duplicate(String),
    /// Names and values together pass 4 GiB.
    #[error("label set too large")]
    TooLarge,
}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self::from_sorted(std::iter::empty()).expect("nothing is neither large nor duplicate")
    }

    /// Sorts `pairs` by name and drops those with an empty value.
    ///
    /// # Errors
    /// [`LabelsError::Duplicate`] when a name comes twice (with non-empty values).
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelsError> {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().filter(|(_, value)| !value.as_ref().is_empty()).collect();
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        if let Some(twice) = pairs.windows(2).find(|w| w[0].0.as_ref() == w[1].0.as_ref()) {
            return Err(LabelsError::Duplicate(twice[0].0.as_ref().to_owned()));
        }
        Self::from_sorted(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())))
    }

    /// The set of `pairs` whose names are known to ascend and whose values are known not to be empty: [`Labels::from_pairs`] without the work.
    ///
    /// # Errors
    /// [`LabelsError::TooLarge`].
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelsError> {
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(2 * pairs.size_hint().0));
        for (name, value) in pairs {
            for part in [name, value] {
                text.push_str(part);
                ends.push(u32::try_from(text.len()).map_err(|_| LabelsError::TooLarge)?);
            }
        }
        let fingerprint = Fingerprint(hasher(&text, &ends).digest());
        Ok(Labels(Arc::new(Inner { text: text.into(), ends: ends.into(), fingerprint })))
    }

    /// Names and values in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let Inner { text, ends, .. } = &*self.0;
        (0..ends.len() / 2).map(move |i| {
            let start = if i == 0 { 0 } else { ends[2 * i - 1] as usize };
            let (middle, end) = (ends[2 * i] as usize, ends[2 * i + 1] as usize);
            (&text[start..middle], &text[middle..end])
        })
    }

    /// Value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name.as_bytes()).map(|at| self.value(at))
    }

    /// Place of `name` in name order, if the set has it.
    #[inline]
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        let Inner { text, ends, .. } = &*self.0;
        let mut start = 0;
        for (at, pair) in ends.chunks_exact(2).enumerate() {
            let middle = pair[0] as usize;
            if middle - start == name.len() && text.as_bytes()[start..middle] == *name {
                return Some(at);
            }
            start = pair[1] as usize;
        }
        None
    }

    /// Value of the label at a place in name order. Panics when there are not so many.
    #[inline]
    pub fn value(&self, at: usize) -> &str {
        let Inner { text, ends, .. } = &*self.0;
        &text[ends[2 * at] as usize..ends[2 * at + 1] as usize]
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// Hash of the set.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Hash of the set, so wide that two sets of one tenant do not meet: for those who remember sets without their text.
    pub fn wide_fingerprint(&self) -> u128 {
        hasher(&self.0.text, &self.0.ends).digest128()
    }

    /// Bytes of all names and values.
    pub fn text_len(&self) -> usize {
        self.0.text.len()
    }
}

fn hasher(text: &str, ends: &[u32]) -> Xxh3Default {
    let mut hasher = Xxh3Default::new();
    hasher.update(text.as_bytes());
    ends.iter().for_each(|end| hasher.update(&end.to_le_bytes()));
    hasher
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.fingerprint == other.0.fingerprint && self.0.ends == other.0.ends && self.0.text == other.0.text)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.fingerprint.0);
    }
}

/// Pairwise by name, then value; a set that is a prefix of another comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&label_text(self.iter()))
    }
}

/// Names and values as `{a="1", b="2"}`, in the order given; names that are no plain identifiers are quoted.
pub fn label_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if is_plain_name(name) {
            out.push_str(name);
        } else {
            quote(&mut out, name);
        }
        out.push('=');
        quote(&mut out, value);
    }
    out.push('}');
    out
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_without_empty_values_and_prints_canonically() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "x\"y"), ("gone", ""), ("été", "v")]).expect("no name twice");
        assert_eq!(labels.to_string(), r#"{a="x\"y", b="2", "été"="v"}"#);
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("gone"), None);
        let places: Vec<_> = ["a", "b", "été", "", "x"].map(|name| labels.position(name.as_bytes())).to_vec();
        assert_eq!(places, [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(labels.value(2), "v");
        assert_eq!(labels.len(), 3);
        assert_eq!(Labels::empty().to_string(), "{}");
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        assert_eq!(Labels::from_pairs([("a", "1"), ("a", "2")]), Err(LabelsError::Duplicate("a".into())));
    }

    #[test]
    fn where_names_end_is_part_of_the_identity() {
        let (one, two) = (Labels::from_pairs([("ab", "c")]), Labels::from_pairs([("a", "bc")]));
        assert_ne!(one, two);
        assert_ne!(one.map(|l| l.fingerprint()), two.map(|l| l.fingerprint()));
    }

    #[test]
    fn a_prefix_sorts_first() {
        let short = Labels::from_pairs([("a", "x")]).expect("valid");
        let long = Labels::from_pairs([("a", "x"), ("b", "2")]).expect("valid");
        assert!(short < long);
    }
}
