use super::super::extract::PutBuffers;
use super::super::pipeline::Hints;
use super::super::row::RowLabels;
use super::*;
use proptest::prelude::*;
use skald_model::Labels;

/// What a line comes to: its labels and its error.
fn parsed(line: &[u8], hints: &Hints, buffers: &mut JsonBuffers) -> (String, Result<(), &'static str>) {
    let mut row = RowLabels::default();
    row.begin(&Labels::from_pairs([("app", "web")]).expect("one label"));
    let result = extract(line, buffers, &mut Extractor::new(&mut row, hints, &mut PutBuffers::default()));
    (row.to_set(None).to_string(), result)
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("-2.5e3".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("tru".to_owned()),
        "\"[a-c\\\\,{}\\[\\] ]{0,40}\"",
        "\"é\\\\u00e9\\\\\"x\"",
        "[0-9]{1,12}",
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(("[abx]", inner), 0..3).prop_map(|all| {
                let members: Vec<String> = all.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// Lines that share most of their members, now and then spaced otherwise or broken.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let key =
        prop_oneof![Just("a"), Just("b"), Just("app"), Just("c d"), Just("1x"), Just(""), Just("\\u0061b"), Just("a_long_key_of_a_member")];
    let colon = prop_oneof![6 => Just(":"), 1 => Just(" : "), 1 => Just("")];
    let comma = prop_oneof![8 => Just(","), 1 => Just(" , "), 1 => Just(""), 1 => Just("}")];
    let members = proptest::collection::vec((key, colon, value(), comma), 0..6);
    (
        members,
        prop_oneof![4 => Just("{"), 1 => Just(" { ")],
        prop_oneof![4 => Just("}"), 1 => Just("")],
        any::<prop::sample::Index>(),
        0u8..8,
    )
        .prop_map(|(members, open, close, at, damage)| {
            let body: Vec<String> = members.iter().map(|(key, colon, value, comma)| format!("\"{key}\"{colon}{value}{comma}")).collect();
            let mut line = format!("{open}{}{close}", body.concat().trim_end_matches(',')).into_bytes();
            let at = at.index(line.len().max(1));
            match damage {
                0 => line.truncate(at),
                1 => line[at] = b'"',
                2 => line[at] = 0xff,
                _ => {}
            }
            line
        })
}

proptest! {
    #![proptest_config(skald_testkit::property(500))]

    #[test]
    fn lines_of_a_known_shape_read_like_the_first_of_its_kind(lines in proptest::collection::vec(line(), 1..12), required in 0usize..4) {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let required = [None, names(&["a"]), names(&["app", "b", "a_x"]), names(&["zz"])][required].clone();
        let hints = Hints { required, ..Hints::default() };
        let mut warm = JsonBuffers::default();
        for line in lines.iter().chain(&lines) {
            prop_assert_eq!(parsed(line, &hints, &mut warm), parsed(line, &hints, &mut JsonBuffers::default()), "{}", String::from_utf8_lossy(line));
        }
    }
}
