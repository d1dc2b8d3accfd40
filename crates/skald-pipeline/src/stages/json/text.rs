use crate::extracted::Value;
use jmespath::Variable;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use std::io;

/// A value as stages know it: what is composed is JSON text.
pub(super) fn value(variable: &Variable) -> Value {
    match variable {
        Variable::Null | Variable::Expref(_) => Value::Null,
        Variable::String(text) => Value::Text(text.clone()),
        Variable::Bool(value) => Value::Bool(*value),
        Variable::Number(number) => number.as_f64().map_or(Value::Null, Value::Number),
        Variable::Array(_) | Variable::Object(_) => compact(variable).map_or(Value::Null, Value::Text),
    }
}

/// As JSON text, members in order of their names.
fn compact(variable: &Variable) -> Option<String> {
    let mut out = Vec::new();
    variable.serialize(&mut serde_json::Serializer::with_formatter(&mut out, ShortNumbers)).ok()?;
    String::from_utf8(out).ok()
}

/// Writes whole numbers without a point.
struct ShortNumbers;

impl Formatter for ShortNumbers {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        if value.fract() == 0.0 && value.abs() < 1e21 { write!(writer, "{value}") } else { CompactFormatter.write_f64(writer, value) }
    }
}
