use super::super::extract::PutBuffers;
use super::super::pipeline::Hints;
use super::super::row::RowLabels;
use super::*;
use proptest::prelude::*;
use skald_model::Labels;

/// What a line comes to: its labels and its error.
fn parsed(line: &[u8], options: LogfmtOptions, hints: &Hints, buffers: &mut LogfmtBuffers) -> (String, Result<(), String>) {
    let mut row = RowLabels::default();
    row.begin(&Labels::from_pairs([("app", "web")]).expect("one label"));
    let result = extract(line, options, buffers, &mut Extractor::new(&mut row, hints, &mut PutBuffers::default()));
    (row.to_set(None).to_string(), result)
}

#[test]
fn pairs_end_at_blanks_and_quotes() {
    let options = LogfmtOptions { strict: false, keep_empty: false };
    let check = |line: &str, want: &str| {
        assert_eq!(parsed(line.as_bytes(), options, &Hints::default(), &mut LogfmtBuffers::default()).0, want, "{line}");
    };
    check(r#"a=1 b="x y"c=3 d"#, r#"{a="1", app="web", b="x y", c="3"}"#);
    check(r#"a=1=2 b=3 "c=4 e="x\"y" f="z"#, r#"{app="web", b="3", e="x\"y"}"#);
    check("app=x 1k=v k-\u{e9}=w", r#"{_1k="v", app="web", app_extracted="x", k__="w"}"#);
}

#[test]
fn written_pairs_keep_their_keys_and_leave_out_what_is_wrong() {
    let mut pairs = Vec::new();
    let line = r#"k-é=1 =x "y b="q \"r\"" flag c="\z" 1k="" d=e=f g=h"#;
    logfmt_pairs(line, &mut Vec::new(), |key, value| pairs.push(format!("{key}:{value}")));
    assert_eq!(pairs, ["k-é:1", "b:q \"r\"", "flag:", "1k:", "g:h"]);
}

proptest! {
    #![proptest_config(skald_testkit::property(500))]

    #[test]
    fn lines_of_a_known_shape_read_like_the_first_of_its_kind(
        lines in proptest::collection::vec(r#"(([ab]|app|k-é|1x|\x00)(=|=|=|==|)([ab1 ]{0,12}|"[a \\n]{0,12}"|"|\u{fffd})( |  |))*"#, 1..8),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 8),
        required in 0usize..3, strict: bool, keep_empty: bool,
    ) {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let hints = Hints { required: [None, names(&["a"]), names(&["app", "b", "_1x"])][required].clone(), ..Hints::default() };
        let options = LogfmtOptions { strict, keep_empty };
        let mut lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
        for (line, (at, byte, kind)) in lines.iter_mut().zip(damage) {
            if kind == 0 && !line.is_empty() {
                let at = at.index(line.len());
                line[at] = byte;
            }
        }
        let mut warm = LogfmtBuffers::default();
        for line in lines.iter().chain(&lines) {
            let fresh = parsed(line, options, &hints, &mut LogfmtBuffers::default());
            prop_assert_eq!(parsed(line, options, &hints, &mut warm), fresh, "{}", String::from_utf8_lossy(line));
        }
    }
}
