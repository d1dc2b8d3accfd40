//! Asks two servers the same questions and prints what differs in their answers. See the README of this folder.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a command for people, which reads a file")]

use clap::Parser;
use integration_tests::Client;
use integration_tests::differential::{Asking, Outcome, Question, questions};
use integration_tests::golden::Rules;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Asks two servers the same questions and prints what differs in their answers.
///
/// Ends with 0 when all answers are equal, 1 when some differ, 2 when they could not be asked.
#[derive(Debug, Parser)]
struct Args {
    /// Questions: JSON lines with path, params, headers; or a JSON array with kind and logql.
    questions: PathBuf,
    /// Server whose answers are expected.
    one: String,
    /// Server whose answers are looked at.
    two: String,
    /// Tenant of questions that name none.
    #[arg(long)]
    tenant: Option<String>,
    /// Start of questions that have none.
    #[arg(long)]
    start: Option<String>,
    /// End, or instant, of questions that have none.
    #[arg(long)]
    end: Option<String>,
    /// How far values may lie apart, relative to the larger.
    #[arg(long, default_value_t = Rules::default().tolerance)]
    tolerance: f64,
    /// Entries of one nanosecond must come in the same order.
    #[arg(long)]
    strict_ties: bool,
    /// Longest text that is printed of a difference.
    #[arg(long, default_value_t = 400)]
    width: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let (mut text, mut cause) = (error.to_string(), error.source());
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

/// Whether all answers are equal.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let text = std::fs::read_to_string(&args.questions).map_err(|error| format!("read {}: {error}", args.questions.display()))?;
    let all = questions(&text)?;
    let rules = Rules { tolerance: args.tolerance, ties_in_any_order: !args.strict_ties, ..Rules::default() };
    let asking = Asking { tenant: args.tenant.clone(), start: args.start.clone(), end: args.end.clone(), rules };
    let (one, two) = (Client::new(&args.one), Client::new(&args.two));
    let (mut equal, mut different, mut other_texts) = (0, 0, 0);
    for question in &all {
        match asking.ask_both(&one, &two, question)? {
            Outcome::Equal => equal += 1,
            Outcome::OtherText { one, two } => {
                other_texts += 1;
                tell(question, &format!("error '{}', expected '{}'", two.trim_end(), one.trim_end()), args.width);
            }
            Outcome::Different { why } => {
                different += 1;
                tell(question, &why, args.width);
            }
        }
    }
    println!("{} questions: {equal} equal, {different} different, {other_texts} with another error text", all.len());
    Ok(different == 0)
}

fn tell(question: &Question, what: &str, width: usize) {
    let query = question.params.iter().find(|(name, _)| name == "query").map_or("", |(_, query)| query);
    let cut: String = what.chars().take(width).collect();
    println!("{} {} {query}\n    {cut}{}", question.name, question.path, if cut.len() < what.len() { "…" } else { "" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use integration_tests::differential::DifferentialError;

    #[test]
    fn a_server_that_is_not_there_is_an_error_and_no_difference() {
        let asking = Asking::default();
        let question = questions("{\"path\":\"/ready\"}").expect("it is one").remove(0);
        // A port that nothing listens on.
        let nobody = Client::new("http://127.0.0.1:1");
        assert!(matches!(asking.ask_both(&nobody, &nobody, &question), Err(DifferentialError::Ask { .. })));
    }
}
