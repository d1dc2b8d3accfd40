use super::*;

fn compile(pattern: &str) -> Result<Compiled, QueryError> {
    Compiled::new(&Test::Pattern(pattern.to_owned()))
}

const TEXTS: &[&str] =
    &["", "a", "b", "ab", "abc", "a\nb", "xaby", "7x", "pod-7x-1", "é", "payment", "payments", "PayMent", "a b", "aaaa", "bcccccccccccc"];

#[track_caller]
fn check(pattern: &str, kind: &str) {
    let compiled = compile(pattern).expect("a pattern");
    let is = match &compiled {
        Compiled::OneOf(texts) => format!("{} texts", texts.len()),
        Compiled::Everything => "everything".into(),
        Compiled::NotEmpty => "not empty".into(),
        Compiled::Automaton(_) => "automaton".into(),
        Compiled::Regex(_) => "regex".into(),
    };
    assert_eq!(is, kind, "{pattern}");
    let whole = regex_automata::meta::Regex::new(&format!("\\A(?s:{pattern})\\z")).expect("a pattern");
    for text in TEXTS {
        assert_eq!(compiled.matches(text), whole.is_match(text), "{pattern} on {text:?}");
        if let Compiled::Automaton(dfa) = &compiled {
            let prefixed = PrefixedDfa { prefix: b"vname\xff", dfa };
            let run = |term: &[u8]| term.iter().fold(prefixed.start(), |state, byte| prefixed.accept(&state, *byte));
            let state = run(&[b"vname\xff", text.as_bytes()].concat());
            assert_eq!(prefixed.is_match(&state), whole.is_match(text), "{pattern} on {text:?} behind its name");
            assert!(prefixed.can_match(&state) || !prefixed.is_match(&state));
            assert!(!prefixed.is_match(&run(&[b"vnamf\xff", text.as_bytes()].concat())));
        }
    }
}

#[test]
fn all_kinds_match_whole_texts() {
    check("a|b|abc", "3 texts");
    check("pay(ment|ments)", "2 texts");
    check("(?i)ab", "4 texts");
    check("", "1 texts");
    check("a|", "2 texts");
    check(".*", "everything");
    check("(.*)", "everything");
    check(".+", "not empty");
    check("(?-s:.+)", "automaton");
    check("pay.*", "automaton");
    check("^payment.*$", "automaton");
    check("a|ab|.*7x.*", "automaton");
    check("a.b", "automaton");
    check("(?-u:\\b)a(?-u:\\b).*", "automaton");
    check("(?m)^a$.*^b$", "automaton");
    check("[^a]", "automaton");
    check("(a|b)*", "automaton");
    check("$a|^b", "automaton");
    check("x*?", "automaton");
    check("\\bx\\b.*|é", "regex");
    check(".*b.{12}", "regex");
}

#[test]
fn what_is_no_pattern_is_the_querys_fault() {
    let check = |pattern: &str, want: &str| {
        let err = compile(pattern).err().expect("refused");
        assert_eq!((err.to_string(), err.kind()), (want.to_owned(), skald_model::ErrorKind::InvalidInput));
    };
    check("(a", "error parsing regexp: unclosed group: `(a`");
    check("(a{1000}){1000}{1000}", "error parsing regexp: expression too large: `(a{1000}){1000}{1000}`");
}
