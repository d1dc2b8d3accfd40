use skald_model::{Day, DiskId, Generation, GenerationPart, TenantId};
use std::fmt;
use std::str::FromStr;

/// Name of a flushed data object: `<tenant>/<day>/incoming/<disk>-<generation>-<part>-<class>`, and `~<attempt>` behind it where
/// another object had the name already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Owner.
    pub tenant: TenantId,
    /// UTC day of all entries.
    pub day: Day,
    /// Who wrote it.
    pub disk: DiskId,
    /// From which rows.
    pub at: GenerationPart,
    /// Retention class: letters and digits.
    pub class: String,
    /// 0 unless the name was taken.
    pub attempt: u32,
}

/// The text is not the name of a data object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a data object")]
pub struct NotAnObjectName;

impl ObjectName {
    /// The name under which an ingester flushes.
    pub fn incoming(tenant: TenantId, day: Day, disk: DiskId, at: GenerationPart, class: &str) -> Self {
        ObjectName { tenant, day, disk, at, class: class.to_owned(), attempt: 0 }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GenerationPart { generation, part } = self.at;
        write!(f, "{}/{}/incoming/{}-{generation}-{part}-{}", self.tenant, self.day, self.disk, self.class)?;
        if self.attempt > 0 { write!(f, "~{}", self.attempt) } else { Ok(()) }
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
    let (tenant, day, state, file) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
    if state != "incoming" || segments.next().is_some() {
        return None;
    }
    let (file, attempt) = match file.split_once('~') {
        Some((file, attempt)) => (file, attempt.parse().ok()?),
        None => (file, 0),
    };
    let mut parts = file.splitn(4, '-');
    let (disk, generation, part, class) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(ObjectName {
        tenant: TenantId::parse(tenant).ok()?,
        day: day.parse().ok()?,
        disk: disk.parse().ok()?,
        at: GenerationPart { generation: Generation(generation.parse().ok()?), part: part.parse().ok()? },
        class: class.to_owned(),
        attempt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let at = GenerationPart { generation: Generation(7), part: 1 };
        let tenant = TenantId::parse("team-a.b!").expect("valid");
        let mut name = ObjectName::incoming(tenant, Day(20_468), DiskId(0xabc), at, "default");
        assert_eq!(name.to_string(), "team-a.b!/2026-01-15/incoming/00000000000000000000000000000abc-0000000007-1-default");
        assert_eq!(name.to_string().parse(), Ok(name.clone()));
        name.attempt = 2;
        assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn other_texts_are_no_names() {
        for text in ["", "t/2026-01-15/incoming/x", "t/2026-01-15/other/0-0-0-d", "t/2026-1-15/incoming/abc-7-1-default", "a/b/c/d/e"] {
            assert_eq!(text.parse::<ObjectName>(), Err(NotAnObjectName), "{text}");
        }
    }
}
