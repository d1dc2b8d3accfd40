use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError};
use serde::{Deserialize, Serialize};

/// Removes colour sequences from the line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Decolorize {}

impl Options for Decolorize {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        Ok(Compiled::each(Removed::default()))
    }
}

/// Scratch space for the line without its colours.
#[derive(Clone, Default)]
struct Removed(Vec<u8>);

impl Stage for Removed {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        if skald_logql::exec::decolorize(work.entry.line.as_bytes(), &mut self.0)
            && let Ok(line) = std::str::from_utf8(&self.0)
        {
            work.entry.line.clear();
            work.entry.line.push_str(line);
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::check;

    #[test]
    fn colours_go() {
        check("- decolorize: {}", &["\u{1b}[31mred\u{1b}[0m and \u{1b}[1;32mgrün\u{1b}[m"], &["{} red and grün"]);
        check("- decolorize:", &["plain", ""], &["{} plain", "{} "]);
    }
}
