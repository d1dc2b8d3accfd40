//! The stage `json`.

mod paths;
mod surrogates;
mod text;

use super::or_default;
use super::source::Source;
use crate::extracted::{Extracted, Value};
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Counter, Now, StageError, Text};
use jmespath::ast::Ast;
use jmespath::{Context, DEFAULT_RUNTIME, Rcvar, Variable};
use paths::Paths;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why malformed lines are dropped, as the counter says it.
const MALFORMED: &str = "malformed_json";

/// Extracts values of a JSON object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Json {
    /// Name of the value and the JMESPath that leads to it; without a path the name is it.
    #[serde(deserialize_with = "or_default")]
    expressions: BTreeMap<String, Option<String>>,
    /// Name of the value to read; else the line.
    source: Option<String>,
    /// Whether an entry whose text is no JSON object is dropped.
    #[serde(deserialize_with = "or_default")]
    drop_malformed: bool,
}

impl Options for Json {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        if self.expressions.is_empty() {
            return Err(StageError::Missing { option: "expressions" });
        }
        let parsed = self.expressions.iter().map(|(name, path)| parse(name, path.as_deref())).collect::<Result<Vec<_>, _>>()?;
        let (names, expressions): (Vec<Text>, Vec<Ast>) = parsed.into_iter().unzip();
        let members = match expressions.iter().map(member_path).collect::<Option<Vec<_>>>() {
            Some(paths) => Query::Paths(Paths::new(&paths)),
            None => Query::Expressions(expressions),
        };
        Ok(Compiled::each(Members {
            values: vec![Value::Null; names.len()],
            shared: Arc::new(Shared { names, query: members }),
            source: Source::optional(self.source.as_deref())?,
            dropped: self.drop_malformed.then(|| build.context.counters.reason(MALFORMED)),
        }))
    }
}

fn parse(name: &str, path: Option<&str>) -> Result<(Text, Ast), StageError> {
    let path = path.filter(|path| !path.is_empty()).unwrap_or(name);
    let parsed = jmespath::parse(path).map_err(|error| {
        // The lines after the first draw an arrow to the place.
        let why = error.to_string().lines().next().unwrap_or_default().to_owned();
        StageError::invalid("expressions", format!("{name}: {path:?} is no JMESPath: {why}"))
    })?;
    Ok((name.into(), parsed))
}

/// The names that lead through objects to a value, if an expression is no more than that.
fn member_path(expression: &Ast) -> Option<Vec<&str>> {
    match expression {
        Ast::Field { name, .. } => Some(vec![name]),
        Ast::Subexpr { lhs, rhs, .. } => {
            let mut path = member_path(lhs)?;
            path.extend(member_path(rhs)?);
            Some(path)
        }
        _ => None,
    }
}

enum Query {
    /// Members of objects, which are found in one walk without building anything.
    Paths(Paths),
    /// Anything else, on the whole object.
    Expressions(Vec<Ast>),
}

struct Shared {
    names: Vec<Text>,
    query: Query,
}

#[derive(Clone)]
struct Members {
    shared: Arc<Shared>,
    source: Source,
    /// Set where malformed lines are dropped.
    dropped: Option<Counter>,
    /// Of each name, of the line that is being read.
    values: Vec<Value>,
}

impl Stage for Members {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let Members { shared, source, dropped, values } = self;
        let read = source.read(work, |text, extracted| {
            let found = shared.find(text, values);
            if found.is_some() {
                shared.put(values, extracted);
            }
            found
        });
        match (read, dropped) {
            (Some(None), Some(dropped)) => {
                dropped.add(1);
                Verdict::Drop
            }
            _ => Verdict::Keep,
        }
    }
}

impl Shared {
    /// Finds the values in `text`; `None` when it is no JSON object, and then `values` mean nothing.
    fn find(&self, text: &str, values: &mut [Value]) -> Option<()> {
        self.find_strictly(text, values).or_else(|| self.find_strictly(&surrogates::mended(text)?, values))
    }

    fn find_strictly(&self, text: &str, values: &mut [Value]) -> Option<()> {
        match &self.query {
            Query::Paths(paths) => paths.find(text, values),
            Query::Expressions(expressions) => {
                let object = Variable::from_json(text).ok().filter(Variable::is_object).map(Rcvar::new)?;
                for (expression, value) in expressions.iter().zip(values) {
                    let found = jmespath::interpret(&object, expression, &mut Context::new("", &DEFAULT_RUNTIME));
                    *value = found.map_or(Value::Null, |found| text::value(&found));
                }
                Some(())
            }
        }
    }

    fn put(&self, values: &mut [Value], extracted: &mut Extracted) {
        for (name, value) in self.names.iter().zip(values) {
            extracted.set(name, std::mem::replace(value, Value::Null));
        }
    }
}

#[cfg(test)]
mod tests;
