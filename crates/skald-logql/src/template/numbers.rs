//! Arithmetic.

use super::decimal::Decimal;
use super::value::Value;
use crate::units::parse_float;

/// As a whole number: texts by their prefix, fractions cut, all else 0.
pub(super) fn int(value: &Value) -> i64 {
    match value {
        Value::Int(value) => *value,
        Value::Float(value) => *value as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => parse_int(text).unwrap_or(0),
        Value::Nil | Value::Time(_) | Value::List(_) | Value::Map(_) => 0,
    }
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some(zero) if zero.starts_with('0') && zero.as_bytes()[1].is_ascii_digit() => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if radix == 10 && body.contains('.') {
        return parse_float(text).ok().map(|value| value as i64);
    }
    let plain = body.starts_with(|c: char| c.is_ascii_alphanumeric());
    let value = i128::from_str_radix(&body.replace('_', ""), radix).ok().filter(|_| plain)?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// As a number; what is none is 0.
pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => parse_float(text).unwrap_or(0.0),
        Value::Nil | Value::Time(_) | Value::List(_) | Value::Map(_) => 0.0,
    }
}

pub(super) fn divide(args: &[Value], op: fn(i64, i64) -> i64) -> Result<Value, String> {
    match int(&args[1]) {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        divisor => Ok(Value::Int(op(int(&args[0]), divisor))),
    }
}

fn fold(args: &[Value], exact: impl Fn(Decimal, Decimal) -> Option<Decimal>, rough: fn(f64, f64) -> f64) -> Value {
    let numbers: Vec<f64> = args.iter().map(float).collect();
    let mut decimals = numbers.iter().map(|value| Decimal::from_float(*value));
    let first = decimals.next().unwrap_or(Some(Decimal::ZERO));
    let sum = decimals.fold(first, |sum, next| exact(sum?, next?));
    let roughly = || numbers.iter().copied().reduce(rough).unwrap_or(0.0);
    Value::Float(sum.and_then(Decimal::to_float).unwrap_or_else(roughly))
}

pub(super) fn add_decimals(args: &[Value]) -> Result<Value, String> {
    Ok(fold(args, Decimal::add, |a, b| a + b))
}

pub(super) fn subtract_decimals(args: &[Value]) -> Result<Value, String> {
    Ok(fold(args, |a, b| a.add(b.negated()), |a, b| a - b))
}

pub(super) fn multiply_decimals(args: &[Value]) -> Result<Value, String> {
    Ok(fold(args, Decimal::multiply, |a, b| a * b))
}

pub(super) fn divide_decimals(args: &[Value]) -> Result<Value, String> {
    if args[1..].iter().any(|value| float(value) == 0.0) {
        return Err("decimal division by 0".to_owned());
    }
    Ok(fold(args, Decimal::divide, |a, b| a / b))
}

/// Half away from zero, or from another part on.
pub(super) fn round(args: &[Value]) -> Result<Value, String> {
    let round_on = if let Some(Value::Float(part)) = args.get(2) { *part } else { 0.5 };
    let places = 10f64.powi(int(&args[1]).clamp(-400, 400) as i32);
    let digits = float(&args[0]) * places;
    let up = digits.fract().abs() >= round_on;
    let rounded = digits.trunc() + if up { digits.signum() } else { 0.0 };
    Ok(Value::Float(rounded / places))
}
