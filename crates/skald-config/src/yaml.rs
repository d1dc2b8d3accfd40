use crate::{ConfigError, Problem};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;
use skald_model::seam::Disk;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Largest file that is read.
const BYTES_MAX: u64 = 16 << 20;
/// Most levels of a file: a few times what a configuration has, and far from the end of the stack.
const DEPTH_MAX: usize = 24;

/// A YAML file as a layer of the configuration, with the place of every key.
pub(crate) struct YamlFile {
    /// What messages call the file.
    pub(crate) name: String,
    pub(crate) dict: Dict,
    places: BTreeMap<Vec<String>, Places>,
}

#[derive(Clone, Copy)]
struct Places {
    key: Place,
    value: Place,
}

type Place = (u64, u64);

impl YamlFile {
    /// Reads and parses a file.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&path.display().to_string(), &read_bytes(disk, path)?)
    }

    /// Parses the bytes of the file called `name`. A key without a value counts as not written.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut file = YamlFile { name: name.to_owned(), dict: Dict::new(), places: BTreeMap::new() };
        let refused = |place: Option<Place>, message: String| {
            let origin = place.map_or_else(|| name.to_owned(), |(line, column)| format!("{name}:{line}:{column}"));
            ConfigError::Invalid(vec![Problem { origin, key: String::new(), message }])
        };
        let text = std::str::from_utf8(bytes).map_err(|error| refused(None, format!("not UTF-8 after byte {}", error.valid_up_to())))?;
        // Untyped, YAML 1.1 words such as `y` and `on` would become booleans.
        let options = serde_saphyr::options! {
            strict_booleans: true,
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, flow_nesting_limit: DEPTH_MAX },
        };
        let root: Option<Node> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let error = error.without_snippet();
            let place = error.location().map(|at| (at.line(), at.column()));
            refused(place, message_without_place(&error.to_string()))
        })?;
        match root {
            None | Some(Node::Null) => {}
            Some(Node::Map(entries)) => file.dict = file.take(entries, &mut Vec::new()),
            Some(_) => return Err(refused(Some((1, 1)), "expected keys and values".to_owned())),
        }
        Ok(file)
    }

    fn take(&mut self, entries: Vec<(Spanned<String>, Spanned<Node>)>, path: &mut Vec<String>) -> Dict {
        let mut dict = Dict::new();
        for (key, node) in entries {
            path.push(key.value.clone());
            let place = |at: serde_saphyr::Location| (at.line(), at.column());
            self.places.insert(path.clone(), Places { key: place(key.referenced), value: place(node.referenced) });
            if let Some(value) = self.value(node.value, path) {
                dict.insert(key.value, value);
            }
            path.pop();
        }
        dict
    }

    fn value(&mut self, node: Node, path: &mut Vec<String>) -> Option<Value> {
        Some(match node {
            Node::Null => return None,
            Node::Bool(value) => value.into(),
            Node::Unsigned(value) => value.into(),
            Node::Signed(value) => value.into(),
            Node::Float(value) => value.into(),
            Node::Text(value) => value.into(),
            Node::List(nodes) => nodes.into_iter().filter_map(|node| self.value(node, path)).collect::<Vec<_>>().into(),
            Node::Map(entries) => self.take(entries, path).into(),
        })
    }

    /// `file:line:column` of the value at `path`, or of its key, or of the nearest key above it.
    pub(crate) fn origin(&self, path: &[String], of_key: bool) -> String {
        for len in (1..=path.len()).rev() {
            if let Some(places) = self.places.get(&path[..len]) {
                let (line, column) = if of_key || len < path.len() { places.key } else { places.value };
                return format!("{}:{line}:{column}", self.name);
            }
        }
        self.name.clone()
    }
}

/// The bytes of a file of acceptable size.
pub(crate) fn read_bytes(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = disk.open(path).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    if len > BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes: len });
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(0, &mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The parser's message says the place too, which stands in front already.
fn message_without_place(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    let first = &message[..end];
    let line = first.lines().next().unwrap_or(first).trim_start_matches("error: ");
    // What follows is advice to those who call the parser.
    let advice = [", set DuplicateKeyPolicy", "; use from_str"];
    advice.iter().find_map(|begin| line.split_once(begin)).map_or(line, |(said, _)| said).to_owned()
}

impl Provider for YamlFile {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Any YAML, with the places of keys and values in maps.
enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> de::Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::Signed(value), Node::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
