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
