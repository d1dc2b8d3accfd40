//! Runs a template.

use super::signature::{Kind, Run, Signature};
use super::value::Value;
use super::{OUTPUT_BYTES_MAX, PATTERN_WORK, Subject, Template, WORK_MAX, functions, source, strings};
use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, TemplateNode};
use std::fmt::Write;

/// How deep templates may call each other.
const DEPTH_MAX: usize = 100;
/// How many nodes one rendering may run.
const STEPS_MAX: usize = 100_000;

/// Why running stopped before the end.
enum Stop {
    Break,
    Continue,
    /// The whole text for the user.
    Failed(String),
}

type Done<T> = Result<T, Stop>;

pub(super) fn render(template: &Template, subject: Subject<'_>) -> Result<String, String> {
    let dot = subject.labels.0.clone();
    let vars = vec![("$", dot.clone())];
    let mut run = Renderer { template, subject, executing: template.name, vars, depth: 0, steps: 0, work: 0, out: String::new() };
    match run.list(&template.main, &dot) {
        Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(run.out),
        Err(Stop::Failed(text)) => Err(text),
    }
}

struct Renderer<'t> {
    template: &'t Template,
    subject: Subject<'t>,
    /// Name of the template that runs.
    executing: &'t str,
    vars: Vec<(&'t str, Value)>,
    depth: usize,
    steps: usize,
    /// See [`WORK_MAX`].
    work: usize,
    out: String,
}

impl<'t> Renderer<'t> {
    fn failed(&self, place: usize, node: &str, message: &str) -> Stop {
        let location = source::location(&self.template.source, place);
        Stop::Failed(format!("template: {}:{location}: executing {:?} at <{node}>: {message}", self.template.name, self.executing))
    }

    fn failed_expr(&self, expr: &Expr, message: &str) -> Stop {
        self.failed(source::place(&self.template.source, expr), &source::expr(&self.template.source, expr), message)
    }

    fn failed_command(&self, command: &CommandNode, message: &str) -> Stop {
        self.failed(command.pos.offset, &source::command(&self.template.source, command), message)
    }

    fn list(&mut self, list: &'t ListNode, dot: &Value) -> Done<()> {
        list.nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &'t Node, dot: &Value) -> Done<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(self.failed(0, "", "the template takes too many steps"));
        }
        match node {
            Node::List(list) => self.list(list, dot)?,
            Node::Text(text) => self.out.push_str(&text.text),
            Node::Action(action) => {
                let value = self.pipe(&action.pipe, dot)?;
                match value {
                    _ if !action.pipe.decl.is_empty() => {}
                    Value::Nil => self.out.push_str("<no value>"),
                    value => write!(self.out, "{value}").expect("a String takes everything"),
                }
            }
            Node::If(branch) => self.scoped(|run| {
                let chosen = run.pipe(&branch.pipe, dot)?.is_true();
                run.branch(branch, chosen, dot, dot)
            })?,
            Node::With(branch) => self.scoped(|run| {
                let value = run.pipe(&branch.pipe, dot)?;
                run.branch(branch, value.is_true(), &value, dot)
            })?,
            Node::Range(branch) => self.scoped(|run| run.range(branch, dot))?,
            Node::Template(call) => self.call_template(call, dot)?,
            Node::Define(_) => {}
            Node::Break(_) => return Err(Stop::Break),
            Node::Continue(_) => return Err(Stop::Continue),
        }
        if self.out.len() > OUTPUT_BYTES_MAX {
            return Err(self.failed(0, "", &format!("the text is longer than {OUTPUT_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// Runs `inside`; variables that it declares end with it.
    fn scoped(&mut self, inside: impl FnOnce(&mut Self) -> Done<()>) -> Done<()> {
        let before = self.vars.len();
        let done = inside(self);
        self.vars.truncate(before);
        done
    }

    fn branch(&mut self, branch: &'t BranchNode, chosen: bool, body_dot: &Value, else_dot: &Value) -> Done<()> {
        match (&branch.else_body, chosen) {
            (_, true) => self.list(&branch.body, body_dot),
            (Some(other), false) => self.list(other, else_dot),
            (None, false) => Ok(()),
        }
    }

    fn range(&mut self, branch: &'t BranchNode, dot: &Value) -> Done<()> {
        let value = self.commands(&branch.pipe, dot)?;
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match value {
            Value::List(items) => Box::new((0..items.len()).map(move |at| (Value::Int(at as i64), items[at].clone()))),
            Value::Map(map) => {
                self.steps += map.members.len();
                let members: Vec<_> = map.members.iter().map(|(name, value)| (Value::Text(name.clone()), value.clone())).collect();
                Box::new(members.into_iter())
            }
            Value::Int(count) => Box::new((0..count.max(0)).map(|at| (Value::Int(at), Value::Int(at)))),
            Value::Nil => Box::new(std::iter::empty()),
            other => {
                let text =
                    branch.pipe.commands.iter().map(|one| source::command(&self.template.source, one)).collect::<Vec<_>>().join(" | ");
                return Err(self.failed(branch.pipe.pos.offset, &text, &format!("range can't iterate over {other}")));
            }
        };
        let mut ran = false;
        for (place, item) in items {
            ran = true;
            let done = self.scoped(|run| {
                run.steps += 1;
                match branch.pipe.decl.as_slice() {
                    [] => {}
                    [one] => run.bind(one, item.clone(), branch.pipe.is_assign),
                    [first, second, ..] => {
                        run.bind(first, place, branch.pipe.is_assign);
                        run.bind(second, item.clone(), branch.pipe.is_assign);
                    }
                }
                if run.steps > STEPS_MAX {
                    Err(run.failed(0, "", "the template takes too many steps"))
                } else {
                    run.list(&branch.body, &item)
                }
            });
            match done {
                Ok(()) | Err(Stop::Continue) => {}
                Err(Stop::Break) => break,
                Err(failed) => return Err(failed),
            }
        }
        if ran { Ok(()) } else { self.branch(branch, false, dot, dot) }
    }

    fn call_template(&mut self, call: &'t TemplateNode, dot: &Value) -> Done<()> {
        let name = call.name.as_str();
        let text = || format!("{{{{template {name:?}}}}}");
        let Some(body) = self.template.defines.get(name) else {
            return Err(self.failed(call.pos.offset, &text(), &format!("template {name:?} not defined")));
        };
        if self.depth >= DEPTH_MAX {
            return Err(self.failed(call.pos.offset, &text(), &format!("exceeded maximum template depth ({DEPTH_MAX})")));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        let vars = std::mem::replace(&mut self.vars, vec![("$", dot.clone())]);
        let executing = std::mem::replace(&mut self.executing, name);
        self.depth += 1;
        let done = self.list(body, &dot);
        self.depth -= 1;
        (self.vars, self.executing) = (vars, executing);
        done
    }

    /// The value of a pipeline; variables that it declares get it.
    fn pipe(&mut self, pipe: &'t PipeNode, dot: &Value) -> Done<Value> {
        let value = self.commands(pipe, dot)?;
        if let [name] = pipe.decl.as_slice() {
            self.bind(name, value.clone(), pipe.is_assign);
        }
        Ok(value)
    }

    fn bind(&mut self, name: &'t str, value: Value, assign: bool) {
        match self.vars.iter_mut().rev().find(|(known, _)| assign && *known == name) {
            Some((_, known)) => *known = value,
            None => self.vars.push((name, value)),
        }
    }

    fn commands(&mut self, pipe: &'t PipeNode, dot: &Value) -> Done<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, value, dot)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    fn command(&mut self, command: &'t CommandNode, piped: Option<Value>, dot: &Value) -> Done<Value> {
        let first = &command.args[0];
        let (function, fields) = match first {
            Expr::Identifier(_, name) => (Some(name), &[][..]),
            Expr::Chain(_, inner, fields) => match inner.as_ref() {
                Expr::Identifier(_, name) => (Some(name), fields.as_slice()),
                _ => (None, &[][..]),
            },
            _ => (None, &[][..]),
        };
        if let Some(name) = function {
            let value = self.call(name, Some(command), &command.args[1..], piped, dot, first)?;
            return fields.iter().try_fold(value, |value, field| value.member(field)).map_err(|cause| self.failed_expr(first, &cause));
        }
        if piped.is_some() || command.args.len() > 1 {
            return Err(
                self.failed_expr(first, &format!("can't give argument to non-function {}", source::expr(&self.template.source, first)))
            );
        }
        match first {
            Expr::Nil(_) => Err(self.failed_expr(first, "nil is not a command")),
            _ => self.expr(first, dot),
        }
    }

    fn expr(&mut self, expr: &'t Expr, dot: &Value) -> Done<Value> {
        let (start, fields) = match expr {
            Expr::Dot(_) => return Ok(dot.clone()),
            Expr::Nil(_) => return Ok(Value::Nil),
            Expr::Bool(_, value) => return Ok(Value::Bool(*value)),
            Expr::String(_, text) => return Ok(Value::Text(text.clone())),
            Expr::Number(_, Number::Int(value)) => return Ok(Value::Int(*value)),
            Expr::Number(_, Number::Float(value)) => return Ok(Value::Float(*value)),
            Expr::Number(_, Number::Uint(value)) => return Err(self.failed_expr(expr, &format!("{value} overflows int"))),
            Expr::Pipe(_, pipe) => return self.pipe(pipe, dot),
            Expr::Identifier(_, name) => return self.call(name, None, &[], None, dot, expr),
            Expr::Field(_, fields) => (dot.clone(), fields),
            Expr::Variable(_, name, fields) => match self.vars.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => (value.clone(), fields),
                None => return Err(self.failed_expr(expr, &format!("undefined variable: {name}"))),
            },
            Expr::Chain(_, inner, fields) => (self.expr(inner, dot)?, fields),
        };
        fields.iter().try_fold(start, |value, field| value.member(field)).map_err(|cause| self.failed_expr(expr, &cause))
    }

    /// Calls a function. `command` is what it stands in, `at` the word that names it.
    fn call(
        &mut self,
        name: &'t str,
        command: Option<&'t CommandNode>,
        arguments: &'t [Expr],
        piped: Option<Value>,
        dot: &Value,
        at: &'t Expr,
    ) -> Done<Value> {
        let failed = |run: &Self, message: &str| match command {
            Some(command) => run.failed_command(command, message),
            None => run.failed_expr(at, message),
        };
        let Some(signature) = self.template.dialect.signature(name) else {
            return Err(failed(self, &format!("{name:?} is not a defined function")));
        };
        let given = arguments.len() + usize::from(piped.is_some());
        let wanted = signature.fixed.len();
        if given < wanted || (given > wanted && signature.rest.is_none()) {
            let least = if signature.rest.is_some() { "at least " } else { "" };
            return Err(failed(self, &format!("wrong number of args for {name}: want {least}{wanted} got {given}")));
        }
        if let Run::Shortcut { stops_at } = signature.run {
            return self.shortcut(stops_at, arguments, piped, dot);
        }
        let mut values = Vec::with_capacity(given);
        for (place, argument) in arguments.iter().enumerate() {
            values.push(self.argument(signature.kind(place), argument, dot)?);
        }
        if let Some(piped) = piped {
            let value = fitting(signature.kind(values.len()), piped).map_err(|cause| failed(self, &cause))?;
            values.push(value);
        }
        let result = self.run(name, signature, &values);
        let given = result.as_ref().map_or(0, text_len);
        self.work += cost(name, &values) + given;
        if self.work > WORK_MAX {
            return Err(failed(self, "the template works on too much text"));
        }
        result.map_err(|cause| failed(self, &format!("error calling {name}: {cause}")))
    }

    fn run(&mut self, name: &str, signature: &Signature, values: &[Value]) -> Result<Value, String> {
        match signature.run {
            Run::Pure(function) => function(values),
            Run::Line => Ok(Value::text(&String::from_utf8_lossy(self.subject.line))),
            Run::Timestamp => Ok(functions::time(self.subject.timestamp)),
            Run::Clock(function) => function(values, self.subject.now),
            Run::Print => self.template.printers.print(name, values),
            Run::Pattern(function) => {
                let Value::Text(pattern) = &values[0] else { return Err("no pattern".to_owned()) };
                match self.template.regexes.get(&**pattern) {
                    Some(regex) => function(regex, &values[1..]),
                    None => {
                        self.work += PATTERN_WORK;
                        function(&strings::compile(pattern)?, &values[1..])
                    }
                }
            }
            // Handled before arguments are evaluated.
            Run::Shortcut { .. } => Ok(Value::Nil),
        }
    }

    /// `and` and `or`: the first value that decides, or the last.
    fn shortcut(&mut self, stops_at: bool, arguments: &'t [Expr], piped: Option<Value>, dot: &Value) -> Done<Value> {
        let mut last = Value::Nil;
        for argument in arguments {
            last = self.expr(argument, dot)?;
            if last.is_true() == stops_at {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    /// An argument; what is written out must be of the kind.
    fn argument(&mut self, kind: Kind, argument: &'t Expr, dot: &Value) -> Done<Value> {
        let fits = match (kind, argument) {
            (Kind::Any, _) => true,
            (Kind::Text, Expr::Number(..) | Expr::Bool(..)) => false,
            (Kind::Int, Expr::Number(_, Number::Float(value))) => {
                if value.fract() == 0.0 && value.abs() < 9e15 {
                    return Ok(Value::Int(*value as i64));
                }
                false
            }
            (Kind::Int | Kind::Float, Expr::String(..) | Expr::Bool(..)) => false,
            (Kind::Float, Expr::Number(_, Number::Int(value))) => return Ok(Value::Float(*value as f64)),
            _ => true,
        };
        if !fits {
            let text = source::expr(&self.template.source, argument);
            return Err(self.failed_expr(argument, &format!("expected {}; found {text}", kind.word())));
        }
        if let (Kind::Text | Kind::Int | Kind::Float, Expr::Nil(_)) = (kind, argument) {
            return Err(self.failed_expr(argument, &format!("cannot assign nil to {}", kind.go_type())));
        }
        let value = self.expr(argument, dot)?;
        fitting(kind, value).map_err(|cause| self.failed_expr(argument, &cause))
    }
}

/// What a function costs by the texts that it is given.
fn cost(name: &str, values: &[Value]) -> usize {
    // Values that are read from a text take more memory than the text.
    let factor = if name == "fromJson" { 8 } else { 1 };
    factor * values.iter().map(text_len).sum::<usize>()
}

fn text_len(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::List(items) => 16 * items.len(),
        Value::Map(map) => 16 * map.members.len(),
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => 0,
    }
}

fn fitting(kind: Kind, value: Value) -> Result<Value, String> {
    match (kind, &value) {
        (Kind::Any, _)
        | (Kind::Text, Value::Text(_))
        | (Kind::Int, Value::Int(_))
        | (Kind::Float, Value::Float(_))
        | (Kind::Time, Value::Time(_)) => Ok(value),
        (_, Value::Nil) => Err(format!("invalid value; expected {}", kind.go_type())),
        _ => Err(format!("wrong type for value; expected {}; got {}", kind.go_type(), value.type_name())),
    }
}
