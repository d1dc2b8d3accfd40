//! Durations, sizes and numbers as LogQL and Go write them: parsed with Go's error texts, printed as Go prints them.

mod duration;
mod float;
mod size;

pub use duration::{DurationError, GoDurationError, format_duration, format_go_duration, parse_duration, parse_go_duration};
pub use float::{ParseFloatError, format_fixed, format_float, parse_float};
pub use size::{ParseSizeError, format_size, parse_size};

/// A text in double quotes, as errors show it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    skald_model::quote(&mut out, text);
    out
}

#[cfg(test)]
mod tests;
