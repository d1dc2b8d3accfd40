use crate::long_labels::LongLabels;
use crate::pattern::{Compiled, PrefixedDfa};
use crate::terms::{self, Blocks, Posting, Terms};
use crate::{FormatError, Question, Selection};
use skald_model::TimeRange;

/// What an index knows of its streams' labels.
pub(crate) struct Labelled<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) long: &'a LongLabels,
}

/// Streams that have a label of a name.
struct Having<'a> {
    name: &'a str,
    value: Value<'a>,
}

/// Whose value is.
enum Value<'a> {
    Any,
    Passing(&'a Compiled),
    Failing(&'a Compiled),
}

/// Streams, as cheaply as they can be had.
enum Found {
    Nothing,
    One(Posting),
    Many(Selection),
}

/// Of a selection that has less than this part of a posting's streams, each is looked for in the posting; else all of the posting is read.
const SPARSE: usize = 8;

impl Labelled<'_> {
    /// The streams for which all matchers hold and whose span of time reaches into the range; `span` is that of all streams.
    pub(crate) fn select(&self, question: &Question, range: TimeRange, span: (i64, i64)) -> Result<Selection, FormatError> {
        if range.is_empty() {
            return Ok(Selection::none(self.terms.streams()));
        }
        let (mut required, mut excluded) = (Vec::new(), Vec::new());
        for (name, negated, test) in &question.0 {
            match (negated, test.matches("")) {
                (false, false) => required.push(Having { name, value: Value::Passing(test) }),
                (false, true) => excluded.push(Having { name, value: Value::Failing(test) }),
                (true, false) => excluded.push(Having { name, value: Value::Passing(test) }),
                (true, true) => {
                    required.push(Having { name, value: Value::Any });
                    excluded.push(Having { name, value: Value::Passing(test) });
                }
            }
        }
        let mut selection = self.required(&required)?;
        self.exclude(&mut selection, &excluded)?;
        // The range is not empty, so something is before its end.
        let (first, last) = (range.start.0, range.end.0 - 1);
        if (span.0 < first || span.1 > last) && !selection.is_empty() {
            self.terms.retain_overlapping(&mut selection, first, last);
        }
        Ok(selection)
    }

    /// Streams that have all of these labels: first what a look-up tells, and only for streams that are left then what has to be searched for.
    fn required(&self, labels: &[Having<'_>]) -> Result<Selection, FormatError> {
        let (mut postings, mut selections) = (Vec::new(), Vec::new());
        for label in labels.iter().filter(|label| label.is_one_look_up()) {
            match self.find(label)? {
                Found::Nothing => return Ok(Selection::none(self.terms.streams())),
                Found::One(posting) => postings.push(posting),
                Found::Many(streams) => selections.push(streams),
            }
        }
        let mut selection = self.intersect(postings)?;
        selections.iter().for_each(|streams| selection.keep(streams));
        for label in labels.iter().filter(|label| !label.is_one_look_up()) {
            if selection.is_empty() {
                break;
            }
            match self.find(label)? {
                Found::Nothing => return Ok(Selection::none(self.terms.streams())),
                Found::One(posting) if self.is_sparse(&selection, &posting) => {
                    let mut streams = self.terms.walk(&posting)?;
                    selection.retain(|stream| streams.seek(stream) == Some(stream));
                }
                Found::One(posting) => selection.keep(&self.read(&posting)?),
                Found::Many(streams) => selection.keep(&streams),
            }
        }
        Ok(selection)
    }

    fn exclude(&self, selection: &mut Selection, labels: &[Having<'_>]) -> Result<(), FormatError> {
        for label in labels {
            if selection.is_empty() {
                break;
            }
            match self.find(label)? {
                Found::Nothing => {}
                Found::One(posting) if self.is_sparse(selection, &posting) => {
                    let mut streams = self.terms.walk(&posting)?;
                    selection.retain(|stream| streams.seek(stream) != Some(stream));
                }
                Found::One(posting) => selection.drop_all(&self.read(&posting)?),
                Found::Many(streams) => selection.drop_all(&streams),
            }
        }
        Ok(())
    }

    fn is_sparse(&self, selection: &Selection, posting: &Posting) -> bool {
        selection.len() * SPARSE < posting.len() as usize
    }

    /// Streams that stand in all postings; all streams if there is no posting. The rarest leads, the others skip to its streams.
    fn intersect(&self, mut postings: Vec<Posting>) -> Result<Selection, FormatError> {
        postings.retain(|posting| posting.len() < self.terms.streams());
        postings.sort_by_key(Posting::len);
        let Some((rarest, others)) = postings.split_first() else {
            return Ok(Selection::all(self.terms.streams()));
        };
        if others.is_empty() {
            return self.read(rarest);
        }
        let mut lead = self.terms.walk(rarest)?;
        let mut others = others.iter().map(|posting| self.terms.walk(posting)).collect::<Result<Vec<_>, _>>()?;
        let mut selection = Selection::none(self.terms.streams());
        let mut candidate = lead.current();
        'candidates: while let Some(stream) = candidate {
            for other in &mut others {
                match other.seek(stream) {
                    Some(found) if found == stream => {}
                    Some(found) => {
                        candidate = lead.seek(found);
                        continue 'candidates;
                    }
                    None => break 'candidates,
                }
            }
            selection.insert(stream);
            candidate = lead.seek(stream + 1);
        }
        Ok(selection)
    }

    fn read(&self, posting: &Posting) -> Result<Selection, FormatError> {
        let mut selection = Selection::none(self.terms.streams());
        self.terms.blocks().read(posting, |streams| {
            streams.iter().for_each(|stream| selection.insert(*stream));
            true
        })?;
        Ok(selection)
    }

    fn find(&self, label: &Having<'_>) -> Result<Found, FormatError> {
        let mut union = Union { blocks: self.terms.blocks(), streams: self.terms.streams(), found: Found::Nothing };
        let test = match label.value {
            Value::Any | Value::Passing(Compiled::Everything | Compiled::NotEmpty) => None,
            Value::Failing(Compiled::Everything) => return Ok(Found::Nothing),
            Value::Passing(test) | Value::Failing(test) => Some(test),
        };
        for (stream, _) in self.long.of(label.name).filter(|(_, value)| test.is_none_or(|test| test.matches(value))) {
            union.many().insert(stream);
        }
        match test {
            None => union.add_all(self.terms.find(&terms::name(label.name))?)?,
            Some(test) => self.find_values(label.name, test, &mut union)?,
        }
        if !matches!(label.value, Value::Failing(_)) {
            return Ok(union.found);
        }
        match (self.find(&Having { name: label.name, value: Value::Any })?, union.found) {
            (any, Found::Nothing) => Ok(any),
            (Found::Nothing, _) => Ok(Found::Nothing),
            (any, passing) => {
                let mut failing = self.selection(any)?;
                failing.drop_all(&self.selection(passing)?);
                Ok(Found::Many(failing))
            }
        }
    }

    fn selection(&self, found: Found) -> Result<Selection, FormatError> {
        match found {
            Found::Nothing => Ok(Selection::none(self.terms.streams())),
            Found::One(posting) => self.read(&posting),
            Found::Many(streams) => Ok(streams),
        }
    }

    /// Streams with a value that the dictionary holds and the test passes.
    fn find_values(&self, name: &str, test: &Compiled, union: &mut Union<'_>) -> Result<(), FormatError> {
        let prefix = terms::pair_prefix(name);
        match test {
            Compiled::OneOf(texts) => {
                for text in texts.iter().filter(|text| !text.is_empty()) {
                    union.add_all(self.terms.find(&terms::pair(name, text))?)?;
                }
                Ok(())
            }
            Compiled::Everything | Compiled::NotEmpty => union.add_all(self.terms.find(&terms::name(name))?),
            Compiled::Automaton(dfa) => self.terms.search(&prefix, PrefixedDfa { prefix: &prefix, dfa }, |posting| union.add(posting)),
            Compiled::Regex(regex) => {
                self.terms.scan(&prefix, |value, posting| if regex.is_match(value) { union.add(posting) } else { Ok(()) })
            }
        }
    }

    /// Whether one of the selected streams stands in the posting.
    pub(crate) fn meets(
        &self,
        selection: &Selection,
        selected: usize,
        posting: &Posting,
        blocks: &mut Blocks<'_>,
    ) -> Result<bool, FormatError> {
        if posting.len() == self.terms.streams() {
            return Ok(selected > 0);
        }
        if selected * SPARSE < posting.len() as usize {
            let mut streams = self.terms.walk(posting)?;
            return Ok(selection.iter().any(|stream| streams.seek(stream) == Some(stream)));
        }
        let mut found = false;
        blocks.read(posting, |streams| {
            found = streams.iter().any(|stream| selection.contains(*stream));
            !found
        })?;
        Ok(found)
    }
}

impl Having<'_> {
    /// Whether one look into the dictionary finds all of them.
    fn is_one_look_up(&self) -> bool {
        match self.value {
            Value::Any | Value::Passing(Compiled::Everything | Compiled::NotEmpty) => true,
            Value::Passing(Compiled::OneOf(texts)) => texts.len() <= 1,
            Value::Passing(Compiled::Automaton(_) | Compiled::Regex(_)) | Value::Failing(_) => false,
        }
    }
}

/// Brings postings together; one alone stays as it is.
struct Union<'a> {
    blocks: Blocks<'a>,
    streams: u32,
    found: Found,
}

impl Union<'_> {
    fn add_all(&mut self, postings: impl IntoIterator<Item = Posting>) -> Result<(), FormatError> {
        postings.into_iter().try_for_each(|posting| self.add(posting))
    }

    fn add(&mut self, posting: Posting) -> Result<(), FormatError> {
        match std::mem::replace(&mut self.found, Found::Nothing) {
            Found::Nothing => {
                self.found = Found::One(posting);
                return Ok(());
            }
            Found::One(before) => {
                self.found = Found::Many(Selection::none(self.streams));
                self.read(&before)?;
            }
            many => self.found = many,
        }
        self.read(&posting)
    }

    fn read(&mut self, posting: &Posting) -> Result<(), FormatError> {
        if let Found::Many(all) = &mut self.found {
            self.blocks.read(posting, |streams| {
                streams.iter().for_each(|stream| all.insert(*stream));
                true
            })?;
        }
        Ok(())
    }

    /// The streams so far, to which single ones can be added. Only before postings.
    fn many(&mut self) -> &mut Selection {
        if !matches!(self.found, Found::Many(_)) {
            self.found = Found::Many(Selection::none(self.streams));
        }
        match &mut self.found {
            Found::Many(streams) => streams,
            _ => unreachable!("made just above"),
        }
    }
}
