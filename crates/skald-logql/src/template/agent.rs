//! The functions that templates of an agent have and those of LogQL lack, or that do something else there.
//!
//! The lower-case ones take their subject last, for pipes. What looks outside (the environment, the network, random numbers, keys) is left out.

use super::functions::{text, time_of};
use super::signature::{Kind, Pure, Run, Signature};
use super::value::Value;
use super::{agent_lists as lists, agent_texts as texts, numbers, strings};
use crate::units::{format_go_duration, parse_go_duration};
use std::collections::HashMap;
use std::sync::LazyLock;

type Given<'a> = &'a [Value];
type Got = Result<Value, String>;

/// The layout of a date in a form of HTML.
const HTML_DATE: &str = "2006-01-02";

pub(super) static FUNCTIONS: LazyLock<HashMap<&'static str, Signature>> = LazyLock::new(|| {
    use Kind::{Any, Int, Text, Time};
    let fixed: [(&str, &'static [Kind], Pure); 52] = [
        ("Hash", &[Text, Text], texts::sha3),
        ("Sha2Hash", &[Text, Text], texts::sha2),
        ("sha256sum", &[Text], |args| texts::sha2(&[Value::text(""), args[0].clone()])),
        ("adler32sum", &[Text], texts::adler32),
        ("nospace", &[Text], texts::no_space),
        ("swapcase", &[Text], texts::swap_case),
        ("untitle", &[Text], texts::untitle),
        ("initials", &[Text], texts::initials),
        ("snakecase", &[Text], |args| Ok(texts::joined_words(text(&args[0]), '_'))),
        ("kebabcase", &[Text], |args| Ok(texts::joined_words(text(&args[0]), '-'))),
        ("camelcase", &[Text], texts::camel_case),
        ("abbrev", &[Int, Text], texts::abbreviated),
        ("wrap", &[Int, Text], texts::wrapped),
        ("plural", &[Text, Text, Int], |args| Ok(if numbers::int(&args[2]) == 1 { args[0].clone() } else { args[1].clone() })),
        ("trimall", &[Text, Text], |args| strings::trim_set(&[args[1].clone(), args[0].clone()])),
        ("regexQuoteMeta", &[Text], texts::quote_meta),
        ("toString", &[Any], |args| Ok(Value::text(&args[0].to_string()))),
        ("int64", &[Any], |args| Ok(Value::Int(numbers::int(&args[0])))),
        ("atoi", &[Text], |args| Ok(Value::Int(text(&args[0]).parse().unwrap_or(0)))),
        ("toDecimal", &[Any], |args| Ok(Value::Int(i64::from_str_radix(&args[0].to_string(), 8).unwrap_or(0)))),
        ("add1", &[Any], |args| Ok(Value::Int(numbers::int(&args[0]).wrapping_add(1)))),
        ("ternary", &[Any, Any, Any], |args| Ok(args[usize::from(!args[2].is_true())].clone())),
        ("empty", &[Any], |args| Ok(Value::Bool(!args[0].is_true()))),
        ("fail", &[Text], |args| Err(text(&args[0]).to_owned())),
        ("kindOf", &[Any], |args| Ok(Value::text(kind(&args[0])))),
        ("kindIs", &[Text, Any], |args| Ok(Value::Bool(kind(&args[1]) == text(&args[0])))),
        ("typeOf", &[Any], |args| Ok(Value::text(args[0].type_name()))),
        ("typeIs", &[Text, Any], |args| Ok(Value::Bool(args[1].type_name() == text(&args[0])))),
        ("duration", &[Any], |args| Ok(Value::text(&format_go_duration(numbers::int(&args[0]).saturating_mul(1_000_000_000))))),
        ("dateModify", &[Text, Time], modified),
        ("date_modify", &[Text, Time], modified),
        ("toJson", &[Any], |args| lists::json(&args[0], lists::Json::Escaped)),
        ("toRawJson", &[Any], |args| lists::json(&args[0], lists::Json::Raw)),
        ("toPrettyJson", &[Any], |args| lists::json(&args[0], lists::Json::Pretty)),
        ("mustToJson", &[Any], |args| lists::json(&args[0], lists::Json::Escaped)),
        ("mustToRawJson", &[Any], |args| lists::json(&args[0], lists::Json::Raw)),
        ("mustFromJson", &[Text], lists::must_from_json),
        ("splitList", &[Text, Text], lists::split),
        ("split", &[Text, Text], |args| lists::split_map(&args[0], &args[1], usize::MAX)),
        ("splitn", &[Text, Int, Text], |args| {
            lists::split_map(&args[0], &args[2], usize::try_from(numbers::int(&args[1])).unwrap_or(usize::MAX))
        }),
        ("join", &[Text, Any], lists::join),
        ("sortAlpha", &[Any], lists::sorted),
        ("first", &[Any], |args| lists::end(&args[0], true)),
        ("last", &[Any], |args| lists::end(&args[0], false)),
        ("rest", &[Any], |args| lists::without_end(&args[0], true)),
        ("initial", &[Any], |args| lists::without_end(&args[0], false)),
        ("reverse", &[Any], lists::reversed),
        ("uniq", &[Any], lists::unique),
        ("has", &[Any, Any], lists::has),
        ("until", &[Int], lists::until),
        ("get", &[Any, Text], |args| args[0].member(text(&args[1])).or(Ok(Value::text("")))),
        ("hasKey", &[Any, Text], |args| Ok(Value::Bool(matches!(&args[0], Value::Map(map) if map.members.contains_key(text(&args[1])))))),
    ];
    let any_number: [(&str, &'static [Kind], Pure); 10] = [
        ("quote", &[], |args| texts::quoted(args, '"')),
        ("squote", &[], |args| texts::quoted(args, '\'')),
        ("cat", &[], texts::cat),
        ("coalesce", &[], |args| Ok(args.iter().find(|value| value.is_true()).cloned().unwrap_or(Value::Nil))),
        ("all", &[], |args| Ok(Value::Bool(args.iter().all(Value::is_true)))),
        ("any", &[], |args| Ok(Value::Bool(args.iter().any(Value::is_true)))),
        ("biggest", &[Any], |args| Ok(Value::Int(args.iter().map(numbers::int).fold(i64::MIN, i64::max)))),
        ("list", &[], lists::list),
        ("dict", &[], lists::dict),
        ("without", &[Any], lists::without),
    ];
    let special: [(&str, &'static [Kind], Run); 13] = [
        ("dateInZone", &[Text, Any, Text], Run::Clock(date_in_zone)),
        ("date_in_zone", &[Text, Any, Text], Run::Clock(date_in_zone)),
        ("htmlDate", &[Any], Run::Clock(|args, now| Ok(Value::text(&time_of(&args[0], now).format(HTML_DATE))))),
        (
            "htmlDateInZone",
            &[Any, Text],
            Run::Clock(|args, now| date_in_zone(&[Value::text(HTML_DATE), args[0].clone(), args[1].clone()], now)),
        ),
        ("ago", &[Any], Run::Clock(ago)),
        ("regexMatch", &[Text, Text], Run::Pattern(texts::regex_match)),
        ("mustRegexMatch", &[Text, Text], Run::Pattern(texts::regex_match)),
        ("regexFind", &[Text, Text], Run::Pattern(texts::regex_find)),
        ("mustRegexFind", &[Text, Text], Run::Pattern(texts::regex_find)),
        ("regexFindAll", &[Text, Text, Int], Run::Pattern(lists::regex_find_all)),
        ("regexSplit", &[Text, Text, Int], Run::Pattern(lists::regex_split)),
        ("mustRegexReplaceAll", &[Text, Text, Text], Run::Pattern(strings::regex_replace)),
        ("mustRegexReplaceAllLiteral", &[Text, Text, Text], Run::Pattern(strings::regex_replace_literal)),
    ];
    let mut functions = HashMap::new();
    functions.extend(fixed.map(|(name, fixed, run)| (name, Signature { fixed, rest: None, run: Run::Pure(run) })));
    functions.extend(any_number.map(|(name, fixed, run)| (name, Signature { fixed, rest: Some(Any), run: Run::Pure(run) })));
    functions.extend(special.map(|(name, fixed, run)| (name, Signature { fixed, rest: None, run })));
    functions
});

/// What Go's reflection calls the kind of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::Time(_) => "struct",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
    }
}

fn date_in_zone(args: Given<'_>, now: i64) -> Got {
    Ok(Value::text(&time_of(&args[1], now).in_zone(text(&args[2])).format(text(&args[0]))))
}

/// A time later, or earlier, by a duration; a text that is none changes nothing.
fn modified(args: Given<'_>) -> Got {
    let Value::Time(time) = &args[1] else { return Err("not a time".to_owned()) };
    Ok(Value::Time(time.plus(parse_go_duration(text(&args[0])).unwrap_or(0))))
}

/// How long ago a time was, in whole seconds.
fn ago(args: Given<'_>, now: i64) -> Got {
    let passed = (i128::from(now) - time_of(&args[0], now).nanos()).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    Ok(Value::text(&format_go_duration(passed - passed % 1_000_000_000)))
}
