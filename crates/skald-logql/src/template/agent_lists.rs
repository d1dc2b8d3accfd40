//! Functions over lists and maps, and JSON, that only templates of an agent have.
//!
//! A list or map that a template makes holds no other lists or maps: what nests is only what was read from JSON, so its depth is bounded.

use super::functions::text;
use super::numbers::int;
use super::strings::bounded;
use super::value::{Map, Value};
use ::regex::bytes::Regex;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

type Given<'a> = &'a [Value];
type Got = Result<Value, String>;

/// Items that one function makes.
const ITEMS_MAX: usize = 10_000;

fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(items) => Ok(items),
        other => Err(format!("{} is no list", other.type_name())),
    }
}

fn list_of(items: impl IntoIterator<Item = Value>) -> Got {
    let items: Rc<[Value]> = items.into_iter().take(ITEMS_MAX + 1).collect();
    if items.len() > ITEMS_MAX { Err(format!("more than {ITEMS_MAX} items")) } else { Ok(Value::List(items)) }
}

fn map_of(members: impl IntoIterator<Item = (Arc<str>, Value)>) -> Value {
    let members: BTreeMap<_, _> = members.into_iter().collect();
    Value::Map(Rc::new(Map { members, labels: false }))
}

fn flat(args: Given<'_>) -> Result<(), String> {
    let nests = args.iter().any(|value| matches!(value, Value::List(_) | Value::Map(_)));
    if nests { Err("lists and maps cannot be put into others".to_owned()) } else { Ok(()) }
}

pub(super) fn list(args: Given<'_>) -> Got {
    flat(args)?;
    list_of(args.iter().cloned())
}

/// A map of names and values in turn; a last name without a value has an empty one.
pub(super) fn dict(args: Given<'_>) -> Got {
    flat(args)?;
    let pair = |pair: &[Value]| (pair[0].to_string().into(), pair.get(1).cloned().unwrap_or(Value::text("")));
    Ok(map_of(args.chunks(2).map(pair)))
}

pub(super) fn split(args: Given<'_>) -> Got {
    list_of(pieces(text(&args[0]), text(&args[1])).map(Value::text))
}

/// The pieces as members `_0`, `_1` and so on; the last of `most` has all the rest.
pub(super) fn split_map(separator: &Value, whole: &Value, most: usize) -> Got {
    let (separator, mut whole) = (text(separator), text(whole));
    let mut members = Vec::new();
    while members.len() + 1 < most.min(ITEMS_MAX + 1) && !separator.is_empty() {
        let Some((piece, rest)) = whole.split_once(separator) else { break };
        members.push(piece);
        whole = rest;
    }
    if members.len() >= ITEMS_MAX {
        return Err(format!("more than {ITEMS_MAX} items"));
    }
    members.push(whole);
    Ok(map_of(members.iter().enumerate().map(|(at, piece)| (format!("_{at}").into(), Value::text(piece)))))
}

/// Without a separator each character is a piece.
fn pieces<'a>(separator: &'a str, whole: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    if separator.is_empty() {
        return Box::new(whole.char_indices().map(move |(at, c)| &whole[at..at + c.len_utf8()]));
    }
    Box::new(whole.split(separator))
}

pub(super) fn join(args: Given<'_>) -> Got {
    let mut out = String::new();
    match &args[1] {
        Value::List(items) => {
            for (at, item) in items.iter().filter(|item| !matches!(item, Value::Nil)).enumerate() {
                write!(out, "{}{item}", if at == 0 { "" } else { text(&args[0]) }).expect("a String takes everything");
                bounded(out.len())?;
            }
        }
        other => out = other.to_string(),
    }
    Ok(Value::text(&out))
}

pub(super) fn sorted(args: Given<'_>) -> Got {
    let Value::List(items) = &args[0] else { return list_of([Value::text(&args[0].to_string())]) };
    let mut texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.sort_unstable();
    list_of(texts.iter().map(|text| Value::text(text)))
}

/// The first or last item; of an empty list nothing.
pub(super) fn end(list: &Value, first: bool) -> Got {
    let items = items(list)?;
    Ok(if first { items.first() } else { items.last() }.cloned().unwrap_or(Value::Nil))
}

/// All but the first or last item.
pub(super) fn without_end(list: &Value, first: bool) -> Got {
    let items = items(list)?;
    let kept = if first { items.get(1..) } else { items.len().checked_sub(1).map(|len| &items[..len]) };
    list_of(kept.unwrap_or_default().iter().cloned())
}

pub(super) fn reversed(args: Given<'_>) -> Got {
    list_of(items(&args[0])?.iter().rev().cloned())
}

/// The first of items that read the same.
pub(super) fn unique(args: Given<'_>) -> Got {
    let mut seen = HashSet::new();
    list_of(items(&args[0])?.iter().filter(|item| seen.insert(key(item))).cloned())
}

pub(super) fn has(args: Given<'_>) -> Got {
    let Value::List(items) = &args[1] else { return Ok(Value::Bool(false)) };
    let wanted = key(&args[0]);
    Ok(Value::Bool(items.iter().any(|item| key(item) == wanted)))
}

/// The items of the first argument that are none of the others.
pub(super) fn without(args: Given<'_>) -> Got {
    let gone: HashSet<_> = args[1..].iter().map(key).collect();
    list_of(items(&args[0])?.iter().filter(|item| !gone.contains(&key(item))).cloned())
}

/// What values of one type are equal by.
fn key(value: &Value) -> (&'static str, String) {
    (value.type_name(), value.to_string())
}

/// The numbers from 0 to below one, or down to above it.
pub(super) fn until(args: Given<'_>) -> Got {
    let end = int(&args[0]);
    list_of((0..end.saturating_abs()).map(|at| Value::Int(at * end.signum())))
}

/// The first matches, or with a negative number all.
pub(super) fn regex_find_all(regex: &Regex, args: Given<'_>) -> Got {
    let most = usize::try_from(int(&args[1])).unwrap_or(usize::MAX);
    list_of(regex.find_iter(text(&args[0]).as_bytes()).take(most).map(|found| Value::text(&String::from_utf8_lossy(found.as_bytes()))))
}

/// What stands between matches: all, or at most so many pieces.
pub(super) fn regex_split(regex: &Regex, args: Given<'_>) -> Got {
    let piece = |piece: &[u8]| Value::text(&String::from_utf8_lossy(piece));
    let whole = text(&args[0]).as_bytes();
    match usize::try_from(int(&args[1])) {
        Ok(most) => list_of(regex.splitn(whole, most).map(piece)),
        Err(_) => list_of(regex.split(whole).map(piece)),
    }
}

pub(super) fn must_from_json(args: Given<'_>) -> Got {
    serde_json::from_str(text(&args[0])).map(Value::from_json).map_err(|error| error.to_string())
}

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Json {
    /// `<`, `>` and `&` as `\u003c` and so on.
    Escaped,
    Raw,
    /// As escaped, on several lines.
    Pretty,
}

pub(super) fn json(value: &Value, form: Json) -> Got {
    let json = to_json(value);
    let text = if form == Json::Pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
    let mut text = text.map_err(|error| error.to_string())?;
    if form != Json::Raw {
        text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    }
    bounded(text.len())?;
    Ok(Value::text(&text))
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        // Whole numbers are written without a point.
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => (*value as i64).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => (**text).into(),
        Value::Time(time) => time.format("2006-01-02T15:04:05.999999999Z07:00").into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map.members.iter().map(|(name, value)| (name.to_string(), to_json(value))).collect(),
    }
}
