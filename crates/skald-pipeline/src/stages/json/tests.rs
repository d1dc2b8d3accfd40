use super::*;
use crate::stages::testing::{Bench, check, refused};
use proptest::prelude::*;

/// What expressions give of a text, each as `name=value`, nulls left out; `malformed` when it is no object.
fn extract(expressions: &[(&str, &str)], text: &str) -> String {
    let parsed: Vec<_> = expressions.iter().map(|(name, path)| parse(name, Some(path)).expect("is a path")).collect();
    let (names, expressions): (Vec<Text>, Vec<Ast>) = parsed.into_iter().unzip();
    let query = match expressions.iter().map(member_path).collect::<Option<Vec<_>>>() {
        Some(paths) => Query::Paths(Paths::new(&paths)),
        None => Query::Expressions(expressions),
    };
    let shared = Shared { names, query };
    let mut values = vec![Value::Null; shared.names.len()];
    match shared.find(text, &mut values) {
        None => "malformed".to_owned(),
        Some(()) => {
            let shown = |(name, value): (&Text, &Value)| Some(format!("{name}={}", value.text()?));
            shared.names.iter().zip(&values).filter_map(shown).collect::<Vec<_>>().join(" ")
        }
    }
}

/// By paths, and by the same paths beside an expression that has the whole object built.
#[track_caller]
fn check_both(paths: &[(&str, &str)], text: &str, want: &str) {
    assert_eq!(extract(paths, text), want, "{text}");
    let beside: Vec<_> = paths.iter().copied().chain([("z", "nothing[0]")]).collect();
    assert_eq!(extract(&beside, text), want, "{text}, built");
}

#[test]
fn members_are_found_by_their_paths() {
    let paths = [("a", "a"), ("b", "o.b"), ("c", "o.p.c"), ("o", "o.p"), ("q", r#""k-é"."x.y""#)];
    check_both(
        &paths,
        r#"{"a":"x\né","o":{"b":1.50,"p":{"d":[],"c":true}},"k-é":{"x.y":"q"}}"#,
        r#"a=x
é b=1.5 c=true o={"c":true,"d":[]} q=q"#,
    );
    check_both(&paths, r#"{"a":null,"o":[1],"k-é":"s"}"#, "");
    check_both(&paths, r#" {"a":{"z":1.0,"y":[1e3,"<",12345678901234567890]}} "#, r#"a={"y":[1000,"<",12345678901234567890],"z":1}"#);
    check_both(&paths, r#"{"o":{"b":1,"p":{"c":2}},"o":{"b":3}}"#, "b=3");
    check_both(&paths, r#"{"a":1,"\u0061":-0.25}"#, "a=-0.25");
    check_both(&[("n", "n")], r#"{"n":12345678901234567890}"#, "n=12345678901234567000");
    check_both(&[("n", "n")], r#"{"n":1e-7}"#, "n=0.0000001");
    check_both(&paths, r#"{"a":"cut \ud83d","o":{"b":"\ud83d\ude00"}}"#, "a=cut \u{fffd} b=😀");
}

#[test]
fn what_is_no_object_is_malformed() {
    for text in [
        "",
        "x",
        "[1]",
        "1",
        "null",
        "\"a\"",
        "{",
        r#"{"a":1"#,
        r#"{"a":1,}"#,
        r#"{"a":1} x"#,
        r#"{"b":tru}"#,
        r#"{"b":"\x"}"#,
        r#"{"a" 1}"#,
        r#"{1:2}"#,
    ] {
        check_both(&[("a", "a")], text, "malformed");
    }
}

#[test]
fn expressions_are_jmespath() {
    let line = r#"{"items":[{"n":"a","v":1},{"n":"b","v":2}],"s":"x,y","o":{"k":"v"}}"#;
    let all = [
        ("f", "items[0].n"),
        ("l", "items[-1].n"),
        ("w", "items[?v > `1`].n | [0]"),
        ("p", "items[*].v"),
        ("j", "join('-', items[*].n)"),
        ("h", "{x: s}"),
        ("e", "length(o.k) == `1`"),
        ("bad", "join('-', s)"),
    ];
    assert_eq!(extract(&all, line), r#"f=a l=b w=b p=[1,2] j=a-b h={"x":"x,y"} e=true"#);
}

#[test]
fn values_go_into_the_map_and_malformed_lines_pass_or_are_dropped() {
    let yaml = |drop: &str| format!("[{{json: {{expressions: {{app: , level: lvl, n: ''}}{drop}}}}}, {{labels: {{app: , level: , n: }}}}]");
    check(
        &yaml(""),
        &[r#"{"lvl":"warn","n":5.0}"#, r#"{app=web} {"lvl":"x"}"#, "{app=web} text"],
        &[r#"{level="warn", n="5"} {"lvl":"warn","n":5.0}"#, r#"{app="web", level="x"} {"lvl":"x"}"#, r#"{app="web"} text"#],
    );
    let mut bench = Bench::new(&yaml(", drop_malformed: true"));
    assert_eq!(bench.push("text").len() + bench.push("[]").len(), 0);
    assert_eq!(bench.push("{}").len(), 1);
    assert_eq!(bench.dropped(), ["malformed_json:2"]);
}

#[test]
fn a_value_can_be_read_instead_of_the_line() {
    check(
        "[{json: {expressions: {inner: }}}, {json: {expressions: {a: }, source: inner, drop_malformed: true}}, {output: {source: a}}]",
        &[r#"{"inner":"{\"a\":\"deep\"}"}"#, r#"{"inner":{"a":7}}"#, r#"{"inner":null}"#, r#"{"inner":"x"}"#],
        &["{} deep", "{} 7", r#"{} {"inner":null}"#],
    );
}

#[test]
fn wrong_options_are_refused() {
    refused("- json:", "stage 1 (json): option expressions is required");
    refused("- json: {expressions: {a: 'b.['}}", "stage 1 (json): option expressions: a: \"b.[\" is no JMESPath");
    refused("- json: {expressions: {foo-bar: }}", "is no JMESPath");
    refused("- json: {expressions: {a: }, source: ''}", "option source: may be left out, but not be empty");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e6f64..1e6).prop_map(Into::into),
        "[a-c\"\\\\é\n]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec(("[abcé]", inner), 0..4).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The text of what a path leads to in a tree.
fn by_tree(tree: &serde_json::Value, path: &[String]) -> Option<String> {
    match path.iter().try_fold(tree, |value, name| value.as_object()?.get(name))? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(value) => Some(value.to_string()),
        serde_json::Value::Number(number) => number.as_f64().map(|number| number.to_string()),
        composed => Some(composed.to_string()),
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(400))]

    #[test]
    fn paths_find_what_the_tree_holds(tree in json(), path in proptest::collection::vec("[abcé]", 1..4), other in "[abc]", cut in any::<prop::sample::Index>()) {
        let text = tree.to_string();
        let expression = path.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(".");
        let paths = [("v", expression.as_str()), ("other", &other)];
        let found = extract(&paths[..1], &text);
        match by_tree(&tree, &path) {
            _ if !tree.is_object() => prop_assert_eq!(&found, "malformed"),
            None => prop_assert_eq!(&found, ""),
            Some(want) => {
                let got = found.strip_prefix("v=").expect("there is a value");
                let same = got == want || serde_json::from_str::<serde_json::Value>(got).ok().map(sorted) == serde_json::from_str(&want).ok().map(sorted);
                prop_assert!(same, "{} is not {}", got, want);
            }
        }
        let beside = [paths[0], paths[1], ("z", "nothing[0]")];
        prop_assert_eq!(extract(&paths, &text), extract(&beside, &text));
        let cut = text.char_indices().nth(cut.index(text.chars().count())).map_or(0, |(at, _)| at);
        prop_assert_eq!(extract(&paths, &text[..cut]), extract(&beside, &text[..cut]));
    }
}

/// Whole numbers are one, however they are written.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) => number.as_f64().into(),
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        serde_json::Value::Object(members) => members.into_iter().map(|(name, value)| (name, sorted(value))).collect(),
        other => other,
    }
}
