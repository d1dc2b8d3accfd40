use super::options::required;
use super::rendering::Rendering;
use crate::extracted::Value;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};

/// Makes an extracted value of others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TemplateOptions {
    /// Name of the value, which need not exist.
    source: Option<String>,
    /// In the syntax of Go's `text/template`.
    template: Option<String>,
}

impl Options for TemplateOptions {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let source = required("source", self.source.as_deref())?;
        let rendering = Rendering::compile("template", self.template.as_deref().unwrap_or_default())?;
        Ok(Compiled::each(Rendered { source: source.into(), rendering }))
    }
}

#[derive(Clone)]
struct Rendered {
    source: Text,
    rendering: Rendering,
}

impl Stage for Rendered {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let value = work.extracted.text(&self.source).unwrap_or_default();
        let rendered = self.rendering.render(&self.rendering.seen(work, now), &value);
        match rendered {
            None => {}
            Some(text) if text.is_empty() => work.extracted.remove(&self.source),
            Some(text) => work.extracted.set(&self.source, Value::Text(text)),
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    /// What a template makes of `app="Web"` and the line `Line`, as the line.
    #[track_caller]
    fn check_template(source: &str, template: &str, want: &str) {
        let yaml = format!("[{{template: {{source: {source}, template: '{template}'}}}}, {{output: {{source: {source}}}}}]");
        check(&yaml, &["{app=Web, n=5} Line"], &[&format!("{{app=\"Web\", n=\"5\"}} {want}")]);
    }

    #[test]
    fn templates_see_the_value_others_and_the_line() {
        check_template("app", "{{ .Value | ToLower }}-{{ .n }}-{{ .Entry }}-{{ .absent }}", "web-5-Line-");
        check_template("new", "{{ .Value }}{{ .app }}", "Web");
        check_template("app", "{{ . }}", "map[Entry:Line Value:Web app:Web n:5]");
        check_template("app", "{{ $.app }}{{ if eq .Value \"Web\" }}!{{ end }}", "Web!");
        check_template("app", "{{ now | date \"2006-01-02\" }}", "2024-05-06");
        check_template("app", "{{ Sha2Hash \"salt\" .Value | trunc 8 }}", "6b93b95f");
        check_template("level", "{{ default \"info\" .Value }}", "info");
    }

    #[test]
    fn an_empty_text_deletes_the_value() {
        check(
            "[{template: {source: app, template: '{{ if ne .Value \"a\" }}{{ .Value }}{{ end }}'}}, {output: {source: app}}]",
            &["{app=a} line", "{app=b} line"],
            &[r#"{app="a"} line"#, r#"{app="b"} b"#],
        );
    }

    #[test]
    fn a_template_that_fails_changes_nothing() {
        check_template("app", "{{ index .Value 100 }}", "Web");
        check_template("app", "{{ repeat 2000000 .Value }}", "Web");
    }

    #[test]
    fn wrong_options_are_refused() {
        refused("- template: {template: x}", "stage 1 (template): option source is required");
        refused(
            "- template: {source: x, template: '{{ nope }}'}",
            "stage 1 (template): option template: template: template:1: function \"nope\" not defined",
        );
        refused("- template: {source: x, template: '{{ if }}'}", "stage 1 (template): option template: ");
    }
}
