//! Go's text templates over the labels of one entry: `line_format` and `label_format` of LogQL, and the templates of an agent's stages.
//!
//! The syntax tree is gotmpl's; evaluation is here, because it must say where it fails as Go does, takes missing labels for empty
//! ones, and has to be bounded.

mod agent;
mod agent_lists;
mod agent_texts;
mod check;
mod dates;
mod decimal;
mod eval;
mod functions;
mod numbers;
mod print;
mod signature;
mod source;
mod strings;
mod value;

use crate::regex;
use ::regex::bytes::Regex;
use check::Names;
use gotmpl::TemplateError;
use gotmpl::parse::{ListNode, Node, Parser};
use print::Printers;
use std::collections::HashMap;
use value::Value;

/// Most bytes that one rendering gives, and that one function makes.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// What one rendering may cost: bytes of texts that functions take and give, and as much for other things as they take longer.
const WORK_MAX: usize = 16 << 20;

/// What it costs to compile a pattern that is not written out.
const PATTERN_WORK: usize = 1 << 20;

/// How many patterns of a template are compiled beforehand; further ones are each time.
const COMPILED_MAX: usize = 8;

/// Which functions a template may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Those of LogQL.
    #[default]
    LogQl,
    /// Those of LogQL, and those that the stages of an agent have beside them. Of one name the agent's.
    Agent,
}

/// A compiled template.
pub struct Template {
    /// As errors name it.
    name: &'static str,
    source: String,
    main: ListNode,
    defines: HashMap<String, ListNode>,
    names: Names,
    /// Of patterns that are written out.
    regexes: HashMap<String, Regex>,
    /// What these cost.
    regex_cost: usize,
    printers: Printers,
    dialect: Dialect,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

/// What a template is rendered for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What `__line__` gives.
    pub line: &'a [u8],
    /// What `__timestamp__` gives, in nanoseconds since 1970.
    pub timestamp: i64,
    /// What `now` gives, in nanoseconds since 1970.
    pub now: i64,
    /// At least those that [`Template::fields`] lists.
    pub labels: &'a LabelMap,
}

/// Labels as templates see them: what is missing is empty.
#[derive(Debug, Clone)]
pub struct LabelMap(Value);

impl LabelMap {
    /// Of names and values; of a name that comes twice the last value stays.
    pub fn new<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        LabelMap(Value::labels(pairs))
    }
}

impl Template {
    /// Compiles `source`; errors and renderings call it `name`.
    ///
    /// # Errors
    /// The text for the user, in Go's words.
    pub fn compile(name: &'static str, source: &str, dialect: Dialect) -> Result<Self, String> {
        let failed = |line: usize, message: &str| format!("template: {name}:{line}: {message}");
        let of_library = |error: TemplateError| match error {
            TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => failed(line, &message),
            other => failed(1, &other.to_string()),
        };
        check::nests_little(source).map_err(|(line, message)| failed(line, &message))?;
        let (main, defines) = Parser::new(source, "{{", "}}").and_then(Parser::parse).map_err(of_library)?;
        check::blocks_close(source).map_err(|(line, message)| failed(line, &message))?;
        let mut names = Names::of(dialect);
        let mut bodies: HashMap<String, ListNode> = HashMap::new();
        names.list(&main);
        for define in defines {
            names.list(&define.body);
            let known = bodies.get(define.name.as_str()).is_some_and(|body| !body.is_empty_tree());
            if known && !define.body.is_empty_tree() {
                return Err(failed(define.pos.line, &format!("multiple definition of template {:?}", define.name.as_str())));
            }
            if !known {
                bodies.insert(define.name.to_string(), define.body);
            }
        }
        if let Some((line, function)) = names.unknown.first() {
            return Err(failed(*line, &format!("function {function:?} not defined")));
        }
        let (mut regexes, mut regex_cost) = (HashMap::new(), 0);
        for pattern in names.patterns.iter().take(COMPILED_MAX) {
            let cost = regex::cost(pattern);
            if regex_cost + cost <= regex::COST_MAX
                && let Ok(compiled) = strings::compile(pattern)
            {
                regexes.insert(pattern.clone(), compiled);
                regex_cost += cost;
            }
        }
        let printers = Printers::new(&names.printed);
        Ok(Template { name, source: source.to_owned(), main, defines: bodies, names, regexes, regex_cost, printers, dialect })
    }

    /// What its compiled patterns cost, in the measure of [`regex::cost`].
    pub(crate) fn regex_cost(&self) -> usize {
        self.regex_cost
    }

    /// Labels that it names.
    pub fn fields(&self) -> &[String] {
        &self.names.fields
    }

    /// Whether it can look at all labels.
    pub fn sees_all_labels(&self) -> bool {
        self.names.sees_all
    }

    /// The label that it is, if it is no more than that.
    pub fn only_field(&self) -> Option<&str> {
        let [Node::Action(action)] = self.main.nodes.as_slice() else { return None };
        match self.names.fields.as_slice() {
            [field] if action.pipe.decl.is_empty() && check::is_field(&action.pipe) => Some(field),
            _ => None,
        }
    }

    /// The text that it is, if it is no more than that.
    pub fn only_text(&self) -> Option<&str> {
        match self.main.nodes.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(&text.text),
            _ => None,
        }
    }

    /// Whether it needs the line.
    pub(crate) fn sees_line(&self) -> bool {
        self.names.sees_line
    }

    /// Whether it may use the current time.
    pub(crate) fn sees_clock(&self) -> bool {
        self.names.sees_clock
    }

    /// Renders it, within bounds of memory and work.
    ///
    /// # Errors
    /// The text for the user, in Go's words.
    pub fn render(&self, subject: Subject<'_>) -> Result<String, String> {
        eval::render(self, subject)
    }
}

#[cfg(test)]
mod tests;
