//! Functions over values of any kind, and over times.

use super::dates::{self, Time};
use super::value::Value;
use crate::units;
use std::sync::Arc;

/// The text of an argument whose kind was checked.
pub(super) fn text(value: &Value) -> &str {
    if let Value::Text(text) = value { text } else { "" }
}

pub(super) fn from_json(args: &[Value]) -> Result<Value, String> {
    Ok(serde_json::from_str(text(&args[0])).map_or(Value::Nil, Value::from_json))
}

pub(super) fn bytes(args: &[Value]) -> Result<Value, String> {
    units::parse_size(text(&args[0])).map(|bytes| Value::Float(bytes as f64)).map_err(|error| error.to_string())
}

pub(super) fn duration(args: &[Value]) -> Result<Value, String> {
    units::parse_go_duration(text(&args[0])).map(|nanos| Value::Float(nanos as f64 / 1e9)).map_err(|error| error.to_string())
}

pub(super) fn time(nanos: i64) -> Value {
    Value::Time(Time::utc(i128::from(nanos)))
}

/// A time, or seconds, in a layout; of anything else the current time.
pub(super) fn date(args: &[Value], now: i64) -> Result<Value, String> {
    Ok(Value::text(&time_of(&args[1], now).format(text(&args[0]))))
}

/// A time, or seconds since 1970; of anything else the current time.
pub(super) fn time_of(value: &Value, now: i64) -> Time {
    match value {
        Value::Time(time) => time.clone(),
        Value::Int(seconds) => Time::utc(i128::from(*seconds) * 1_000_000_000),
        _ => Time::utc(i128::from(now)),
    }
}

pub(super) fn to_date(args: &[Value]) -> Result<Value, String> {
    Ok(Value::Time(dates::parse(text(&args[0]), text(&args[1]), "UTC")))
}

pub(super) fn to_date_in_zone(args: &[Value]) -> Result<Value, String> {
    Ok(Value::Time(dates::parse(text(&args[0]), text(&args[2]), text(&args[1]))))
}

/// A time as a number since 1970.
pub(super) fn epoch(args: &[Value], unit: i128) -> Result<Value, String> {
    let Value::Time(time) = &args[0] else { return Err("not a time".to_owned()) };
    Ok(Value::text(&time.nanos().div_euclid(unit).to_string()))
}

/// Days, seconds, milliseconds, microseconds or nanoseconds, by the number of digits.
pub(super) fn unix_to_time(args: &[Value]) -> Result<Value, String> {
    let digits = text(&args[0]);
    let number: i64 =
        digits.parse().map_err(|_| format!("unable to parse time '{digits}': strconv.ParseInt: parsing {digits:?}: invalid syntax"))?;
    let unit: i128 = match digits.len() {
        5 => 86_400_000_000_000,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("unable to parse time '{digits}': %!w(<nil>)")),
    };
    Ok(Value::Time(Time::utc(i128::from(number) * unit)))
}

pub(super) fn len(args: &[Value]) -> Result<Value, String> {
    let len = match &args[0] {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.members.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(len as i64))
}

pub(super) fn any_equal(args: &[Value]) -> Result<Value, String> {
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil, other) | (other, Value::Nil) => Ok(matches!(other, Value::Nil)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Time(a), Value::Time(b)) => Ok(a.nanos() == b.nanos()),
        _ => Err(incomparable(a, b)),
    }
}

pub(super) fn less(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a < b),
        _ => Err(incomparable(a, b)),
    }
}

fn incomparable(a: &Value, b: &Value) -> String {
    match (a, b) {
        (Value::Nil | Value::List(_) | Value::Map(_), _) | (_, Value::Nil | Value::List(_) | Value::Map(_)) => {
            "invalid type for comparison".to_owned()
        }
        _ => format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()),
    }
}

pub(super) fn default(args: &[Value]) -> Result<Value, String> {
    let given = args.get(1).filter(|value| value.is_true());
    Ok(given.unwrap_or(&args[0]).clone())
}

pub(super) fn index(args: &[Value]) -> Result<Value, String> {
    args[1..].iter().try_fold(args[0].clone(), |value, place| match (&value, place) {
        (Value::Nil, _) => Err("index of untyped nil".to_owned()),
        (Value::Map(_), Value::Text(name)) => value.member(name),
        (Value::Map(_), other) => Err(format!("value has type {}; should be string", other.type_name())),
        (Value::List(items), Value::Int(at)) => {
            usize::try_from(*at).ok().and_then(|at| items.get(at)).cloned().ok_or(format!("index out of range: {at}"))
        }
        (Value::Text(text), Value::Int(at)) => {
            let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
            byte.map(|byte| Value::Int(i64::from(*byte))).ok_or(format!("index out of range: {at}"))
        }
        (Value::List(_) | Value::Text(_), other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    })
}

pub(super) fn slice(args: &[Value]) -> Result<Value, String> {
    let len = match &args[0] {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if args.len() > 3 {
        return Err(if matches!(args[0], Value::Text(_)) { "cannot 3-index slice a string" } else { "too many slice indexes" }.to_owned());
    }
    let place = |at: usize, otherwise: usize| match args.get(at) {
        None => Ok(otherwise),
        Some(Value::Int(place)) => usize::try_from(*place).ok().filter(|place| *place <= len).ok_or(format!("index out of range: {place}")),
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (from, end) = (place(1, 0)?, place(2, len)?);
    if from > end {
        return Err(format!("invalid slice index: {from} > {end}"));
    }
    Ok(match &args[0] {
        Value::List(items) => Value::List(items[from..end].into()),
        other => Value::Text(Arc::from(String::from_utf8_lossy(&text(other).as_bytes()[from..end]))),
    })
}
