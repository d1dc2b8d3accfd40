use super::dates::Time;
use crate::units::format_float;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;
use std::sync::Arc;

/// A value in a template.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Time(Time),
    List(Rc<[Value]>),
    Map(Rc<Map>),
}

/// Members by name.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) members: BTreeMap<Arc<str>, Value>,
    /// Whether it is the labels: texts, and what is missing is empty.
    pub(super) labels: bool,
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    pub(super) fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let members = pairs.map(|(name, value)| (name.into(), Value::text(value))).collect();
        Value::Map(Rc::new(Map { members, labels: true }))
    }

    pub(super) fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => number.as_f64().map_or(Value::Nil, Value::Float),
            serde_json::Value::String(text) => Value::Text(text.into()),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(Value::from_json).collect()),
            serde_json::Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name.into(), Value::from_json(value))).collect();
                Value::Map(Rc::new(Map { members, labels: false }))
            }
        }
    }

    /// Whether `if` and `with` take it.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Time(_) => true,
            Value::List(items) => !items.is_empty(),
            Value::Map(map) => !map.members.is_empty(),
        }
    }

    /// Its type in Go.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Time(_) => "time.Time",
            Value::List(_) => "[]interface {}",
            Value::Map(map) if map.labels => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    /// The member `name`. The error is its text.
    pub(super) fn member(&self, name: &str) -> Result<Value, String> {
        match self {
            Value::Map(map) => Ok(match map.members.get(name) {
                Some(value) => value.clone(),
                None if map.labels => Value::text(""),
                None => Value::Nil,
            }),
            Value::Nil => Err(format!("nil pointer evaluating interface {{}}.{name}")),
            other => Err(format!("can't evaluate field {name} in type {}", other.type_name())),
        }
    }

    /// For gotmpl's printing functions.
    pub(super) fn for_printing(&self) -> gotmpl::Value {
        match self {
            Value::Nil => gotmpl::Value::Nil,
            Value::Bool(value) => gotmpl::Value::Bool(*value),
            Value::Int(value) => gotmpl::Value::Int(*value),
            Value::Float(value) => gotmpl::Value::Float(*value),
            Value::Text(text) => gotmpl::Value::String(Arc::clone(text)),
            Value::Time(time) => gotmpl::Value::String(time.to_string().into()),
            Value::List(items) => gotmpl::Value::List(items.iter().map(Value::for_printing).collect()),
            Value::Map(map) => {
                let members = map.members.iter().map(|(name, value)| (Arc::clone(name), value.for_printing()));
                gotmpl::Value::Map(Arc::new(members.collect()))
            }
        }
    }
}

/// As Go's `%v`.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("<nil>"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => f.write_str(&format_float(*value)),
            Value::Text(text) => f.write_str(text),
            Value::Time(time) => time.fmt(f),
            Value::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Value::Map(map) => {
                f.write_str("map[")?;
                for (at, (name, value)) in map.members.iter().enumerate() {
                    write!(f, "{}{name}:{value}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}
