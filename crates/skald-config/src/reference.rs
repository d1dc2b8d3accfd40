use crate::Config;
use crate::render::json;
use crate::setting::{Key, Kind, keys_of};
use serde_json::Value;
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Configuration

<!-- Rendered from the doc comments of skald-config; do not edit. `SKALD_WRITE_REFERENCE=1 cargo test -p skald-config reference` renders it again. -->

Values come from the defaults, then the YAML file, then the environment, then flags; the later one wins. A variable is the key in capitals after `SKALD_`,
with `__` between levels: `server.http_listen_port` is `SKALD_SERVER__HTTP_LISTEN_PORT`. Keys that Loki has mean what they mean there.

Unknown keys and wrong values are refused, each with its place in the file. `skald config` prints the configuration in force; a running process does
so at `/config`, `/config?mode=diff` (what differs from the defaults) and `/config?mode=defaults`.

Sizes are written `256KB`, `1GB` or `64MiB` (all powers of 1024) or as a number of bytes, durations `30s`, `1h30m`, `7d` or `1w`. Defaults that are shares of
`memory_limit` are shown for 4GB.
";

/// The Markdown of `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    write_section(&mut out, "", "", &keys_of::<Config>(), &json(&Config::default()));
    out
}

/// A table of the section's values, then the sections in it.
fn write_section(out: &mut String, path: &str, doc: &str, keys: &[Key], defaults: &Value) {
    if !path.is_empty() {
        write!(out, "\n## `{path}`\n\n{}\n", paragraph(doc)).expect("writing to a string succeeds");
    }
    let mut header = Some("\n| key | takes | default | |\n|---|---|---|---|\n");
    for key in keys {
        if let Kind::Value { expected, .. } = key.kind {
            out.push_str(header.take().unwrap_or_default());
            let default = default_text(&defaults[key.name]);
            writeln!(out, "| `{}` | {expected} | {default} | {} |", key.name, paragraph(key.doc)).expect("writing to a string succeeds");
        }
    }
    for key in keys {
        if let Kind::Section { doc, keys } = key.kind {
            let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
            write_section(out, &path, doc, &keys(), &defaults[key.name]);
        }
    }
}

fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace("a|b", "a\\|b")
}

fn default_text(value: &Value) -> String {
    match value {
        Value::Null => "unset".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        Value::Array(items) => items.iter().map(default_text).collect::<Vec<_>>().join(", "),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the reference is a file of the repository")]
    fn reference_in_docs_is_rendered_from_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("SKALD_WRITE_REFERENCE").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().expect("it lies in a directory")).expect("docs can be made");
            std::fs::write(path, reference()).expect("the reference can be written");
        }
        let written = std::fs::read_to_string(path).expect("docs/configuration.md is there");
        assert!(written == reference(), "docs/configuration.md is stale: run with SKALD_WRITE_REFERENCE=1");
    }

    #[test]
    fn there_are_at_most_sixty_keys_beside_the_limits_and_each_is_documented() {
        fn count(keys: &[Key]) -> usize {
            keys.iter()
                .map(|key| {
                    assert!(!key.doc.trim().is_empty(), "{} has no documentation", key.name);
                    match key.kind {
                        Kind::Section { keys, .. } => count(&keys()),
                        Kind::Value { .. } => 1,
                    }
                })
                .sum()
        }
        let (all, limits) = (count(&keys_of::<Config>()), count(&keys_of::<crate::Limits>()));
        assert!(all - limits <= 60, "{} keys", all - limits);
    }
}
