use crate::{NotAnObjectName, ObjectName, TableId};
use skald_model::TenantId;
use std::fmt;
use std::str::FromStr;

/// Name of any file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableFile {
    /// A data object.
    Object(ObjectName),
    /// An index file.
    Index(IndexName),
    /// A manifest.
    Manifest(ManifestName),
}

/// Name of an index file: `<table>/index/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexName {
    /// The table whose streams it leads to.
    pub table: TableId,
    /// Drawn at random.
    pub id: u128,
}

/// Name of a manifest: `<table>/manifest/<number>`, 20 decimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ManifestName {
    /// The table whose live files it names.
    pub table: TableId,
    /// From 1.
    pub number: u64,
}

impl TableFile {
    /// The table that it is of.
    pub fn table(&self) -> &TableId {
        match self {
            TableFile::Object(name) => &name.table,
            TableFile::Index(name) => &name.table,
            TableFile::Manifest(name) => &name.table,
        }
    }
}

impl fmt::Display for IndexName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/index/{:032x}", self.table, self.id)
    }
}

impl fmt::Display for ManifestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/manifest/{:020}", self.table, self.number)
    }
}

impl FromStr for TableFile {
    type Err = NotAnObjectName;

    fn from_str(text: &str) -> Result<Self, NotAnObjectName> {
        let mut segments = text.splitn(4, '/');
        let mut next = || segments.next().ok_or(NotAnObjectName);
        let (tenant, day, folder, file) = (next()?, next()?, next()?, next()?);
        if !matches!(folder, "index" | "manifest") {
            return text.parse().map(TableFile::Object);
        }
        let tenant = TenantId::parse(tenant).map_err(|_| NotAnObjectName)?;
        let table = TableId { tenant, day: day.parse().map_err(|()| NotAnObjectName)? };
        let (parsed, printed) = if folder == "index" {
            let name = IndexName { table, id: u128::from_str_radix(file, 16).map_err(|_| NotAnObjectName)? };
            (TableFile::Index(name.clone()), name.to_string())
        } else {
            let name = ManifestName { table, number: file.parse().map_err(|_| NotAnObjectName)? };
            (TableFile::Manifest(name.clone()), name.to_string())
        };
        // One file, one name: what prints otherwise is not ours.
        if printed == text { Ok(parsed) } else { Err(NotAnObjectName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_files_read_back() {
        for text in [
            "t/2026-01-15/index/00000000000000000000000000000abc",
            "t/2026-01-15/manifest/00000000000000000017",
            "t/2026-01-15/merged/00000000000000000000000000000abc-default",
            "t/2026-01-15/incoming/00000000000000000000000000000abc-0000000007-1-default",
        ] {
            let name: TableFile = text.parse().expect("a name");
            assert_eq!(name.table().to_string(), "t/2026-01-15");
            let printed = match &name {
                TableFile::Object(name) => name.to_string(),
                TableFile::Index(name) => name.to_string(),
                TableFile::Manifest(name) => name.to_string(),
            };
            assert_eq!(printed, text);
        }
    }

    #[test]
    fn other_texts_are_no_names() {
        for text in
            ["t/2026-01-15/index/abc", "t/2026-01-15/manifest/17", "t/2026-01-15/manifest/+0000000000000000017", "~owner/1", "t", ""]
        {
            assert_eq!(text.parse::<TableFile>(), Err(NotAnObjectName), "{text}");
        }
        let upper = "t/2026-01-15/index/00000000000000000000000000000ABC";
        assert_eq!(upper.parse::<TableFile>(), Err(NotAnObjectName));
    }
}
