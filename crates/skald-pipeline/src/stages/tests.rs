use super::testing::{refused, stages};

#[test]
fn a_stage_is_one_name_with_its_options() {
    let names: Vec<_> = stages("- decolorize:\n- output: {source: a}\n- decolorize: {}").iter().map(|stage| stage.name()).collect();
    assert_eq!(names, ["decolorize", "output", "decolorize"]);
    refused("- colour: {}", "unknown stage type: \"colour\"");
    refused("- output: {source: a}\n  decolorize:", "two names, \"output\" and \"decolorize\"");
    refused("- {}", "a stage has no name");
    refused("- output", "expected mapping start");
    refused("- output: [a]", "line 1");
}

#[test]
fn a_stage_is_written_as_it_is_read() {
    let text = "- decolorize:\n- output: {source: a}";
    let written = serde_saphyr::to_string(&stages(text)).expect("stages can be written");
    assert_eq!(stages(&written), stages(text), "{written}");
}
