//! `${VAR}` in the text of a configuration file, as `-config.expand-env` has it.

use skald_model::ErrorKind;

/// How deep a default may stand in a default.
const DEPTH_MAX: usize = 16;
/// Longest text that comes out.
const BYTES_MAX: usize = 16 << 20;

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpandError {
    /// Line of the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl ExpandError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

/// Replaces `${NAME}` and its forms by what `variable` says; `$$` is `$`, `\\` is `\`, and a `$` before anything but a brace stays.
///
/// A variable that is not set is empty. The forms are those of a shell: `${A:-default}` (also `-`, `:=` and `=`, all for an empty value), `${A:+other}`, `${A:?message}`, `${#A}`
/// for the length, `${A:from}` and `${A:from:length}`, `${A^}` `${A^^}` `${A,}` `${A,,}` for the case, `${A#glob}` `${A##glob}` `${A%glob}` `${A%%glob}` to cut at the beginning or end, and
/// `${A/old/new}` `${A//old/new}` `${A/#old/new}` `${A/%old/new}`. Defaults and texts may hold variables themselves.
///
/// # Errors
/// A brace that does not end, a form that is none of these, or `:?` of an empty variable.
pub fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let expander = Expander { variable };
    let mut out = String::with_capacity(text.len());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let expanded = expander.text(line, 0).map_err(|message| ExpandError { line: at + 1, message })?;
        out.push_str(&expanded);
        if out.len() > BYTES_MAX {
            return Err(ExpandError { line: at + 1, message: "the expanded file is larger than 16 MiB".to_owned() });
        }
    }
    Ok(out)
}

struct Expander<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Expander<'_> {
    fn text(&self, mut rest: &str, depth: usize) -> Result<String, String> {
        let mut out = String::new();
        while let Some(at) = rest.find(['$', '\\']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix("\\\\") {
                out.push('\\');
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let end = closing_brace(after).ok_or("\"${\" without \"}\" on its line")?;
                out.push_str(&self.form(&after[..end], depth)?);
                rest = &after[end + 1..];
            } else {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands between the braces.
    fn form(&self, form: &str, depth: usize) -> Result<String, String> {
        if depth == DEPTH_MAX {
            return Err("variables within variables are nested too deep".to_owned());
        }
        let value = |name: &str| (self.variable)(name).unwrap_or_default();
        if let Some(name) = form.strip_prefix('#').filter(|name| name_len(name) == name.len() && !name.is_empty()) {
            return Ok(value(name).chars().count().to_string());
        }
        let (name, operation) = form.split_at(name_len(form));
        let unknown = || format!("\"${{{form}}}\" is no form of a variable");
        if name.is_empty() {
            return Err(unknown());
        }
        let value = value(name);
        let argument = |text: &str| self.text(text, depth + 1);
        let operation = match operation.strip_prefix(':') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => return slice(&value, rest).ok_or_else(unknown),
            Some(rest) if rest.starts_with(['-', '=', '+', '?']) => rest,
            _ => operation,
        };
        let mut chars = operation.chars();
        let (Some(sign), rest) = (chars.next(), chars.as_str()) else { return Ok(value) };
        Ok(match (sign, rest) {
            ('-' | '=', default) if value.is_empty() => argument(default)?,
            ('-' | '=', _) => value,
            ('+', _) if value.is_empty() => value,
            ('+', other) => argument(other)?,
            ('?', message) if value.is_empty() => return Err(format!("{name}: {}", argument(message)?)),
            ('?', _) => value,
            ('^', "^") => value.to_uppercase(),
            ('^', "") => with_first(&value, |first| first.to_uppercase().collect()),
            (',', ",") => value.to_lowercase(),
            (',', "") => with_first(&value, |first| first.to_lowercase().collect()),
            ('#' | '%', glob) => cut(&value, sign, glob, &argument)?,
            ('/', rest) => replace(&value, rest, &argument)?,
            _ => return Err(unknown()),
        })
    }
}

/// Where the brace ends that was opened before `text`; those within count.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut open, mut escaped) = (1, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => open += 1,
            '}' if open == 1 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn name_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// `from` or `from:length`, in characters.
fn slice(value: &str, range: &str) -> Option<String> {
    let (from, len) = range.split_once(':').map_or((range, None), |(from, len)| (from, Some(len)));
    let len = len.map_or(Some(usize::MAX), |len| len.parse().ok())?;
    Some(value.chars().skip(from.parse().ok()?).take(len).collect())
}

fn with_first(value: &str, case: impl Fn(char) -> String) -> String {
    let mut chars = value.chars();
    chars.next().map_or_else(String::new, |first| case(first) + chars.as_str())
}

/// `#glob` cuts the shortest beginning that matches, `##glob` the longest; `%` and `%%` do so at the end.
fn cut(value: &str, sign: char, glob: &str, argument: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let (longest, glob) = glob.strip_prefix(sign).map_or((false, glob), |glob| (true, glob));
    let glob: Vec<char> = argument(glob)?.chars().collect();
    let bounds = value.char_indices().map(|(at, _)| at).chain([value.len()]);
    let at_start = sign == '#';
    let fits = |at: &usize| {
        let part = if at_start { &value[..*at] } else { &value[*at..] };
        glob_matches(&glob, &part.chars().collect::<Vec<char>>())
    };
    let mut cuts: Vec<usize> = bounds.collect();
    // A beginning is longest where its end is last, an end where its start is first.
    if longest == at_start {
        cuts.reverse();
    }
    let found = cuts.iter().find(|at| fits(at)).copied();
    Ok(match found {
        Some(at) if at_start => value[at..].to_owned(),
        Some(at) => value[..at].to_owned(),
        None => value.to_owned(),
    })
}

/// `*` is any text, `?` any character.
fn glob_matches(glob: &[char], text: &[char]) -> bool {
    // Where to go on from if the text after a star turns out to be longer.
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < text.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&c) if c == '?' || c == text[read] => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    (at, read) = (star_at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|c| *c == '*')
}

/// `old/new` once, `/old/new` everywhere, `#old/new` at the beginning, `%old/new` at the end.
fn replace(value: &str, rest: &str, argument: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let (place, rest) = match rest.chars().next() {
        Some(place @ ('/' | '#' | '%')) => (place, &rest[1..]),
        _ => (' ', rest),
    };
    let (old, new) = split_at_slash(rest);
    let (old, new) = (argument(&old)?, argument(&new)?);
    if old.is_empty() {
        return Ok(value.to_owned());
    }
    Ok(match place {
        '/' => value.replace(&old, &new),
        '#' => value.strip_prefix(&*old).map_or_else(|| value.to_owned(), |rest| new + rest),
        '%' => value.strip_suffix(&*old).map_or_else(|| value.to_owned(), |rest| rest.to_owned() + &new),
        _ => value.replacen(&old, &new, 1),
    })
}

/// At the first slash without a backslash in front, which then goes.
fn split_at_slash(text: &str) -> (String, String) {
    let mut end = text.len();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let plain = |text: &str| text.replace("\\/", "/");
    (plain(&text[..end]), plain(text.get(end + 1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variable(name: &str) -> Option<String> {
        let known = [("A", "alpha"), ("B", "file.tar.gz"), ("EMPTY", ""), ("P", "/var/log/x"), ("G", "größe")];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(expand(text, &variable).as_deref(), Ok(want), "{text}");
    }

    #[test]
    fn variables_are_put_in_their_place() {
        check("x: ${A}-${B}", "x: alpha-file.tar.gz");
        check("${UNSET}|${EMPTY}|", "||");
        check("$A $", "$A $");
    }

    #[test]
    fn dollars_and_backslashes_are_written_twice() {
        check(r"regex: '\\d+ \w' $$1 $${1} $1", r"regex: '\d+ \w' $1 ${1} $1");
    }

    #[test]
    fn defaults_hold_for_what_is_empty() {
        check("${UNSET:-x} ${EMPTY:-x} ${A:-x}", "x x alpha");
        check("${UNSET-x} ${UNSET:=x} ${UNSET=x}", "x x x");
        check("${UNSET:-${EMPTY:-${A}}} ${UNSET:-a:b/c}", "alpha a:b/c");
        check("${A:+set} ${EMPTY:+set}", "set ");
        check("${UNSET:-{a}}", "{a}");
    }

    #[test]
    fn values_are_measured_sliced_and_cased() {
        check("${#A} ${#UNSET} ${#G}", "5 0 5");
        check("${A:1} ${A:1:2} ${A:9} ${G:2:2}", "lpha lp  öß");
        check("${A^} ${A^^} ${A,} ${G^^}", "Alpha ALPHA alpha GRÖSSE");
    }

    #[test]
    fn globs_cut_the_beginning_or_the_end() {
        check("${B#*.} ${B##*.} ${B%.*} ${B%%.*}", "tar.gz gz file.tar file");
        check("${P##*/} ${A#b} ${A#?} ${A%p*}", "x alpha lpha al");
    }

    #[test]
    fn parts_are_replaced() {
        check("${A/a/o} ${A//a/o} ${A/#a/o} ${A/%a/o} ${A/x/o} ${A/a}", "olpha olpho olpha alpho alpha lpha");
        check(r"${P//\//-} ${P/log/${A}}", "-var-log-x /var/alpha/x");
    }

    #[test]
    fn a_form_that_is_none_is_refused_with_its_line() {
        let refused = |text: &str| expand(text, &variable).map_err(|error| (error.line, error.message));
        assert_eq!(refused("a\nb: ${A"), Err((2, "\"${\" without \"}\" on its line".to_owned())));
        assert_eq!(refused("${}"), Err((1, "\"${}\" is no form of a variable".to_owned())));
        assert_eq!(refused("${A!}"), Err((1, "\"${A!}\" is no form of a variable".to_owned())));
        assert_eq!(refused("\n${UNSET:?who}"), Err((2, "UNSET: who".to_owned())));
        let deep = format!("{}{}", "${X:-".repeat(40), "}".repeat(40));
        assert_eq!(refused(&deep), Err((1, "variables within variables are nested too deep".to_owned())));
    }

    proptest! {
        #![proptest_config(skald_testkit::property(256))]

        #[test]
        fn any_text_is_expanded_or_refused(text in r"(\$\{|\}|\$|[A-C:#%/^,?*=+-]|\\|ß|\n){0,24}") {
            let _ = expand(&text, &variable);
        }

        #[test]
        fn a_text_without_signs_stays(text in "[^$\\\\]{0,40}") {
            prop_assert_eq!(expand(&text, &variable).ok(), Some(text));
        }
    }
}
