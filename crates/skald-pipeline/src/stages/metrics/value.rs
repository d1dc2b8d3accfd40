use crate::extracted::Value;
use skald_logql::units::{parse_float, parse_go_duration};

/// The number that a value is; texts may be numbers, or durations, which count in seconds.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Text(text) => {
            let seconds = || parse_go_duration(text).ok().map(|nanos| nanos as f64 / 1e9);
            parse_float(text).ok().or_else(seconds)
        }
        Value::Null => None,
    }
    .filter(|number| !number.is_nan())
}
