use crate::QueryError;
use crate::pattern::Compiled;

/// A condition on one label of a stream. A stream without the label has the empty text for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// Name of the label.
    pub name: String,
    /// Whether the test must not hold.
    pub negated: bool,
    /// What the value is asked.
    pub test: Test,
}

/// A question to a label's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// Whether it is this text.
    Equals(String),
    /// Whether it is one of these texts.
    OneOf(Vec<String>),
    /// Whether all of it matches this regular expression, in the syntax of the `regex` crate. The dot matches line feeds, until the pattern says otherwise.
    /// `\w`, `\d`, `\s` and `\b` are Unicode's, which takes long to compile: who means ASCII says so.
    Pattern(String),
}

/// Matchers made ready to be asked of any number of indexes; all must hold.
pub struct Question(pub(crate) Vec<(String, bool, Compiled)>);

impl Question {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`QueryError::Pattern`] and [`QueryError::PatternTooLarge`].
    pub fn new(matchers: &[Matcher]) -> Result<Self, QueryError> {
        let compile = |matcher: &Matcher| Ok((matcher.name.clone(), matcher.negated, Compiled::new(&matcher.test)?));
        matchers.iter().map(compile).collect::<Result<_, _>>().map(Question)
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, negated, _)| (name, negated))).finish()
    }
}
