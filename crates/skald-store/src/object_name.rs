use skald_model::{Day, DiskId, Generation, GenerationPart, TenantId};
use std::fmt;
use std::str::FromStr;

/// A tenant's UTC day: what has an index and a manifest of its own. Its folder in the store is `<tenant>/<day>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// Owner.
    pub tenant: TenantId,
    /// UTC day of all entries.
    pub day: Day,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.day)
    }
}

/// Name of a data object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The table that all of its entries are of.
    pub table: TableId,
    /// Who wrote it, and from what.
    pub origin: Origin,
    /// Retention class: letters and digits.
    pub class: String,
}

/// Where the rows of a data object come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Flushed: `<table>/incoming/<disk>-<generation>-<part>-<class>`. Of several generations that were merged before they left the disk:
    /// `<table>/incoming/<disk>-<generation>-<part>+<generation>-<part>-<class>`, first and last. `~<attempt>` stands behind it where another object
    /// had the name already.
    Incoming {
        /// Disk of the writer.
        disk: DiskId,
        /// First rows.
        first: GenerationPart,
        /// Last rows; the first ones, unless it was merged.
        last: GenerationPart,
        /// 0 unless the name was taken.
        attempt: u32,
    },
    /// Merged by the compactor: `<table>/merged/<id>-<class>`. Live only where a manifest names it.
    Merged {
        /// Drawn at random.
        id: u128,
    },
}

/// The text is not the name of a data object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a data object")]
pub struct NotAnObjectName;

impl ObjectName {
    /// The name under which an ingester flushes.
    pub fn incoming(table: TableId, disk: DiskId, at: GenerationPart, class: &str) -> Self {
        ObjectName { table, origin: Origin::Incoming { disk, first: at, last: at, attempt: 0 }, class: class.to_owned() }
    }

    /// Whether it holds the rows of one generation part of `disk` and no others, and which. The part then answers for it.
    pub fn flushed_from(&self, by: DiskId) -> Option<GenerationPart> {
        match self.origin {
            Origin::Incoming { disk, first, last, .. } if disk == by && first == last => Some(first),
            Origin::Incoming { .. } | Origin::Merged { .. } => None,
        }
    }

    /// The highest generation of `disk` whose rows it holds, as far as its name tells.
    pub fn last_generation(&self, of: DiskId) -> Option<Generation> {
        match self.origin {
            Origin::Incoming { disk, last, .. } if disk == of => Some(last.generation),
            Origin::Incoming { .. } | Origin::Merged { .. } => None,
        }
    }

    /// The name to try when this one is taken by an object with other rows.
    pub fn next_attempt(&self) -> Self {
        let mut next = self.clone();
        if let Origin::Incoming { attempt, .. } = &mut next.origin {
            *attempt += 1;
        }
        next
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectName { table, origin, class } = self;
        match origin {
            Origin::Incoming { disk, first, last, attempt } => {
                write!(f, "{table}/incoming/{disk}-{}-{}", first.generation, first.part)?;
                if last != first {
                    write!(f, "+{}-{}", last.generation, last.part)?;
                }
                write!(f, "-{class}")?;
                if *attempt > 0 { write!(f, "~{attempt}") } else { Ok(()) }
            }
            Origin::Merged { id } => write!(f, "{table}/merged/{id:032x}-{class}"),
        }
    }
}

impl FromStr for ObjectName {
    type Err = NotAnObjectName;

    fn from_str(text: &str) -> Result<Self, NotAnObjectName> {
        let parsed = parse(text).ok_or(NotAnObjectName)?;
        // One object, one name: what prints otherwise is not ours.
        if parsed.to_string() == text { Ok(parsed) } else { Err(NotAnObjectName) }
    }
}

fn parse(text: &str) -> Option<ObjectName> {
    let mut segments = text.split('/');
    let (tenant, day, folder, file) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
    if segments.next().is_some() {
        return None;
    }
    let table = TableId { tenant: TenantId::parse(tenant).ok()?, day: day.parse().ok()? };
    let (origin, class) = match folder {
        "incoming" => parse_incoming(file)?,
        "merged" => {
            let (id, class) = file.split_once('-')?;
            (Origin::Merged { id: u128::from_str_radix(id, 16).ok()? }, class)
        }
        _ => return None,
    };
    let is_class = !class.is_empty() && class.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_class.then(|| ObjectName { table, origin, class: class.to_owned() })
}

fn parse_incoming(file: &str) -> Option<(Origin, &str)> {
    let (file, attempt) = match file.split_once('~') {
        Some((file, attempt)) => (file, attempt.parse().ok()?),
        None => (file, 0),
    };
    let (rows, class) = file.rsplit_once('-')?;
    let (disk, rows) = rows.split_once('-')?;
    let (first, last) = match rows.split_once('+') {
        Some((first, last)) => (parse_part(first)?, parse_part(last)?),
        None => (parse_part(rows)?, parse_part(rows)?),
    };
    let origin = Origin::Incoming { disk: disk.parse().ok()?, first, last, attempt };
    (first <= last).then_some((origin, class))
}

fn parse_part(text: &str) -> Option<GenerationPart> {
    let (generation, part) = text.split_once('-')?;
    Some(GenerationPart { generation: Generation(generation.parse().ok()?), part: part.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let at = |generation, part| GenerationPart { generation: Generation(generation), part };
        let table = TableId { tenant: TenantId::parse("team-a.b!").expect("valid"), day: Day(20_468) };
        let flushed = ObjectName::incoming(table.clone(), DiskId(0xabc), at(7, 1), "default");
        let origin = Origin::Incoming { disk: DiskId(0xabc), first: at(7, 1), last: at(12, 0), attempt: 0 };
        let joined = ObjectName { origin, ..flushed.clone() };
        let merged = ObjectName { origin: Origin::Merged { id: 0xdef }, ..flushed.clone() };
        for (name, text) in [
            (flushed.clone(), "incoming/00000000000000000000000000000abc-0000000007-1-default"),
            (flushed.next_attempt().next_attempt(), "incoming/00000000000000000000000000000abc-0000000007-1-default~2"),
            (joined, "incoming/00000000000000000000000000000abc-0000000007-1+0000000012-0-default"),
            (merged, "merged/00000000000000000000000000000def-default"),
        ] {
            assert_eq!(name.to_string(), format!("team-a.b!/2026-01-15/{text}"));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn other_texts_are_no_names() {
        let disk = "00000000000000000000000000000abc";
        for text in [
            String::new(),
            "t/2026-01-15/incoming/x".into(),
            "t/2026-01-15/other/0-0-0-d".into(),
            "t/2026-1-15/incoming/abc-7-1-default".into(),
            "a/b/c/d/e".into(),
            format!("t/2026-01-15/incoming/{disk}-0000000007-1-"),
            format!("t/2026-01-15/incoming/{disk}-0000000007-1-a/b"),
            format!("t/2026-01-15/incoming/{disk}-0000000007-1+0000000006-1-default"),
            format!("t/2026-01-15/incoming/{disk}-0000000007-1+0000000007-1-default"),
            format!("t/2026-01-15/merged/{disk}"),
        ] {
            assert_eq!(text.parse::<ObjectName>(), Err(NotAnObjectName), "{text}");
        }
    }
}
