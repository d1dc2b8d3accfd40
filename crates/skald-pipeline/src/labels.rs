use std::fmt;
use std::sync::Arc;

/// A shared piece of text: a label's name or value.
pub type Text = Arc<str>;

/// Names and values, sorted by name, each name once; values may be empty. Cloning is cheap, and a change copies only where the set is shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LabelSet(Arc<Vec<(Text, Text)>>);

impl LabelSet {
    /// The set without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).ok().map(|at| &*self.0[at].1)
    }

    /// Like [`LabelSet::get`], as shared text.
    pub fn get_text(&self, name: &str) -> Option<&Text> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Sets or replaces one label. An empty value stays, as an empty value.
    pub fn set(&mut self, name: impl Into<Text> + AsRef<str>, value: impl Into<Text>) {
        match self.place(name.as_ref()) {
            Ok(at) => Arc::make_mut(&mut self.0)[at].1 = value.into(),
            Err(at) => Arc::make_mut(&mut self.0).insert(at, (name.into(), value.into())),
        }
    }

    /// Removes one label and gives its value.
    pub fn remove(&mut self, name: &str) -> Option<Text> {
        let at = self.place(name).ok()?;
        Some(Arc::make_mut(&mut self.0).remove(at).1)
    }

    /// Keeps the labels that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        // Most sets lose nothing, and then nothing is to be copied.
        if self.0.iter().any(|(name, value)| !keep(name, value)) {
            Arc::make_mut(&mut self.0).retain(|(name, value)| keep(name, value));
        }
    }

    /// Names and values in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Names and values in name order, as shared texts.
    pub fn texts(&self) -> &[(Text, Text)] {
        &self.0
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are one set in memory: a cheap test that says no where it does not know.
    pub fn is_same(&self, other: &LabelSet) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Tells sets that are not one set in memory apart while both are there.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl<N: Into<Text> + AsRef<str>, V: Into<Text>> FromIterator<(N, V)> for LabelSet {
    /// Of a name that comes twice the last value stays.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut set = LabelSet::new();
        for (name, value) in pairs {
            set.set(name, value);
        }
        set
    }
}

/// As a selector: `{a="1", b="2"}`.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from("{");
        for (at, (name, value)) in self.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { ", " });
            text.push_str(name);
            text.push('=');
            skald_model::quote(&mut text, value);
        }
        text.push('}');
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_clone_leaves_the_original() {
        let first: LabelSet = [("b", "2"), ("a", "1"), ("b", "3")].into_iter().collect();
        let mut second = first.clone();
        assert!(second.is_same(&first));
        second.retain(|_, _| true);
        assert!(second.is_same(&first));
        second.set("c", "quote \" and\nline");
        assert_eq!(second.remove("a").as_deref(), Some("1"));
        assert_eq!(first.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!(second.to_string(), r#"{b="3", c="quote \" and\nline"}"#);
    }
}
