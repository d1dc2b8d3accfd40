use super::text;
use crate::extracted::Value;
use jmespath::Variable;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Ways through objects, as a tree: what several begin with is gone once.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Places of the values that end here.
    wanted: Vec<usize>,
    members: Vec<(String, Paths)>,
}

impl Paths {
    pub(super) fn new(paths: &[Vec<&str>]) -> Self {
        let mut root = Paths::default();
        for (place, path) in paths.iter().enumerate() {
            root.add(path, place);
        }
        root
    }

    fn add(&mut self, path: &[&str], place: usize) {
        let Some((name, rest)) = path.split_first() else { return self.wanted.push(place) };
        let at = self.members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.members.push(((*name).to_owned(), Paths::default()));
            self.members.len() - 1
        });
        self.members[at].1.add(rest, place);
    }

    /// Finds the values in `text`, null where there is none; `None` when the text is no JSON object.
    pub(super) fn find(&self, text: &str, values: &mut [Value]) -> Option<()> {
        values.fill(Value::Null);
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(Object { paths: self, values }).ok()?;
        json.end().ok()
    }

    /// Makes null all that ends here and below: of a name that comes twice the last counts.
    fn forget(&self, values: &mut [Value]) {
        self.wanted.iter().for_each(|place| values[*place] = Value::Null);
        self.members.iter().for_each(|(_, below)| below.forget(values));
    }

    /// Takes all values from one that was built.
    fn take(&self, variable: &Variable, values: &mut [Value]) {
        self.wanted.iter().for_each(|place| values[*place] = text::value(variable));
        self.members.iter().for_each(|(name, below)| below.take(&variable.get_field(name), values));
    }

    fn put(&self, value: Value, values: &mut [Value]) {
        if let Some((last, others)) = self.wanted.split_last() {
            others.iter().for_each(|place| values[*place] = value.clone());
            values[*last] = value;
        }
    }
}

/// Reads an object and takes of it what lies on the paths; anything else is an error.
struct Object<'p, 'v> {
    paths: &'p Paths,
    values: &'v mut [Value],
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(Member(self.paths))? {
            match member {
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
                Some(paths) => {
                    paths.forget(self.values);
                    map.next_value_seed(Any { paths, values: self.values })?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a name; gives where it leads.
struct Member<'p>(&'p Paths);

impl<'de, 'p> DeserializeSeed<'de> for Member<'p> {
    type Value = Option<&'p Paths>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Member<'p> {
    type Value = Option<&'p Paths>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.members.iter().find(|(known, _)| known == name).map(|(_, below)| below))
    }
}

/// Reads any value on a path.
struct Any<'p, 'v> {
    paths: &'p Paths,
    values: &'v mut [Value],
}

impl<'de> DeserializeSeed<'de> for Any<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.paths.put(Value::Bool(value), self.values);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.paths.put(Value::Number(value), self.values);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if !self.paths.wanted.is_empty() {
            self.paths.put(Value::Text(value.to_owned()), self.values);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.paths.wanted.is_empty() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        self.paths.take(&Variable::deserialize(SeqAccessDeserializer::new(seq))?, self.values);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if self.paths.wanted.is_empty() {
            return Object { paths: self.paths, values: self.values }.visit_map(map);
        }
        self.paths.take(&Variable::deserialize(MapAccessDeserializer::new(map))?, self.values);
        Ok(())
    }
}
