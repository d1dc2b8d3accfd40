use super::*;
use crate::stages::testing::{chain, parse_labels};

#[track_caller]
fn compile(yaml: &str) -> Relabel {
    let rules: Vec<RelabelConfig> = serde_saphyr::from_str(yaml).unwrap_or_else(|err| panic!("{yaml}: {err}"));
    Relabel::new(&rules).unwrap_or_else(|err| panic!("{yaml}: {}", chain(&err)))
}

/// What one rule makes of `labels`; "dropped" when it drops them.
#[track_caller]
fn check(rule: &str, labels: &str, want: &str) {
    let mut set = parse_labels(labels);
    let kept = compile(&format!("- {{{rule}}}")).apply(&mut set);
    let pairs: Vec<_> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(if kept { pairs.join(", ") } else { "dropped".to_owned() }, want, "{rule} on {labels}");
}

#[track_caller]
fn refused(yaml: &str, want: &str) {
    let text = match serde_saphyr::from_str::<Vec<RelabelConfig>>(yaml) {
        Err(err) => err.to_string(),
        Ok(rules) => chain(&Relabel::new(&rules).expect_err("rules that are wrong are refused")),
    };
    assert!(text.contains(want), "{yaml}: {text}");
}

#[test]
fn replace_sets_its_target_when_the_whole_value_matches() {
    check("source_labels: [a], target_label: b", "a=1", "a=1, b=1");
    check("source_labels: [a, c], target_label: b", "a=1, c=2", "a=1, b=1;2, c=2");
    check("source_labels: [a, none, c], separator: /, target_label: b", "a=1, c=2", "a=1, b=1//2, c=2");
    check("source_labels: [a], regex: (.)x, target_label: b", "a=1xx", "a=1xx");
    check("source_labels: [a], regex: '(.+)/(.+)', replacement: '${2}_$1', target_label: b", "a=x/y", "a=x/y, b=y_x");
    check("target_label: b, replacement: fixed", "a=1", "a=1, b=fixed");
    check("source_labels: [a], target_label: 'p_$1'", "a=x", "a=x, p_x=x");
    check("source_labels: [a], regex: '(\\d)+', target_label: b", "a=٣", "a=٣");
}

#[test]
fn replace_with_nothing_removes_its_target() {
    check("source_labels: [none], target_label: a", "a=1", "");
    check("target_label: a, replacement: ''", "a=1, b=2", "b=2");
}

#[test]
fn replace_skips_a_target_that_is_no_name() {
    check("source_labels: [a], target_label: '${1}'", "a=not-a-name", "a=not-a-name");
    check("source_labels: [a], target_label: '${1}'", "a=7up", "a=7up");
    check("source_labels: [none], target_label: '$1'", "a=1", "a=1");
}

#[test]
fn a_dot_matches_a_line_feed() {
    check("source_labels: [a], target_label: b, regex: 'x.y', replacement: ok", "a=x\ny", "a=x\ny, b=ok");
}

#[test]
fn keep_and_drop_decide_by_the_whole_value() {
    check("source_labels: [a], regex: x|y, action: keep", "a=y", "a=y");
    check("source_labels: [a], regex: x|y, action: keep", "a=yy", "dropped");
    check("source_labels: [none], regex: .+, action: Keep", "a=y", "dropped");
    check("source_labels: [a], regex: x|y, action: drop", "a=x", "dropped");
    check("source_labels: [a], regex: x|y, action: DROP", "a=xx", "a=xx");
}

#[test]
fn keepequal_and_dropequal_compare_with_the_target() {
    check("source_labels: [a], target_label: b, action: keepequal", "a=1, b=1", "a=1, b=1");
    check("source_labels: [a], target_label: b, action: keepequal", "a=1, b=2", "dropped");
    check("source_labels: [a], target_label: none, action: keepequal", "a=1", "dropped");
    check("source_labels: [a], target_label: b, action: dropequal", "a=1, b=1", "dropped");
    check("source_labels: [a, b], target_label: c, action: dropequal", "a=1, b=2, c=1", "a=1, b=2, c=1");
}

#[test]
fn hashmod_is_the_end_of_the_md5_sum() {
    // The sum of nothing is d41d8cd98f00b204e9800998ecf8427e, of "a" it is 0cc175b9c0f1b6a831c399e269772661.
    check(
        "source_labels: [none], target_label: b, modulus: 1000, action: hashmod",
        "a=1",
        &format!("a=1, b={}", 0xe980_0998_ecf8_427e_u64 % 1000),
    );
    check(
        "source_labels: [a], target_label: b, modulus: 18446744073709551615, action: hashmod",
        "a=a",
        &format!("a=a, b={}", 0x31c3_99e2_6977_2661_u64),
    );
}

#[test]
fn labelmap_copies_values_to_new_names() {
    check("regex: __meta_(.+), action: labelmap", "__meta_app=x, b=1", "__meta_app=x, app=x, b=1");
    check("regex: a(b+), replacement: 'c_$1', action: labelmap", "ab=1, abb=2, xab=3", "ab=1, abb=2, c_b=1, c_bb=2, xab=3");
    check("regex: a, replacement: aa, action: labelmap", "a=1, aa=2", "a=1, aa=1");
    check("regex: '[ab]', replacement: c, action: labelmap", "a=1, b=2", "a=1, b=2, c=2");
    check("regex: a, replacement: b, action: labelmap", "a=, b=2", "a=");
}

#[test]
fn labeldrop_and_labelkeep_go_by_names() {
    check("regex: a|b, action: labeldrop", "a=1, ab=2, b=3", "ab=2");
    check("regex: a.*, action: labelkeep", "a=1, ab=2, b=3", "a=1, ab=2");
}

#[test]
fn lowercase_and_uppercase_map_the_joined_value() {
    check("source_labels: [a, b], target_label: c, action: lowercase", "a=ÄX, b=Y", "a=ÄX, b=Y, c=äx;y");
    check("source_labels: [a], target_label: a, action: uppercase", "a=groß", "a=GROSS");
    check("source_labels: [none], target_label: a, action: lowercase", "a=1", "");
}

#[test]
fn rules_apply_in_order_and_end_at_a_drop() {
    let rules = compile(
        "- {source_labels: [a], target_label: b}\n- {source_labels: [b], regex: x, action: drop}\n- {target_label: c, replacement: c}",
    );
    let (mut dropped, mut kept) = (parse_labels("a=x"), parse_labels("a=y"));
    assert!(!rules.apply(&mut dropped));
    assert_eq!(dropped.to_string(), r#"{a="x", b="x"}"#);
    assert!(rules.apply(&mut kept));
    assert_eq!(kept.to_string(), r#"{a="y", b="y", c="c"}"#);
}

#[test]
fn options_without_a_value_have_their_defaults() {
    let yaml = "- source_labels: [a, b]\n  separator:\n  regex:\n  modulus:\n  replacement:\n  action:\n  target_label: c";
    let mut labels = parse_labels("a=1, b=2");
    assert!(compile(yaml).apply(&mut labels));
    assert_eq!(labels.to_string(), r#"{a="1", b="2", c="1;2"}"#);
    check("source_labels: [a], regex: 80, replacement: true, target_label: b", "a=80", "a=80, b=true");
}

#[test]
fn wrong_rules_are_refused_with_their_number() {
    refused("- {action: keep}\n- {action: explode}", "relabel rule 2: unknown action \"explode\"");
    refused("- {source_labels: [a]}", "relabel rule 1: action replace needs a target_label");
    refused("- {target_label: a-b}", "\"a-b\" cannot be the target_label of action replace");
    refused("- {target_label: '$1x', action: lowercase}", "\"$1x\" cannot be the target_label of action lowercase");
    refused("- {target_label: a, action: hashmod}", "needs a modulus above 0");
    refused("- {modulus: 3, action: hashmod}", "action hashmod needs a target_label");
    refused("- {regex: a, source_labels: [b], action: labeldrop}", "action labeldrop takes no source_labels");
    refused("- {regex: a, replacement: b, action: labelkeep}", "action labelkeep takes no replacement");
    refused("- {regex: a, source_labels: [b], target_label: c, action: keepequal}", "action keepequal takes no regex");
    refused("- {regex: a, replacement: b-c, action: labelmap}", "\"b-c\" cannot be the replacement of action labelmap");
    refused("- {regex: '(', action: keep}", "missing closing )");
    refused("- {action: keep, colour: red}", "colour");
    refused("- {action: keep, source_labels: a}", "line 1");
}
