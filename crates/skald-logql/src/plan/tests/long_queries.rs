//! Queries as long as queries may be, of every shape: planning takes a part of a second each, however they are made.

use super::*;
use crate::parse::TEXT_BYTES_MAX;

const S: &str = "{job=\"web\"}";
/// Leaves room for what stands around a long part.
const LONG: usize = TEXT_BYTES_MAX - 1_000;

fn repeated(part: &str) -> String {
    part.repeat(LONG / part.len())
}

/// Parts that differ in a number.
fn numbered(part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        let next = part(at);
        if text.len() + next.len() > LONG {
            break;
        }
        text += &next;
    }
    text
}

#[track_caller]
fn check(text: &str) {
    let expr = crate::parse(text).unwrap_or_else(|error| panic!("{error:.200}: {text:.80}…"));
    plan(&expr, &params()).unwrap_or_else(|error| panic!("{error:.200}: {text:.80}…"));
}

#[track_caller]
fn check_refused(text: &str, want: &str) {
    let error = match crate::parse(text) {
        Err(error) => error.to_string(),
        Ok(expr) => plan(&expr, &params()).expect_err("it is refused").to_string(),
    };
    assert!(error.contains(want), "{error:.200}: {text:.80}…");
}

#[test]
fn line_filters() {
    let (y, half) = (repeated("y"), "y".repeat(LONG / 2));
    check(&format!("{S} |= `x` or `{y}`"));
    check(&format!("{S} |= `{half}` or `{}`", &half[1..]));
    check(&format!("{S}{}", repeated(&format!(" |= `x` or `{}`", &y[..700]))));
    check(&format!("{S} |= `a`{}", numbered(|at| format!(" or `{at}`"))));
    check(&format!("{S} |= `a`{}", repeated(" or ip(`10.0.0.0/8`)")));
    check(&format!("{S} |~ `(xx|{y}).x`"));
    check(&format!("{S} |~ `(?i){y}`"));
    check(&format!("{S} |~ `x{}`", numbered(|at| format!("|{at}"))));
    check(&format!("{S} |> `{}`", repeated("<_>a")));
}

#[test]
fn label_filters() {
    check(&format!("{S} | json | a=~`x{}`", numbered(|at| format!("|{at}xx"))));
    check(&format!("{S} | json{}", numbered(|at| format!(" | a{at}=`xx`"))));
    check(&format!("sum(count_over_time({S} | json{}[1m]))", numbered(|at| format!(" | a{at}=`xx`"))));
    check(&format!("sum(sum_over_time({S} | json | unwrap a{}[1m]))", numbered(|at| format!(" | a{at}=`xx`"))));
    let (parsers, filters) = (repeated(" | json"), numbered(|at| format!(" | a{at}=`xx`")));
    check(&format!(
        "sum(count_over_time({S}{}{}[1m]))",
        &parsers[..LONG / 14 * 7],
        &filters[..filters[..LONG / 2].rfind(" |").unwrap_or(0)]
    ));
}

#[test]
fn names() {
    let names = &numbered(|at| format!("a{at},"))[..];
    let names = names.trim_end_matches(',');
    check(&format!("sum by ({names}) (count_over_time({S} | json [1m]))"));
    check(&format!("sum without ({names}) (count_over_time({S} | json [1m]))"));
    check(&format!("{S} | drop {names}"));
    check(&format!("{S} | label_format {}z=b", numbered(|at| format!("a{at}=b,"))));
    check(&format!("absent_over_time({{{}z=\"x\"}}[1m])", numbered(|at| format!("a{at}=\"x\","))));
}

#[test]
fn templates() {
    check(&format!("{S} | line_format `{}`", numbered(|at| format!("{{{{.a{at}}}}}"))));
    check(&format!("{S} | label_format {}z=b", numbered(|at| format!("a{at}=`{{{{.b{at}}}}}`,"))));
}

#[test]
fn regular_expressions_that_are_too_large_together_are_refused() {
    let large = "expression too large";
    check(&format!("{S}{}", " |~ `(.{30}){30}`".repeat(48)));
    check_refused(&format!("{S}{}", " |~ `(.{30}){30}`".repeat(49)), large);
    check(&format!("{S}{}", " |~ `a.b`".repeat(1_800)));
    for (before, part, after) in [
        (S, " |~ `a.b`", ""),
        ("{a=`b`} |~ `x.y`", " or `.{900}`", ""),
        ("{a=~`.{900}`", ",a=~`.{900}`", "}"),
        (S, " | regexp `(?P<a>.{900})`", ""),
        ("{a=`b`} | json", " | a=~`xx.y`", ""),
        ("{a=`b`} | keep b", ",b=~`.{900}`", ""),
    ] {
        check_refused(&format!("{before}{}{after}", repeated(part)), large);
    }
}

#[test]
fn patterns_in_templates_that_are_too_large_together_are_refused() {
    let too_large = "the patterns in the templates of the query are too large together";
    let stage = " | line_format `{{regexReplaceAll \".{900}\" .a \"\"}}`";
    check(&format!("{S}{}", stage.repeat(40)));
    check_refused(&format!("{S}{}", repeated(stage)), too_large);
    // The line decides, so that the stages count.
    let leaf = format!("bytes_over_time({S}{}[1m])", stage.repeat(30));
    check(&leaf);
    check_refused(&format!("{leaf} + {leaf}"), too_large);
}
