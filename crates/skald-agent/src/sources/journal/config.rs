use crate::config::settings::{Names, Period, settings};

settings! {
    /// `journal`: follows systemd's journal.
    pub struct JournalConfig {
        /// Directory with the journal's files; empty is the machine's own journal.
        pub path: String = String::new(),
        /// Age of the oldest entry that is read at the first start, and beyond which a saved place no longer counts.
        pub max_age: Period = Period::seconds(7 * 3600),
        /// Whether the line is a JSON object of all fields, and not the message alone.
        pub json: bool = false,
        /// Terms `FIELD=value` with spaces between. An entry must have one of the values given for each field.
        pub matches: String = String::new(),
        /// Labels of every entry.
        pub labels: Names = Names::default(),
    }
}

impl JournalConfig {
    /// What is wrong with it, each with the key.
    pub fn problems(&self) -> Vec<String> {
        let wrong = self.terms().filter(|term| !is_term(term));
        wrong.map(|term| format!("matches: \"{term}\" is not FIELD=value")).collect()
    }

    /// The terms of `matches`.
    pub(super) fn terms(&self) -> impl Iterator<Item = &str> {
        self.matches.split_ascii_whitespace()
    }
}

/// Whether a text can only be a term to journalctl, and neither an option nor a path.
fn is_term(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split_once('=').is_some_and(|(field, _)| !field.is_empty() && field.chars().all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_values_has_the_defaults() {
        let config: JournalConfig = serde_saphyr::from_str("path:\nmax_age:\nlabels: {job: systemd}").unwrap();
        assert_eq!(config.max_age, Period::seconds(25_200));
        assert_eq!((config.path.as_str(), config.json, config.labels.0.len()), ("", false, 1));
        let hours: JournalConfig = serde_saphyr::from_str("max_age: 12h").unwrap();
        assert_eq!(hours.max_age, Period::seconds(43_200));
    }

    #[test]
    fn matches_are_terms_and_nothing_else() {
        let config = |matches: &str| JournalConfig { matches: matches.to_owned(), ..JournalConfig::default() };
        assert!(config("").problems().is_empty());
        assert!(config("_TRANSPORT=kernel  PRIORITY=3 _EXE=/usr/bin/a=b X=").problems().is_empty());
        let wrong = config("--vacuum-size=1 /dev/sda + unit=x =y").problems();
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert_eq!(wrong[0], "matches: \"--vacuum-size=1\" is not FIELD=value");
    }
}
