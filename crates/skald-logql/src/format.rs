//! The canonical text of a query: `Display` of every node, as Loki prints it.
//!
//! Not everything survives: sizes are rounded, `vector` has six decimals, and where a range stood among the stages is forgotten.

mod names;
mod pretty;

pub use pretty::pretty;

use crate::ast::{
    BinaryExpr, BinaryOp, Conversion, Expr, Extraction, Grouping, LabelFilter, LabelFormat, LabelReplace, LineFilter, LineOperand, LogExpr,
    MatchGroup, MatchOp, Matcher, MetricExpr, NamedOrMatcher, RangeAggregation, Stage, Unwrap, VectorAggregation, VectorMatching,
};
use crate::regex;
use crate::units::{format_duration, format_fixed, format_float, format_go_duration, format_size};
use std::fmt::{self, Display, Formatter};

/// A text in double quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.0.len() + 2);
        skald_model::quote(&mut out, self.0);
        f.write_str(&out)
    }
}

/// Items with `separator` between them.
fn joined<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        let separator = if i == 0 { "" } else { separator };
        write!(f, "{separator}{item}")?;
    }
    Ok(())
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        joined(f, &self.matchers, ", ")?;
        f.write_str("}")?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if self.name.chars().all(plain) {
            f.write_str(&self.name)?;
        } else {
            Quoted(&self.name).fmt(f)?;
        }
        write!(f, "{}{}", self.op.name(), Quoted(&self.value))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineFilter(filter) => filter.fmt(f),
            Self::Json(extractions) => {
                f.write_str("| json")?;
                write_extractions(f, extractions)
            }
            Self::Logfmt { strict, keep_empty, extractions } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                write_extractions(f, extractions)
            }
            Self::Regexp(pattern) => write!(f, "| regexp {}", Quoted(pattern)),
            Self::Pattern(pattern) => write!(f, "| pattern {}", Quoted(pattern)),
            Self::Unpack => f.write_str("| unpack"),
            Self::LabelFilter(filter) => write!(f, "| {filter}"),
            Self::LineFormat(template) => write!(f, "| line_format {}", Quoted(template)),
            Self::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                joined(f, formats, ",")
            }
            Self::Decolorize => f.write_str("| decolorize"),
            Self::Drop(items) => {
                f.write_str("| drop ")?;
                joined(f, items, ",")
            }
            Self::Keep(items) => {
                f.write_str("| keep ")?;
                joined(f, items, ",")
            }
        }
    }
}

fn write_extractions(f: &mut Formatter<'_>, extractions: &[Extraction]) -> fmt::Result {
    f.write_str(if extractions.is_empty() { "" } else { " " })?;
    joined(f, extractions, ",")
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op.name())?;
        joined(f, &self.operands, " or ")
    }
}

impl Display for LineOperand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Ip(address) => write!(f, "ip({})", Quoted(address)),
        }
    }
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, Quoted(&self.expression))
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename { dst, src } => write!(f, "{dst}={src}"),
            Self::Template { dst, template } => write!(f, "{dst}={}", Quoted(template)),
        }
    }
}

impl Display for NamedOrMatcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Matcher(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(left, right) => write!(f, "( {left} , {right} )"),
            Self::Or(left, right) => write!(f, "( {left} or {right} )"),
            // A pattern that has to be compiled is printed raw.
            Self::Text(Matcher { name, op: MatchOp::Regex, value }) if !value.contains('`') && !regex::simplifies(value) => {
                write!(f, "{name}=~`{value}`")
            }
            Self::Text(matcher) => matcher.fmt(f),
            Self::Number { name, op, value } => write!(f, "{name}{}{}", op.name(), format_fixed(*value)),
            Self::Duration { name, op, nanos } => write!(f, "{name}{}{}", op.name(), format_go_duration(*nanos)),
            Self::Bytes { name, op, bytes } => write!(f, "{name}{}{}", op.name(), format_size(*bytes)),
            Self::Ip { name, negated, pattern } => {
                write!(f, "{name}{}ip({})", if *negated { "!=" } else { "=" }, Quoted(pattern))
            }
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(aggregation) => aggregation.fmt(f),
            Self::Vector(aggregation) => aggregation.fmt(f),
            Self::Binary(binary) => binary.fmt(f),
            Self::Literal(value) => f.write_str(&format_float(*value)),
            Self::VectorLiteral(value) => write!(f, "vector({value:.6})"),
            Self::LabelReplace(replace) => replace.fmt(f),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op)?;
        if let Some(parameter) = self.parameter {
            write!(f, "{},", format_fixed(parameter))?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, "[{}]", format_duration(self.range))?;
        if self.offset_nanos != 0 {
            write!(f, " offset {}", format_go_duration(self.offset_nanos))?;
        }
        f.write_str(")")?;
        self.grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion {
            Some(conversion) => write!(f, "| unwrap {}({})", conversion.name(), self.label)?,
            None => write!(f, "| unwrap {}", self.label)?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl Conversion {
    /// As written in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::DurationSeconds => "duration_seconds",
        }
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without (" } else { "by (" })?;
        joined(f, &self.labels, ",")?;
        f.write_str(")")
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.op.fmt(f)?;
        match &self.grouping {
            Some(grouping) if grouping.without || !grouping.labels.is_empty() => write!(f, " {grouping}")?,
            _ => {}
        }
        f.write_str("(")?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for BinaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({} {}", self.left, self.op)?;
        if self.return_bool {
            f.write_str(" bool")?;
        }
        write!(f, "{} {})", self.matching, self.right)
    }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// With the blank before it; a blank too many where nothing is grouped.
impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.on && self.labels.is_empty() && self.group == MatchGroup::OneToOne {
            return Ok(());
        }
        f.write_str(if self.on { " on (" } else { " ignoring (" })?;
        joined(f, &self.labels, ",")?;
        f.write_str(") ")?;
        match self.group {
            MatchGroup::OneToOne => return Ok(()),
            MatchGroup::Left => f.write_str("group_left (")?,
            MatchGroup::Right => f.write_str("group_right (")?,
        }
        joined(f, &self.include, ",")?;
        f.write_str(")")
    }
}

impl Display for LabelReplace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [dst, replacement, src, regex] = [&self.dst, &self.replacement, &self.src, &self.regex].map(|text| Quoted(text));
        write!(f, "label_replace({},{dst},{replacement},{src},{regex})", self.inner)
    }
}

#[cfg(test)]
mod tests;
