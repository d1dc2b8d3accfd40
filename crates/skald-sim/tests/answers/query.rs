//! Generated queries, as values that can be written as LogQL and, in part, evaluated by the oracle.

use crate::data::Dice;
use std::fmt;

#[derive(Debug, Clone)]
pub struct LogQuery {
    pub matchers: Vec<(&'static str, &'static str, &'static str)>,
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone)]
pub enum Stage {
    /// `|= "a" or "b"`, and the other operators.
    Line {
        op: &'static str,
        texts: Vec<&'static str>,
    },
    Json,
    Logfmt,
    /// Any of these, joined by `or`.
    Labels(Vec<Condition>),
    Drop(Vec<&'static str>),
    Keep(Vec<&'static str>),
    /// What the oracle does not evaluate.
    Other(&'static str),
}

#[derive(Debug, Clone)]
pub struct Condition {
    pub name: &'static str,
    pub op: &'static str,
    pub value: Operand,
}

#[derive(Debug, Clone, Copy)]
pub enum Operand {
    Text(&'static str),
    Number(f64),
}

#[derive(Debug, Clone)]
pub enum Metric {
    Range(Range),
    Vector {
        op: &'static str,
        k: Option<u64>,
        grouping: Option<Grouping>,
        inner: Box<Metric>,
    },
    /// Operator with its modifiers.
    Binary {
        left: Box<Metric>,
        op: &'static str,
        right: Box<Metric>,
    },
    Number(f64),
    Replace(Box<Metric>),
}

#[derive(Debug, Clone)]
pub struct Range {
    pub op: &'static str,
    pub quantile: Option<f64>,
    pub log: LogQuery,
    pub unwrap: Option<Unwrap>,
    pub seconds: u64,
    pub offset: i64,
    pub grouping: Option<Grouping>,
}

#[derive(Debug, Clone)]
pub struct Unwrap {
    pub label: &'static str,
    /// `label` or `duration(label)`.
    pub text: &'static str,
    /// Whether entries that cannot be converted are filtered out.
    pub filtered: bool,
}

#[derive(Debug, Clone)]
pub struct Grouping {
    pub without: bool,
    pub names: Vec<&'static str>,
}

impl fmt::Display for LogQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(|(name, op, value)| format!("{name}{op}{value:?}")).collect();
        write!(f, "{{{}}}", matchers.join(", "))?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Line { op, texts } => {
                let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
                write!(f, "{op} {}", texts.join(" or "))
            }
            Stage::Json => f.write_str("| json"),
            Stage::Logfmt => f.write_str("| logfmt"),
            Stage::Labels(any) => {
                let any: Vec<String> = any.iter().map(Condition::to_string).collect();
                write!(f, "| {}", any.join(" or "))
            }
            Stage::Drop(names) => write!(f, "| drop {}", names.join(", ")),
            Stage::Keep(names) => write!(f, "| keep {}", names.join(", ")),
            Stage::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Operand::Text(text) => write!(f, "{}{}{text:?}", self.name, self.op),
            Operand::Number(number) => write!(f, "{}{}{number}", self.name, self.op),
        }
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", if self.without { "without" } else { "by" }, self.names.join(", "))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Range(range) => write!(f, "{range}"),
            Metric::Vector { op, k, grouping, inner } => {
                let grouping = grouping.as_ref().map(|grouping| format!(" {grouping} ")).unwrap_or_default();
                let k = k.map(|k| format!("{k}, ")).unwrap_or_default();
                write!(f, "{op}{grouping}({k}{inner})")
            }
            Metric::Binary { left, op, right } => write!(f, "({left} {op} {right})"),
            Metric::Number(number) => write!(f, "{number}"),
            Metric::Replace(inner) => write!(f, "label_replace({inner}, \"first\", \"$1\", \"app\", \"(.).*\")"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op)?;
        self.quantile.iter().try_for_each(|quantile| write!(f, "{quantile}, "))?;
        write!(f, "{}", self.log)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " | unwrap {}{}", unwrap.text, if unwrap.filtered { " | __error__=\"\"" } else { "" })?;
        }
        write!(f, " [{}s]", self.seconds)?;
        if self.offset != 0 {
            write!(f, " offset {}s", self.offset)?;
        }
        f.write_str(")")?;
        self.grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
    }
}

const SELECTORS: [&[(&str, &str, &str)]; 12] = [
    &[("app", "=~", ".+")],
    &[("app", "=~", ".+")],
    &[("format", "=", "json")],
    &[("format", "=", "logfmt")],
    &[("env", "=", "prod")],
    &[("app", "=~", "web|db"), ("env", "!=", "dev")],
    &[("app", "=", "web")],
    &[("format", "!~", "plain|any"), ("app", "=~", ".+")],
    &[("app", "=", "mixed"), ("env", "=~", "p.*")],
    &[("level", "=", "warn")],
    &[("format", "=", "plain")],
    &[("app", "=", "nobody")],
];

/// Stages that the oracle leaves to the other comparisons.
const OTHERS: [&str; 24] = [
    "| json first=\"user.name\", status, tag=\"tags[0]\"",
    "| logfmt m=\"method\", status",
    "| logfmt --strict",
    "| logfmt --keep-empty",
    "| pattern \"<verdict> <method> <path> from <ip>\"",
    "| regexp \"(?P<word>[a-z]+) (?P<verb>[A-Z]+)\"",
    "| unpack",
    "| decolorize",
    "| line_format \"{{.level}} {{.app}} {{__line__}}\"",
    "| line_format \"{{ __timestamp__ | unixEpochNanos }} {{ .took | float64 | round 1 }}\"",
    "| line_format \"{{.method}}\"",
    "| label_format severity=level, both=\"{{.app}}-{{.env}}\"",
    "| label_format app=\"renamed\"",
    "|> \"<_> <_> from <_>\"",
    "!> \"<_>status=200<_>\"",
    "|= ip(\"10.0.0.2\")",
    "!= ip(\"10.0.0.0/30\")",
    "|~ \"(?i)ERROR|FULL\"",
    "|~ \"st.tus.{1,4}5\\\\d\\\\d\"",
    "| took > 5s or status >= 500",
    "| user_id=\"1\" or (status=200 and level!=\"info\")",
    "| drop level, method=\"GET\"",
    "| keep app, level=~\"info|warn\", status",
    "| drop __error__, __error_details__",
];

impl LogQuery {
    /// `plain` keeps to what the oracle evaluates.
    pub fn generate(dice: &Dice, plain: bool) -> Self {
        let matchers = dice.pick(&SELECTORS).to_vec();
        let mut stages = Vec::new();
        for _ in 0..dice.below(3) {
            stages.push(line_filter(dice));
        }
        if dice.chance(25) {
            stages.push(Stage::Labels(vec![metadata_condition(dice)]));
        }
        if dice.chance(60) {
            stages.push(if dice.chance(50) { Stage::Json } else { Stage::Logfmt });
            if dice.chance(15) {
                stages.push(if dice.chance(50) { Stage::Json } else { Stage::Logfmt });
            }
            for _ in 0..dice.below(3) {
                stages.push(Stage::Labels((0..1 + dice.below(5) / 4).map(|_| condition(dice)).collect()));
            }
            if dice.chance(20) {
                stages.push(line_filter(dice));
            }
        }
        if !plain {
            for _ in 0..1 + dice.below(2) {
                stages.insert(dice.below(stages.len() as u64 + 1) as usize, Stage::Other(dice.pick(&OTHERS)));
            }
        }
        if dice.chance(15) {
            let names = [&["level"][..], &["trace_id", "method"], &["app", "status"]];
            stages.push(if dice.chance(50) { Stage::Drop(dice.pick(&names).to_vec()) } else { Stage::Keep(dice.pick(&names).to_vec()) });
        }
        LogQuery { matchers, stages }
    }

    /// Whether a label filter may be asked before its turn: parsers ask the first one on a name as soon as they write that name, in log queries
    /// and in some metric queries. It shows where another stage takes the label away in between, or where the filter stands before the parser.
    pub fn may_filter_early(&self) -> bool {
        let begins = |stage: &Stage, words: &[&str]| words.iter().any(|word| stage.to_string().starts_with(&format!("| {word}")));
        let is_filter = |stage: &Stage| matches!(stage, Stage::Labels(_)) || begins(stage, &["took ", "user_id="]);
        let is_changed = |of: &[Stage], words: &[&str]| of.iter().any(|stage| begins(stage, words));
        (0..self.stages.len()).filter(|at| is_filter(&self.stages[*at])).any(|at| {
            is_changed(&self.stages[..at], &["keep", "drop", "label_format"])
                || is_changed(&self.stages[at..], &["json", "logfmt", "pattern", "regexp", "unpack"])
        })
    }

    fn has_parser(&self) -> bool {
        self.stages.iter().any(|stage| !matches!(stage, Stage::Line { .. } | Stage::Drop(_) | Stage::Keep(_)))
    }
}

fn line_filter(dice: &Dice) -> Stage {
    let op = dice.pick(&["|=", "|=", "!=", "|~", "!~"]);
    if op.contains('~') {
        return Stage::Line { op, texts: vec![dice.pick(&["GET|PUT", "\\d{3}", "(full|well)", "^\\{.*\\}$", "error|nowhere"])] };
    }
    let texts = ["status", "error", "500", "GET", "\"level\":\"info\"", "level=warn", "caf\u{e9}", "full", "", "absent-from-all"];
    Stage::Line { op, texts: (0..1 + dice.below(5) / 4).map(|_| dice.pick(&texts)).collect() }
}

fn metadata_condition(dice: &Dice) -> Condition {
    let (name, value) = dice.pick(&[
        ("trace_id", "t1"),
        ("pod", "p-2"),
        ("detected_level", "error"),
        ("detected_level", "info"),
        ("app_extracted", "inner"),
        ("env", "prod"),
        ("absent", ""),
    ]);
    Condition { name, op: dice.pick(&["=", "=", "!="]), value: Operand::Text(value) }
}

fn condition(dice: &Dice) -> Condition {
    let number = |name, of: &[f64]| Condition { name, op: dice.pick(&[">", ">=", "<", "==", "!="]), value: Operand::Number(dice.pick(of)) };
    let text = |name, of: &[&'static str]| Condition { name, op: dice.pick(&["=", "=", "!="]), value: Operand::Text(dice.pick(of)) };
    let regex = |name, of: &[&'static str]| Condition { name, op: dice.pick(&["=~", "!~"]), value: Operand::Text(dice.pick(of)) };
    match dice.below(10) {
        0 | 1 => number("status", &[200.0, 404.0, 499.5]),
        2 => number("took", &[10.25, 20.0]),
        3 => text("level", &["info", "error", ""]),
        4 => text("method", &["GET", ""]),
        5 => regex("level", &["info|error", "w.+"]),
        6 => text("user_name", &["ann"]),
        7 => text("app_extracted", &["inside", "inner"]),
        8 => Condition { name: "__error__", op: "=", value: Operand::Text("") },
        _ => metadata_condition(dice),
    }
}

const LOG_OPS: [&str; 4] = ["count_over_time", "rate", "bytes_over_time", "bytes_rate"];
const UNWRAP_OPS: [&str; 12] = [
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "quantile_over_time",
    "first_over_time",
    "last_over_time",
    "rate_counter",
    "rate",
    "absent_over_time",
];
const NAMES: [&[&str]; 8] =
    [&["app"], &["level"], &["env", "app"], &["detected_level"], &["status"], &["method", "level"], &[], &["trace_id", "nowhere"]];

fn grouping(dice: &Dice) -> Grouping {
    Grouping { without: dice.chance(30), names: dice.pick(&NAMES).to_vec() }
}

impl Metric {
    /// `ranges` are in seconds.
    pub fn generate(dice: &Dice, plain: bool, ranges: &[u64]) -> Self {
        let depth = if dice.chance(40) { 0 } else { 1 + dice.below(2) };
        Self::of_depth(dice, plain, ranges, depth)
    }

    fn of_depth(dice: &Dice, plain: bool, ranges: &[u64], depth: u64) -> Self {
        if depth == 0 {
            return Metric::Range(Range::generate(dice, plain, ranges));
        }
        let inner = |depth| Box::new(Self::of_depth(dice, plain, ranges, depth));
        let choice = dice.below(if plain { 6 } else { 10 });
        match choice {
            0..=5 => {
                let op = dice.pick(&["sum", "sum", "sum", "min", "max", "avg", "count"]);
                Metric::Vector { op, k: None, grouping: dice.chance(80).then(|| grouping(dice)), inner: inner(depth - 1) }
            }
            6 => {
                let op = dice.pick(&["stddev", "stdvar", "sort", "sort_desc", "topk", "bottomk"]);
                let has_k = op.ends_with('k');
                let grouping = (!op.starts_with("sort") && dice.chance(50)).then(|| grouping(dice));
                Metric::Vector { op, k: has_k.then(|| 1 + dice.below(3)), grouping, inner: inner(depth - 1) }
            }
            7 => {
                let (op, number) = dice.pick(&[("+", 2.5), ("*", 3.0), ("/", 4.0), (">", 0.7), ("<= bool", 1.3), ("%", 3.0), ("^", 2.0)]);
                let (vector, number) = (inner(depth - 1), Box::new(Metric::Number(number)));
                let (left, right) = if dice.chance(30) { (number, vector) } else { (vector, number) };
                Metric::Binary { left, op, right }
            }
            8 => {
                // The same labels on both sides.
                let by = Some(Grouping { without: false, names: dice.pick(&NAMES).to_vec() });
                let side = || Box::new(Metric::Vector { op: "sum", k: None, grouping: by.clone(), inner: inner(0) });
                let op =
                    dice.pick(&["+", "-", "and", "or", "unless", "== bool", "> on (app)", "/ ignoring (level)", "* on (app) group_left"]);
                Metric::Binary { left: side(), op, right: side() }
            }
            _ => Metric::Replace(inner(depth - 1)),
        }
    }

    /// Whether small errors of sums are magnified.
    pub fn is_rough(&self) -> bool {
        match self {
            Metric::Range(range) => range.op.starts_with("std"),
            Metric::Vector { op, inner, .. } => op.starts_with("std") || inner.is_rough(),
            Metric::Binary { left, right, .. } => left.is_rough() || right.is_rough(),
            Metric::Replace(inner) => inner.is_rough(),
            Metric::Number(_) => false,
        }
    }
}

impl Range {
    fn generate(dice: &Dice, plain: bool, ranges: &[u64]) -> Self {
        let mut log = LogQuery::generate(dice, plain);
        let seconds = dice.pick(ranges);
        let offset = if dice.chance(15) { dice.pick(&[-1, 1]) * dice.pick(ranges) as i64 } else { 0 };
        let wants_unwrap = dice.chance(40);
        if wants_unwrap && !log.stages.iter().any(|stage| matches!(stage, Stage::Json | Stage::Logfmt)) {
            log.stages.push(if dice.chance(50) { Stage::Json } else { Stage::Logfmt });
        }
        if log.has_parser() && dice.chance(70) {
            log.stages.push(Stage::Labels(vec![Condition { name: "__error__", op: "=", value: Operand::Text("") }]));
        }
        if !wants_unwrap {
            let op = if dice.chance(5) { "absent_over_time" } else { dice.pick(&LOG_OPS) };
            return Range { op, quantile: None, log, unwrap: None, seconds, offset, grouping: None };
        }
        let op = dice.pick(&UNWRAP_OPS);
        let text = if !plain && dice.chance(15) { "duration(took)" } else { dice.pick(&["took", "took", "status"]) };
        let unwrap = Unwrap { label: if text == "status" { "status" } else { "took" }, text, filtered: dice.chance(80) };
        let may_group = op.ends_with("_over_time") && !["sum_over_time", "absent_over_time"].contains(&op);
        let grouping = (may_group && dice.chance(50)).then(|| grouping(dice));
        let quantile = (op == "quantile_over_time").then(|| dice.pick(&[0.0, 0.5, 0.99, 1.0]));
        Range { op, quantile, log, unwrap: Some(unwrap), seconds, offset, grouping }
    }
}
