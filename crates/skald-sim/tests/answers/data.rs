//! Generated entries: several apps and formats, equal timestamps, repetitions, metadata, levels.

use skald_model::seam::Random;
use skald_model::{Labels, RowsBuilder, Timestamp};
use skald_rpc::StreamRows;
use skald_testkit::{SeededRandom, labels};
use std::collections::HashSet;

/// 2026-01-15T00:00:00Z.
pub const BASE: i64 = 1_768_435_200_000_000_000;
/// A second in nanoseconds.
pub const SECOND: i64 = 1_000_000_000;

/// Choices that a seed decides.
pub struct Dice(SeededRandom);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(SeededRandom::new(seed))
    }

    pub fn below(&self, end: u64) -> u64 {
        self.0.below(end)
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn noise(&self, len: usize) -> String {
        (0..len).map(|_| char::from(b'A' + (self.0.next_u64() % 26) as u8)).collect()
    }
}

/// What a line is, beside its text: what parsers are expected to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object with these members, flattened; a broken one ends before its closing brace.
    Json { fields: Vec<(String, String)>, broken: bool },
    /// Pairs of names and values.
    Logfmt(Vec<(String, String)>),
    /// Words without any `=`.
    Plain,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stream: usize,
    pub at: i64,
    pub line: String,
    pub shape: Shape,
    /// As pushed.
    pub metadata: Vec<(&'static str, &'static str)>,
    /// The derived `detected_level`; none where it was pushed.
    pub level: Option<&'static str>,
}

impl Entry {
    /// What makes two entries of a stream the same.
    fn identity(&self) -> (usize, i64, &str, &[(&'static str, &'static str)]) {
        (self.stream, self.at, &self.line, &self.metadata)
    }
}

const STREAMS: [&[(&str, &str)]; 7] = [
    &[("app", "web"), ("env", "prod"), ("format", "json")],
    &[("app", "web"), ("env", "dev"), ("format", "json")],
    &[("app", "db"), ("env", "prod"), ("format", "logfmt")],
    &[("app", "cache"), ("env", "dev"), ("format", "logfmt")],
    &[("app", "cron"), ("env", "prod"), ("format", "plain")],
    &[("app", "mixed"), ("env", "prod"), ("format", "any")],
    &[("app", "audit"), ("format", "json"), ("level", "warn")],
];

/// The labels of a stream.
pub fn stream_labels(stream: usize) -> Labels {
    labels(STREAMS[stream])
}

/// What is pushed, push by push, and how long it lasts.
pub struct Data {
    /// Pushes in their order, repetitions among them.
    pub pushes: Vec<Vec<Entry>>,
    /// Last instant that an entry may have.
    pub end: i64,
    /// The grid of timestamps.
    pub unit: i64,
}

impl Data {
    pub fn generate(dice: &Dice) -> Self {
        let days = dice.chance(30);
        let unit = if days { 1200 * SECOND } else { dice.pick(&[5, 10, 20]) * SECOND };
        let units = if days { 3 * 72 } else { 180 };
        let large = dice.chance(15);
        let mut entries: Vec<Entry> = (0..60 + dice.below(160)).map(|_| entry(dice, unit, units, large)).collect();
        entries.sort_by_key(|entry| entry.at);
        // Some come late, by a few entries or by much.
        for _ in 0..entries.len() / 5 {
            let from = dice.below(entries.len() as u64) as usize;
            let entry = entries.remove(from);
            let far = if dice.chance(20) { entries.len() as u64 } else { 12 };
            let to = (from + dice.below(far) as usize).min(entries.len());
            entries.insert(to, entry);
        }
        let mut pushes: Vec<Vec<Entry>> = Vec::new();
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(1 + dice.below(12) as usize));
            pushes.push(std::mem::replace(&mut entries, rest));
            // A client that got no answer tries again, at once or later.
            if dice.chance(20) {
                let again = pushes[pushes.len() - 1 - dice.below(pushes.len().min(4) as u64) as usize].clone();
                pushes.push(again);
            }
        }
        Data { pushes, end: BASE + units * unit + 10, unit }
    }

    /// Each entry once, in order of arrival.
    pub fn entries(&self) -> Vec<&Entry> {
        let mut seen = HashSet::new();
        self.pushes.iter().flatten().filter(|entry| seen.insert(entry.identity())).collect()
    }
}

/// The rows of a push, by stream.
pub fn batch(push: &[Entry]) -> Vec<StreamRows> {
    let mut streams: Vec<usize> = push.iter().map(|entry| entry.stream).collect();
    streams.sort_unstable();
    streams.dedup();
    let rows = |stream: usize| {
        let mut builder = RowsBuilder::default();
        for entry in push.iter().filter(|entry| entry.stream == stream) {
            builder.push(Timestamp(entry.at), entry.line.as_bytes());
            entry.metadata.iter().for_each(|(name, value)| builder.set_metadata(name, value.as_bytes(), false));
            entry.level.iter().for_each(|level| builder.set_metadata("detected_level", level.as_bytes(), true));
        }
        StreamRows { labels: stream_labels(stream), rows: builder.finish() }
    };
    streams.into_iter().map(rows).collect()
}

fn entry(dice: &Dice, unit: i64, units: i64, large: bool) -> Entry {
    let stream = dice.below(STREAMS.len() as u64) as usize;
    let format = STREAMS[stream].iter().find(|(name, _)| *name == "format").map_or("", |(_, format)| format);
    let kind = if format == "any" { dice.pick(&["json", "logfmt", "plain"]) } else { format };
    let level = dice.pick(&["info", "info", "warn", "error", "debug"]);
    let (mut line, shape) = match kind {
        "json" => json_line(dice, level),
        "logfmt" => logfmt_line(dice, level),
        _ => {
            (format!("{level} {} {} from 10.0.0.{}", dice.pick(&["GET", "POST"]), dice.pick(&["/a", "/b/c"]), dice.below(5)), Shape::Plain)
        }
    };
    if large && shape == Shape::Plain {
        line = format!("{line} {}", dice.noise(20_000));
    }
    let mut metadata = Vec::new();
    for (name, values) in [("trace_id", ["t1", "t2", "t3"]), ("pod", ["p-1", "p-2", "p-3"]), ("app", ["inner", "inner", "other"])] {
        if dice.chance(if name == "app" { 8 } else { 35 }) {
            metadata.push((name, dice.pick(&values)));
        }
    }
    let pushed_level = dice.chance(10);
    if pushed_level {
        metadata.push(("detected_level", "fatal"));
    }
    let detected = if stream == 6 { "warn" } else { level };
    // Few instants have few entries; some lie beside the grid by a nanosecond.
    let at = BASE + dice.below(units as u64 + 1) as i64 * unit + dice.pick(&[0, 0, 0, 0, 1, -1]);
    Entry { stream, at: at.max(BASE), line, shape, metadata, level: (!pushed_level).then_some(detected) }
}

/// Members that lines have: name, text in the line, value that a parser finds.
fn members(dice: &Dice, level: &str) -> Vec<(&'static str, String)> {
    let mut members = vec![("level", level.to_owned())];
    let number = |of: &[i64]| dice.pick(of).to_string();
    if dice.chance(80) {
        members.push(("status", if dice.chance(5) { "none".to_owned() } else { number(&[200, 200, 404, 500, 503]) }));
    }
    if dice.chance(70) {
        members.push(("took", format!("{}.{}", dice.below(40), dice.pick(&[25, 5, 75]))));
    }
    if dice.chance(50) {
        members.push(("method", dice.pick(&["GET", "POST", "PUT"]).to_owned()));
    }
    if dice.chance(15) {
        members.push(("app", dice.pick(&["inside", "elsewhere"]).to_owned()));
    }
    if dice.chance(10) {
        members.push(("trace_id", "t9".to_owned()));
    }
    if dice.chance(30) {
        members.push(("msg", dice.pick(&["all is well", "disk \"full\"", "caf\u{e9} closed"]).to_owned()));
    }
    let turn = dice.below(members.len() as u64) as usize;
    members.rotate_left(turn);
    members
}

fn is_number(value: &str) -> bool {
    value.parse::<f64>().is_ok()
}

fn json_line(dice: &Dice, level: &str) -> (String, Shape) {
    let members = members(dice, level);
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\\\""));
    let mut parts: Vec<String> = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, value) in members {
        parts.push(format!("\"{name}\":{}", if is_number(&value) { value.clone() } else { quoted(&value) }));
        fields.push((name.to_owned(), value));
    }
    if dice.chance(30) {
        let (id, name) = (dice.below(4).to_string(), dice.pick(&["ann", "bob"]));
        parts.push(format!("\"user\":{{\"id\":{id},\"name\":\"{name}\"}}"));
        fields.extend([("user_id".to_owned(), id), ("user_name".to_owned(), name.to_owned())]);
    }
    if dice.chance(20) {
        parts.push("\"tags\":[\"x\",1],\"nothing\":null,\"ok\":true".to_owned());
        fields.push(("ok".to_owned(), "true".to_owned()));
    }
    let broken = dice.chance(6);
    (format!("{{{}{}", parts.join(","), if broken { "" } else { "}" }), Shape::Json { fields, broken })
}

fn logfmt_line(dice: &Dice, level: &str) -> (String, Shape) {
    let fields: Vec<(String, String)> = members(dice, level).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let text = |value: &str| if value.contains([' ', '"']) { format!("\"{}\"", value.replace('"', "\\\"")) } else { value.to_owned() };
    let mut words: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    if dice.chance(20) {
        words.insert(dice.below(words.len() as u64) as usize, "alone".to_owned());
    }
    (words.join(" "), Shape::Logfmt(fields))
}
