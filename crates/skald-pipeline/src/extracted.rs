use crate::{LabelSet, Text};
use std::borrow::Cow;

/// What stages have learned about an entry: a map from names to values that begins as a copy of the entry's labels.
///
/// The copy is not made: names that no stage has set are looked up in the labels that the entry came with.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Extracted {
    base: LabelSet,
    /// Few, so a list is faster than a map. `None` is a name that was deleted.
    set: Vec<(Text, Option<Value>)>,
}

/// A value that a stage extracted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// Any number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Looked for and not there, or something that has no text.
    Null,
}

impl Extracted {
    /// The map of an entry that came with `labels`.
    pub(crate) fn of(labels: &LabelSet) -> Self {
        Extracted { base: labels.clone(), set: Vec::new() }
    }

    /// Sets a value that the entry has just got as a label too. `before` and `after` are its labels without and with it.
    pub(crate) fn set_label(&mut self, name: &Text, before: &LabelSet, after: &LabelSet) {
        if self.set.is_empty() && self.base.is_same(before) {
            self.base = after.clone();
        } else if let Some(value) = after.get(name) {
            self.set(name, Value::Text(value.to_owned()));
        }
    }

    /// Sets or replaces a value.
    pub(crate) fn set(&mut self, name: &Text, value: Value) {
        self.put(name, Some(value));
    }

    /// Deletes a name.
    pub(crate) fn remove(&mut self, name: &Text) {
        self.put(name, None);
    }

    fn put(&mut self, name: &Text, value: Option<Value>) {
        match self.set.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.set.push((Text::clone(name), value)),
        }
    }

    /// Whether the map has the name, even with a value that has no text.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self.set.iter().find(|(known, _)| **known == *name) {
            Some((_, value)) => value.is_some(),
            None => self.base.get(name).is_some(),
        }
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self.set.iter().find(|(known, _)| **known == *name) {
            Some((_, value)) => value.as_ref().map(Cow::Borrowed),
            None => self.base.get(name).map(|text| Cow::Owned(Value::Text(text.to_owned()))),
        }
    }

    /// The value of a name as text; `None` when there is none or it has no text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.set.iter().find(|(known, _)| **known == *name) {
            Some((_, value)) => value.as_ref().and_then(Value::text),
            None => self.base.get(name).map(Cow::Borrowed),
        }
    }

    /// All names and values, sorted by name.
    pub(crate) fn sorted(&self) -> Vec<(&str, Cow<'_, Value>)> {
        let base = self.base.iter().filter(|(name, _)| !self.set.iter().any(|(known, _)| **known == **name));
        let base = base.map(|(name, value)| (name, Cow::Owned(Value::Text(value.to_owned()))));
        let set = self.set.iter().filter_map(|(name, value)| Some((&**name, Cow::Borrowed(value.as_ref()?))));
        let mut all: Vec<_> = base.chain(set).collect();
        all.sort_by(|a, b| a.0.cmp(b.0));
        all
    }
}

impl Value {
    /// As text: numbers in the shortest form without exponent, `true` and `false`; a null has none.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            // Rust prints the shortest digits that read back as the same number, and never an exponent.
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Value::Null => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(extracted: &Extracted, name: &str) -> Option<String> {
        extracted.text(name).map(Cow::into_owned)
    }

    #[test]
    fn a_label_is_extracted_alone_and_over_what_was_there() {
        let stream = Text::from("stream");
        let before: LabelSet = [("a", "1")].into_iter().collect();
        let mut after = before.clone();
        after.set("stream", "out");

        let mut first = Extracted::of(&before);
        first.set_label(&stream, &before, &after);
        assert_eq!((text(&first, "stream"), text(&first, "a")), (Some("out".to_owned()), Some("1".to_owned())));

        let mut set = Extracted::of(&before);
        set.set(&stream, Value::Text("old".to_owned()));
        set.set_label(&stream, &before, &after);
        assert_eq!(text(&set, "stream"), Some("out".to_owned()));

        let mut other = Extracted::of(&LabelSet::new());
        other.set_label(&stream, &before, &after);
        assert_eq!((text(&other, "stream"), text(&other, "a")), (Some("out".to_owned()), None));
    }

    #[test]
    fn names_are_set_over_labels_and_removed() {
        let labels: LabelSet = [("a", "1"), ("c", "3")].into_iter().collect();
        let mut extracted = Extracted::of(&labels);
        extracted.set(&"b".into(), Value::Number(2.0));
        extracted.set(&"a".into(), Value::Null);
        extracted.remove(&"c".into());
        assert_eq!((text(&extracted, "a"), text(&extracted, "b"), text(&extracted, "c")), (None, Some("2".to_owned()), None));
        assert_eq!((extracted.contains("a"), extracted.contains("c")), (true, false));
        let names: Vec<_> = extracted.sorted().into_iter().map(|(name, value)| (name, value.into_owned())).collect();
        assert_eq!(names, [("a", Value::Null), ("b", Value::Number(2.0))]);
    }

    #[test]
    fn values_have_the_shortest_text() {
        for (value, want) in [
            (Value::Number(1.0), Some("1")),
            (Value::Number(-0.25), Some("-0.25")),
            (Value::Number(1e21), Some("1000000000000000000000")),
            (Value::Bool(true), Some("true")),
            (Value::Null, None),
        ] {
            assert_eq!(value.text().as_deref(), want, "{value:?}");
        }
    }
}
