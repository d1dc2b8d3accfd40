//! Remembers what stands before the values of lines, so that lines of a known shape are read value by value.
//!
//! A *lead* is the text from the end of one value to the first byte of the next: `,"status":` in JSON, ` status=` in logfmt. Reading one
//! comes to the same wherever it stands, so a text that was read before needs only a comparison. Which leads to compare with is
//! predicted by what followed the last one; a wrong prediction costs time, never exactness.

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;
use std::ops::Range;

/// Most leads that are remembered; then all are forgotten.
const LEADS_MAX: usize = 512;
/// Longer ones are not remembered.
const LEN_MAX: usize = 96;
/// Leads that are tried as the next.
const NEXT: usize = 4;
const HEAD: usize = 16;
/// So many lines one after the other may be unlike those before; then leads are left alone for a while.
const UNLIKE_MAX: u32 = 8;
/// Lines for which they are left alone.
const PAUSE: u32 = 64;

/// A place in the sequence of leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    /// Before the first value of a line.
    const START: Place = Place(0);
    /// Behind a value of which nothing is known.
    const ANYWHERE: Place = Place(1);
    /// In a line for which leads are left alone: nothing follows, and nothing is learned.
    const PAUSED: Place = Place(2);
    const FIRST: usize = 3;
}

/// The leads that were seen, and what followed each.
#[derive(Debug)]
pub(crate) struct Leads {
    leads: Vec<Lead>,
    /// Texts and names, end to end.
    text: Vec<u8>,
    by_text: HashTable<u16>,
    /// Of this line: leads that were foretold, and those that were not.
    hits: u32,
    misses: u32,
    /// Lines with too many of those up to now.
    unlike: u32,
    pause: u32,
}

#[derive(Debug, Clone)]
struct Lead {
    /// The first bytes of the text, the others 0.
    head: u128,
    /// Which bits of the head count.
    mask: u128,
    text: Range<u32>,
    name: Range<u32>,
    /// What followed; the likeliest first, 0 behind the last.
    next: [u16; NEXT],
}

impl Default for Leads {
    fn default() -> Self {
        let mut leads = Leads { leads: Vec::new(), text: Vec::new(), by_text: HashTable::new(), hits: 0, misses: 0, unlike: 0, pause: 0 };
        leads.forget();
        leads
    }
}

impl Leads {
    /// The place before the first value of the next line.
    pub(crate) fn begin(&mut self) -> Place {
        if self.pause > 0 {
            self.pause -= 1;
            return Place::PAUSED;
        }
        // A miss costs about as much as a few hits save.
        self.unlike = if self.misses > self.hits / 2 { self.unlike + 1 } else { 0 };
        (self.hits, self.misses) = (0, 0);
        if self.unlike > UNLIKE_MAX {
            (self.unlike, self.pause) = (UNLIKE_MAX, PAUSE);
        }
        Place::START
    }

    /// Says that something followed that is no lead.
    pub(crate) fn missed(&mut self) {
        self.misses += 1;
    }

    /// The lead that `rest` begins with, where one of those that followed `place` does, and its length.
    #[inline]
    pub(crate) fn follow(&mut self, place: Place, rest: &[u8]) -> Option<(Place, usize)> {
        let before = &self.leads[place.0 as usize];
        for (rank, number) in before.next.into_iter().enumerate() {
            if number == 0 {
                return None;
            }
            let lead = &self.leads[number as usize];
            if self.begins(rest, lead) {
                let len = lead.text.len();
                self.hits += 1;
                if rank > 0 {
                    self.leads[place.0 as usize].next.swap(rank - 1, rank);
                }
                return Some((Place(number), len));
            }
        }
        None
    }

    #[inline]
    fn begins(&self, rest: &[u8], lead: &Lead) -> bool {
        match rest.first_chunk::<HEAD>() {
            Some(head) => {
                (u128::from_le_bytes(*head) ^ lead.head) & lead.mask == 0
                    && (lead.text.len() <= HEAD || rest.starts_with(self.bytes(&lead.text)))
            }
            None => rest.starts_with(self.bytes(&lead.text)),
        }
    }

    /// The name that was learned with a lead.
    #[inline]
    pub(crate) fn name(&self, place: Place) -> &[u8] {
        self.bytes(&self.leads[place.0 as usize].name)
    }

    /// Remembers that `text` followed `place`, and what it names. Gives its place, if it is kept.
    #[cold]
    pub(crate) fn learn(&mut self, place: Place, text: &[u8], name: &[u8]) -> Place {
        if place == Place::PAUSED {
            return place;
        }
        self.misses += 1;
        if text.len() > LEN_MAX || text.is_empty() || name.len() > LEN_MAX {
            return Place::ANYWHERE;
        }
        let hash = FxBuildHasher.hash_one(text);
        let found = self.by_text.find(hash, |number| self.bytes(&self.leads[*number as usize].text) == text).copied();
        let (place, number) = match found {
            Some(number) => (place, number),
            None if self.leads.len() < LEADS_MAX => (place, self.insert(hash, text, name)),
            None => {
                self.forget();
                // What may begin a line must not follow a value.
                let place = if place == Place::START { place } else { Place::ANYWHERE };
                (place, self.insert(hash, text, name))
            }
        };
        let next = &mut self.leads[place.0 as usize].next;
        if !next.contains(&number) {
            next.rotate_right(1);
            next[0] = number;
        }
        Place(number)
    }

    fn insert(&mut self, hash: u64, text: &[u8], name: &[u8]) -> u16 {
        let number = self.leads.len() as u16;
        let mut put = |bytes: &[u8]| {
            let start = self.text.len() as u32;
            self.text.extend_from_slice(bytes);
            start..self.text.len() as u32
        };
        let (mut head, mut mask) = ([0; HEAD], [0; HEAD]);
        let len = text.len().min(HEAD);
        head[..len].copy_from_slice(&text[..len]);
        mask[..len].fill(0xff);
        let (head, mask) = (u128::from_le_bytes(head), u128::from_le_bytes(mask));
        let lead = Lead { head, mask, text: put(text), name: put(name), next: [0; NEXT] };
        self.leads.push(lead);
        let texts = (&self.leads, &self.text);
        self.by_text.insert_unique(hash, number, |number| {
            let range = &texts.0[*number as usize].text;
            FxBuildHasher.hash_one(&texts.1[range.start as usize..range.end as usize])
        });
        number
    }

    fn forget(&mut self) {
        self.by_text.clear();
        self.text.clear();
        self.leads.clear();
        self.leads.resize(Place::FIRST, Lead { head: 0, mask: 0, text: 0..0, name: 0..0, next: [0; NEXT] });
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.text[range.start as usize..range.end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_followed_is_found_again_and_the_likelier_comes_first() {
        let mut leads = Leads::default();
        let a = leads.learn(Place::START, b"{\"a\":", b"a");
        let b = leads.learn(a, b",\"a longer name than sixteen\":", b"long");
        let c = leads.learn(a, b",\"c\":", b"c");
        assert_eq!(leads.learn(a, b",\"c\":", b"c"), c);
        assert_eq!(leads.follow(Place::START, b"{\"a\":1"), Some((a, 5)));
        assert_eq!(leads.follow(Place::START, b",\"c\":1"), None);
        assert_eq!(leads.follow(a, b",\"a longer name than sixteen\":true}"), Some((b, 30)));
        assert_eq!(leads.follow(a, b",\"a longer name than 16\":true}"), None);
        assert_eq!(leads.leads[a.0 as usize].next[..2], [b.0, c.0]);
        assert_eq!((leads.follow(a, b",\"c\":1"), leads.name(c)), (Some((c, 5)), &b"c"[..]));
    }

    #[test]
    fn lines_unlike_each_other_are_soon_left_alone_and_tried_again() {
        let mut leads = Leads::default();
        let mut paused = 0;
        for i in 0..1000 {
            let place = leads.begin();
            paused += u32::from(place == Place::PAUSED);
            leads.learn(place, format!(" key{i}=").as_bytes(), b"key");
            assert!(place != Place::PAUSED || leads.follow(place, format!(" key{i}=").as_bytes()).is_none());
        }
        assert!((900..1000).contains(&paused), "{paused}");
        for _ in 0..200 {
            let mut place = leads.begin();
            for text in [" a=", " b=", " c="] {
                place = leads.follow(place, text.as_bytes()).map_or_else(|| leads.learn(place, text.as_bytes(), b"x"), |(next, _)| next);
            }
        }
        assert_ne!(leads.begin(), Place::PAUSED);
    }

    proptest! {
        #![proptest_config(skald_testkit::property(16))]

        #[test]
        fn only_leads_of_the_place_are_followed_and_memory_is_bounded(steps in proptest::collection::vec((0u16..700, any::<bool>()), 0..900)) {
            let (mut leads, mut place) = (Leads::default(), Place::START);
            for (i, ends) in steps {
                let name = format!("key{i}");
                let text = format!("{}{name}=", if place == Place::START { "" } else { " " });
                place = match leads.follow(place, text.as_bytes()) {
                    Some((next, len)) => {
                        prop_assert_eq!((len, leads.name(next)), (text.len(), name.as_bytes()));
                        next
                    }
                    None => leads.learn(place, text.as_bytes(), name.as_bytes()),
                };
                for (from, lead) in leads.leads.iter().enumerate() {
                    for next in lead.next.into_iter().filter(|next| *next > 0) {
                        let begins_a_line = leads.bytes(&leads.leads[next as usize].text)[0] != b' ';
                        prop_assert_eq!(begins_a_line, from == 0);
                    }
                }
                prop_assert!(leads.leads.len() <= LEADS_MAX && leads.text.len() <= 2 * LEADS_MAX * LEN_MAX);
                if ends { place = Place::START }
            }
        }
    }
}
