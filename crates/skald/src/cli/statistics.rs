//! The cost of a query, for people.

use serde_json::Value;
use std::fmt::Write;

/// Every figure of the statistics object on a line of its own behind its path, sections first that are nearest to the data.
pub fn render(stats: &Value) -> String {
    let mut rows = Vec::new();
    for section in ["ingester", "querier", "cache", "index", "summary"] {
        flatten(&capitalized(section), &stats[section], &mut rows);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "{name:width$}\t{value}");
        out
    })
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| flatten(&format!("{name}.{}", capitalized(key)), value, rows)),
        Value::Null => {}
        value => rows.push((name.to_owned(), value.to_string())),
    }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_behind_their_path() {
        let stats = serde_json::json!({"summary": {"execTime": 0.5}, "querier": {"store": {"chunk": {"totalDuplicates": 3}}}});
        assert_eq!(render(&stats), "Querier.Store.Chunk.TotalDuplicates\t3\nSummary.ExecTime                   \t0.5\n");
        assert_eq!(render(&Value::Null), "");
    }
}
