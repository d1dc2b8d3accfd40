//! The functions that templates may call.

use super::value::Value;
use super::{Dialect, agent, functions, numbers, strings};
use regex::bytes::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Int,
    Float,
    Time,
}

impl Kind {
    /// As errors about what is written out call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Int => "integer",
            Kind::Float => "float",
            Kind::Any | Kind::Text | Kind::Time => "string",
        }
    }

    /// Its type in Go.
    pub(super) fn go_type(self) -> &'static str {
        match self {
            Kind::Any => "interface {}",
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Float => "float64",
            Kind::Time => "time.Time",
        }
    }
}

pub(super) type Pure = fn(&[Value]) -> Result<Value, String>;

/// How a function is run.
#[derive(Clone, Copy)]
pub(super) enum Run {
    Pure(Pure),
    /// With the compiled first argument, and the others.
    Pattern(fn(&Regex, &[Value]) -> Result<Value, String>),
    /// `and`, `or`.
    Shortcut {
        stops_at: bool,
    },
    Print,
    Line,
    Timestamp,
    /// With the current time behind the arguments.
    Clock(fn(&[Value], i64) -> Result<Value, String>),
}

/// A function's parameters and how it is run.
pub(super) struct Signature {
    pub(super) fixed: &'static [Kind],
    /// Of any number of arguments behind the fixed ones.
    pub(super) rest: Option<Kind>,
    pub(super) run: Run,
}

impl Signature {
    /// What the parameter at `place` takes.
    pub(super) fn kind(&self, place: usize) -> Kind {
        self.fixed.get(place).copied().or(self.rest).unwrap_or(Kind::Any)
    }
}

impl Dialect {
    pub(super) fn signature(self, name: &str) -> Option<&'static Signature> {
        let own = if self == Dialect::Agent { agent::FUNCTIONS.get(name) } else { None };
        own.or_else(|| FUNCTIONS.get(name))
    }

    pub(super) fn prints(self, name: &str) -> bool {
        self.signature(name).is_some_and(|signature| matches!(signature.run, Run::Print))
    }

    pub(super) fn takes_pattern(self, name: &str) -> bool {
        self.signature(name).is_some_and(|signature| matches!(signature.run, Run::Pattern(_)))
    }

    /// Whether a function may give, or fall back to, the current time.
    pub(super) fn sees_clock(self, name: &str) -> bool {
        self.signature(name).is_some_and(|signature| matches!(signature.run, Run::Clock(_)))
    }
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Signature>> = LazyLock::new(|| {
    use Kind::{Any, Float, Int, Text, Time};
    let text: [(&str, &'static [Kind], Pure); 55] = [
        ("lower", &[Text], strings::lower),
        ("ToLower", &[Text], strings::lower),
        ("upper", &[Text], strings::upper),
        ("ToUpper", &[Text], strings::upper),
        ("title", &[Text], strings::title),
        ("trim", &[Text], strings::trim_space),
        ("TrimSpace", &[Text], strings::trim_space),
        ("Replace", &[Text, Text, Text, Int], strings::replace_some),
        ("Trim", &[Text, Text], strings::trim_set),
        ("TrimLeft", &[Text, Text], strings::trim_set_left),
        ("TrimRight", &[Text, Text], strings::trim_set_right),
        ("TrimPrefix", &[Text, Text], strings::trim_prefix),
        ("TrimSuffix", &[Text, Text], strings::trim_suffix),
        ("trunc", &[Int, Text], strings::trunc),
        ("substr", &[Int, Int, Text], strings::substr),
        ("contains", &[Text, Text], strings::contains),
        ("hasPrefix", &[Text, Text], strings::has_prefix),
        ("hasSuffix", &[Text, Text], strings::has_suffix),
        ("replace", &[Text, Text, Text], strings::replace_all),
        ("repeat", &[Int, Text], strings::repeat),
        ("trimAll", &[Text, Text], |args| strings::trim_set(&[args[1].clone(), args[0].clone()])),
        ("trimPrefix", &[Text, Text], |args| strings::trim_prefix(&[args[1].clone(), args[0].clone()])),
        ("trimSuffix", &[Text, Text], |args| strings::trim_suffix(&[args[1].clone(), args[0].clone()])),
        ("indent", &[Int, Text], strings::indent),
        ("nindent", &[Int, Text], strings::new_line_indent),
        ("alignLeft", &[Int, Text], strings::align_left),
        ("alignRight", &[Int, Text], strings::align_right),
        ("urlencode", &[Text], strings::url_encode),
        ("urldecode", &[Text], strings::url_decode),
        ("b64enc", &[Text], strings::base64_encode),
        ("b64dec", &[Text], strings::base64_decode),
        ("fromJson", &[Text], functions::from_json),
        ("bytes", &[Text], functions::bytes),
        ("duration", &[Text], functions::duration),
        ("duration_seconds", &[Text], functions::duration),
        ("int", &[Any], |args| Ok(Value::Int(numbers::int(&args[0])))),
        ("float64", &[Any], |args| Ok(Value::Float(numbers::float(&args[0])))),
        ("sub", &[Any, Any], |args| Ok(Value::Int(numbers::int(&args[0]).wrapping_sub(numbers::int(&args[1]))))),
        ("div", &[Any, Any], |args| numbers::divide(args, i64::wrapping_div)),
        ("mod", &[Any, Any], |args| numbers::divide(args, i64::wrapping_rem)),
        ("ceil", &[Any], |args| Ok(Value::Float(numbers::float(&args[0]).ceil()))),
        ("floor", &[Any], |args| Ok(Value::Float(numbers::float(&args[0]).floor()))),
        ("toDate", &[Text, Text], functions::to_date),
        ("toDateInZone", &[Text, Text, Text], functions::to_date_in_zone),
        ("unixEpoch", &[Time], |args| functions::epoch(args, 1_000_000_000)),
        ("unixEpochMillis", &[Time], |args| functions::epoch(args, 1_000_000)),
        ("unixEpochNanos", &[Time], |args| functions::epoch(args, 1)),
        ("unixToTime", &[Text], functions::unix_to_time),
        ("not", &[Any], |args| Ok(Value::Bool(!args[0].is_true()))),
        ("len", &[Any], functions::len),
        ("ne", &[Any, Any], |args| Ok(Value::Bool(!functions::equal(&args[0], &args[1])?))),
        ("lt", &[Any, Any], |args| Ok(Value::Bool(functions::less(&args[0], &args[1])?))),
        ("gt", &[Any, Any], |args| Ok(Value::Bool(functions::less(&args[1], &args[0])?))),
        ("le", &[Any, Any], |args| Ok(Value::Bool(!functions::less(&args[1], &args[0])?))),
        ("ge", &[Any, Any], |args| Ok(Value::Bool(!functions::less(&args[0], &args[1])?))),
    ];
    let any_number: [(&str, &'static [Kind], Kind, Pure); 15] = [
        ("eq", &[Any, Any], Any, functions::any_equal),
        ("index", &[Any], Any, functions::index),
        ("slice", &[Any], Any, functions::slice),
        ("default", &[Any], Any, functions::default),
        ("add", &[], Any, |args| Ok(Value::Int(args.iter().map(numbers::int).fold(0, i64::wrapping_add)))),
        ("mul", &[Any], Any, |args| Ok(Value::Int(args.iter().map(numbers::int).fold(1, i64::wrapping_mul)))),
        ("max", &[Any], Any, |args| Ok(Value::Int(args.iter().map(numbers::int).fold(i64::MIN, i64::max)))),
        ("min", &[Any], Any, |args| Ok(Value::Int(args.iter().map(numbers::int).fold(i64::MAX, i64::min)))),
        ("maxf", &[Any], Any, |args| Ok(Value::Float(args.iter().map(numbers::float).fold(f64::NEG_INFINITY, f64::max)))),
        ("minf", &[Any], Any, |args| Ok(Value::Float(args.iter().map(numbers::float).fold(f64::INFINITY, f64::min)))),
        ("addf", &[], Any, numbers::add_decimals),
        ("subf", &[Any], Any, numbers::subtract_decimals),
        ("mulf", &[Any], Any, numbers::multiply_decimals),
        ("divf", &[Any], Any, numbers::divide_decimals),
        ("round", &[Any, Int], Float, numbers::round),
    ];
    let special: [(&str, &'static [Kind], Option<Kind>, Run); 15] = [
        ("__line__", &[], None, Run::Line),
        ("__timestamp__", &[], None, Run::Timestamp),
        ("now", &[], None, Run::Clock(|_, now| Ok(functions::time(now)))),
        ("date", &[Text, Any], None, Run::Clock(functions::date)),
        ("and", &[Any], Some(Any), Run::Shortcut { stops_at: false }),
        ("or", &[Any], Some(Any), Run::Shortcut { stops_at: true }),
        ("print", &[], Some(Any), Run::Print),
        ("println", &[], Some(Any), Run::Print),
        ("printf", &[Text], Some(Any), Run::Print),
        ("html", &[], Some(Any), Run::Print),
        ("js", &[], Some(Any), Run::Print),
        ("urlquery", &[], Some(Any), Run::Print),
        ("count", &[Text, Text], None, Run::Pattern(strings::count)),
        ("regexReplaceAll", &[Text, Text, Text], None, Run::Pattern(strings::regex_replace)),
        ("regexReplaceAllLiteral", &[Text, Text, Text], None, Run::Pattern(strings::regex_replace_literal)),
    ];
    let mut functions = HashMap::new();
    functions.extend(text.map(|(name, fixed, run)| (name, Signature { fixed, rest: None, run: Run::Pure(run) })));
    functions.extend(any_number.map(|(name, fixed, rest, run)| (name, Signature { fixed, rest: Some(rest), run: Run::Pure(run) })));
    functions.extend(special.map(|(name, fixed, rest, run)| (name, Signature { fixed, rest, run })));
    functions
});
