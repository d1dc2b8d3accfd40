use skald_model::{Labels, label_text};
use std::fmt;

/// Labels of a result: sorted by name, each name once. Unlike a stream's labels a value may be empty.
///
/// Orders pairwise by name, then value, a prefix first. Prints as `{a="1", b="2"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LabelSet(Vec<(String, String)>);

impl LabelSet {
    /// Sorts pairs; of a name that comes twice the first stays.
    pub fn from_pairs(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        LabelSet(pairs)
    }

    /// Names and values in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|pair| pair.0.as_str().cmp(name)).ok().map(|at| self.0[at].1.as_str())
    }

    /// Sets `name` to `value`.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.binary_search_by(|pair| pair.0.as_str().cmp(name)) {
            Ok(at) => self.0[at].1 = value.to_owned(),
            Err(at) => self.0.insert(at, (name.to_owned(), value.to_owned())),
        }
    }

    /// Takes `name` out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|pair| pair.0 != name);
    }

    /// The labels whose names `keep` takes.
    pub fn filtered(&self, keep: impl Fn(&str, &str) -> bool) -> LabelSet {
        LabelSet(self.0.iter().filter(|(name, value)| keep(name, value)).cloned().collect())
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 48).sum()
    }
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> Self {
        LabelSet(labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&label_text(self.iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_empty_values_and_prints_sorted() {
        let pairs = [("b", "x\n"), ("a", ""), ("b", "second")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut set = LabelSet::from_pairs(pairs.to_vec());
        assert_eq!(set.to_string(), r#"{a="", b="x\n"}"#);
        set.set("c", "1");
        set.remove("b");
        assert_eq!((set.get("a"), set.get("b"), set.get("c"), set.len()), (Some(""), None, Some("1"), 2));
    }
}
