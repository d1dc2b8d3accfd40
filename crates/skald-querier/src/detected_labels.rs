//! Which labels are of use to people who look for streams.

use std::collections::{BTreeMap, HashSet};

/// Labels that are always of use.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// A label and the number of its values.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct DetectedLabel {
    label: String,
    cardinality: usize,
}

/// The labels in name order, without those that only number things: all of whose values are numbers or UUIDs.
pub(crate) fn detect(labels: BTreeMap<String, HashSet<String>>, hidden: &[&str]) -> Vec<DetectedLabel> {
    let useful = |name: &str, values: &HashSet<String>| !hidden.contains(&name) && (ALWAYS.contains(&name) || !are_numbering(values));
    let detected = labels.into_iter().filter(|(name, values)| useful(name, values));
    detected.map(|(label, values)| DetectedLabel { label, cardinality: values.len() }).collect()
}

/// Whether values tell nothing by themselves. A switch, of `0` and `1`, does.
fn are_numbering(values: &HashSet<String>) -> bool {
    let is_switch = values.iter().all(|value| matches!(value.as_str(), "0" | "1"));
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
        let values_of: HashSet<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let found = detect([(name.to_owned(), values_of)].into(), &["hidden"]);
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
