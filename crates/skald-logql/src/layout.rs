//! Layouts of times as Go writes them: as the reference time Mon Jan 2 15:04:05 MST 2006 would be written.

mod elements;
mod format;
mod reading;
#[cfg(test)]
mod tests;

pub use format::format;
pub use reading::Reading;

use elements::{Element, chunks};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::sync::LazyLock;

/// The zones that this program brings along, so that the machine it runs on does not matter.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The zone of a name of the IANA database (`Europe/Berlin`), if there is one.
pub fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// A layout, ready to read times with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    chunks: Vec<Chunk>,
}

/// A text of a layout and the element behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    text: String,
    element: Option<Element>,
    /// Whether the next element is a fraction of a second.
    before_fraction: bool,
}

impl Layout {
    /// Any text is a layout: what is no element stands for itself.
    pub fn new(layout: &str) -> Self {
        let mut all = Vec::new();
        chunks(layout, |text, element| all.push(Chunk { text: text.to_owned(), element, before_fraction: false }));
        for at in 1..all.len() {
            all[at - 1].before_fraction = matches!(all[at].element, Some(Element::Fraction { .. }));
        }
        Layout { chunks: all }
    }

    /// Whether times of this layout say their offset from UTC.
    pub fn has_offset(&self) -> bool {
        self.chunks.iter().any(|chunk| matches!(chunk.element, Some(Element::Offset { .. })))
    }

    /// Reads a whole text, by the rules of Go's `time.Parse`; `None` when it is no such time.
    ///
    /// That a day lies in its month is for [`Reading::timestamp`] to find out, since the layout may have no year.
    pub fn read<'t>(&self, text: &'t str) -> Option<Reading<'t>> {
        let mut reader = reading::Reader::new(text);
        for chunk in &self.chunks {
            reader.text(&chunk.text)?;
            if let Some(element) = chunk.element {
                reader.element(element, chunk.before_fraction)?;
            }
        }
        reader.end()
    }
}
