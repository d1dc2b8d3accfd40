//! Which labels are of use to people who look for streams.

use skald_model::Labels;
use std::collections::{BTreeMap, HashSet};

/// Labels that are always of use.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// A label and the number of its values.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct DetectedLabel {
    label: String,
    cardinality: usize,
}

/// The labels of `streams` in name order, without those that only number things: all of whose values are numbers or UUIDs.
pub(crate) fn detect<'a>(streams: impl IntoIterator<Item = &'a Labels>, hidden: &[&str]) -> Vec<DetectedLabel> {
    let mut values: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for (name, value) in streams.into_iter().flat_map(Labels::iter) {
        values.entry(name).or_default().insert(value);
    }
    let useful = |name: &str, values: &HashSet<&str>| !hidden.contains(&name) && (ALWAYS.contains(&name) || !are_numbering(values));
    let detected = values.into_iter().filter(|(name, values)| useful(name, values));
    detected.map(|(name, values)| DetectedLabel { label: name.to_owned(), cardinality: values.len() }).collect()
}

/// Whether values tell nothing by themselves. A switch, of `0` and `1`, does.
fn are_numbering(values: &HashSet<&str>) -> bool {
    let is_switch = values.iter().all(|value| matches!(*value, "0" | "1"));
    !is_switch && values.iter().all(|value| value.parse::<f64>().is_ok() || is_uuid(value))
}

/// 32 hexadecimal digits, bare or in groups of 8, 4, 4, 4 and 12.
fn is_uuid(text: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.len() {
        32 => hexadecimal(text),
        36 => text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(hexadecimal),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, values: &[&str], want: Option<usize>) {
        let streams: Vec<Labels> = values.iter().map(|value| Labels::from_pairs([(name, *value)]).expect("one label")).collect();
        let found = detect(&streams, &["hidden"]);
        assert_eq!(found.first().map(|label| label.cardinality), want, "{name} {values:?}");
    }

    #[test]
    fn labels_that_only_number_things_are_left_out() {
        check("app", &["a", "b", "a"], Some(2));
        check("num", &["1", "2.5", "-3e2"], None);
        check("num", &["1", "x"], Some(2));
        check("id", &["123e4567-e89b-12d3-a456-426614174000", "7"], None);
        check("id", &["123e4567-e89b-12d3-a456-42661417400g"], Some(1));
        check("switch", &["0", "1"], Some(2));
        check("switch", &["1"], Some(1));
        check("switch", &["0", "1", "2"], None);
        for name in ALWAYS {
            check(name, &["1", "2"], Some(2));
        }
        check("hidden", &["a"], None);
    }
}
