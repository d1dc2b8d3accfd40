use crate::ast::{LabelFilter, Matcher, Stage};
use crate::ast::{LineFilter, LineOp, LineOperand, MatchOp};

#[test]
fn a_pattern_that_is_compiled_is_printed_raw_unless_it_holds_a_backquote() {
    let filter = |op, value: &str| LabelFilter::Text(Matcher { name: "c".to_owned(), op, value: value.to_owned() }).to_string();
    for (op, value, want) in [
        (MatchOp::Regex, "z|w", "c=~`z|w`"),
        (MatchOp::Regex, "a`z|w", "c=~\"a`z|w\""),
        (MatchOp::Regex, "x.*", "c=~\"x.*\""),
        (MatchOp::NotRegex, "y+", "c!~\"y+\""),
        (MatchOp::Equal, "z|w", "c=\"z|w\""),
    ] {
        assert_eq!(filter(op, value), want);
    }
}

#[test]
fn one_stage_prints_as_it_stands_in_a_query() {
    let operands = vec![LineOperand::Text("a\"b".to_owned()), LineOperand::Ip("::1".to_owned())];
    assert_eq!(Stage::LineFilter(LineFilter { op: LineOp::Contains, operands }).to_string(), r#"|= "a\"b" or ip("::1")"#);
}
