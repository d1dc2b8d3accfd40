//! `line_format` and `label_format`.

use super::batch::text;
use super::row::{ERROR, ERROR_DETAILS, RowLabels};
use crate::ast::LabelFormat;
use crate::template::{Dialect, LabelMap, Subject, Template};
use std::collections::HashSet;

/// What a template reports that cannot be rendered.
const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// An entry, as templates see it beside its labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) line: &'a [u8],
    /// Nanoseconds since 1970.
    pub(crate) timestamp: i64,
}

/// The compiled `line_format`.
#[derive(Debug)]
pub(crate) struct LineFormatter {
    template: Template,
    /// What templates see as the current time, in nanoseconds since 1970.
    now: i64,
}

impl LineFormatter {
    /// The error is the cause, for the user. `now` is what templates see as the current time.
    pub(crate) fn compile(source: &str, now: i64) -> Result<Self, String> {
        let template = Template::compile("line", source, Dialect::LogQl).map_err(|error| format!("invalid line template: {error}"))?;
        Ok(LineFormatter { template, now })
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// Writes the new line to `out`. False when there is none: the entry is marked and keeps its line.
    pub(crate) fn format(&self, entry: Origin<'_>, row: &mut RowLabels, out: &mut Vec<u8>) -> bool {
        out.clear();
        if let Some(field) = self.template.only_field() {
            out.extend_from_slice(row.get(field).unwrap_or_default());
            return true;
        }
        let labels = label_map(row, std::slice::from_ref(&self.template));
        match render(&self.template, entry, self.now, &labels, row) {
            Some(line) => out.extend_from_slice(line.as_bytes()),
            None => return false,
        }
        true
    }
}

/// The compiled `label_format`.
#[derive(Debug)]
pub(crate) struct LabelFormatter {
    items: Vec<Item>,
    /// As in [`LineFormatter`].
    now: i64,
}

#[derive(Debug)]
enum Item {
    Rename { dst: String, src: String },
    Render { dst: String, template: Box<Template> },
}

impl LabelFormatter {
    /// The error is the cause, for the user. `now` is what templates see as the current time.
    pub(crate) fn compile(formats: &[LabelFormat], now: i64) -> Result<Self, String> {
        let mut names = HashSet::new();
        for format in formats {
            let (LabelFormat::Rename { dst, .. } | LabelFormat::Template { dst, .. }) = format;
            if dst == ERROR {
                return Err(format!("{ERROR} cannot be formatted"));
            }
            if !names.insert(dst.as_str()) {
                return Err(format!("multiple label name '{dst}' not allowed in a single format operation"));
            }
        }
        let item = |format: &LabelFormat| -> Result<Item, String> {
            match format {
                LabelFormat::Rename { dst, src } => Ok(Item::Rename { dst: dst.clone(), src: src.clone() }),
                LabelFormat::Template { dst, template } => {
                    let compiled = Template::compile("label", template, Dialect::LogQl);
                    let template = compiled.map_err(|error| format!("invalid template for label '{dst}': {error}"))?;
                    Ok(Item::Render { dst: dst.clone(), template: Box::new(template) })
                }
            }
        };
        Ok(LabelFormatter { items: formats.iter().map(item).collect::<Result<_, _>>()?, now })
    }

    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> + Clone {
        self.items.iter().filter_map(|item| if let Item::Render { template, .. } = item { Some(&**template) } else { None })
    }

    /// Calls `visit` with each label that it sets or takes.
    pub(crate) fn each_name(&self, visit: &mut impl FnMut(&str)) {
        for item in &self.items {
            match item {
                Item::Rename { dst, src } => {
                    visit(dst);
                    visit(src);
                }
                Item::Render { dst, .. } => visit(dst),
            }
        }
    }

    /// Renames and renders in order. Templates see the labels that the first of them saw.
    pub(crate) fn format(&self, entry: Origin<'_>, row: &mut RowLabels) {
        let mut labels: Option<LabelMap> = None;
        for item in &self.items {
            match item {
                Item::Rename { dst, src } => {
                    if let Some(value) = row.get(src).map(<[u8]>::to_vec) {
                        row.set_parsed(dst.as_bytes(), &value);
                        row.remove_label(src);
                    }
                }
                Item::Render { dst, template } => {
                    let labels = labels.get_or_insert_with(|| label_map(row, self.templates()));
                    if let Some(value) = render(template, entry, self.now, labels, row) {
                        row.set_parsed(dst.as_bytes(), value.as_bytes());
                    }
                }
            }
        }
    }
}

/// The labels that some of the templates can see.
fn label_map<'t>(row: &RowLabels, templates: impl IntoIterator<Item = &'t Template> + Clone) -> LabelMap {
    let seen = |template: &Template| template.sees_all_labels();
    let mut pairs = Vec::new();
    if templates.clone().into_iter().any(seen) {
        row.for_each(|name, value, _| pairs.push((text(name), text(value))));
    } else {
        for name in templates.into_iter().flat_map(Template::fields) {
            let value = match name.as_str() {
                ERROR => row.error().map(str::as_bytes),
                ERROR_DETAILS => row.details().map(str::as_bytes),
                name => row.get(name),
            };
            pairs.extend(value.map(|value| (text(name.as_bytes()), text(value))));
        }
    }
    LabelMap::new(pairs.iter().map(|(name, value)| (&**name, &**value)))
}

fn render(template: &Template, entry: Origin<'_>, now: i64, labels: &LabelMap, row: &mut RowLabels) -> Option<String> {
    match template.render(Subject { line: entry.line, timestamp: entry.timestamp, now, labels }) {
        Ok(text) => Some(text),
        Err(details) => {
            row.set_error(TEMPLATE_ERROR, Some(&details));
            None
        }
    }
}
