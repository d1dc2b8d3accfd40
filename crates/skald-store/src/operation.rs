use std::fmt;

/// What an object store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`crate::ObjectStore::put`].
    Put,
    /// [`crate::ObjectStore::put_if_absent`].
    PutIfAbsent,
    /// [`crate::ObjectStore::get_range`] and [`crate::ObjectStore::get_ranges`].
    Get,
    /// [`crate::ObjectStore::list`].
    List,
    /// [`crate::ObjectStore::delete`].
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 5] = [Self::Put, Self::PutIfAbsent, Self::Get, Self::List, Self::Delete];

    /// Its name in errors and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutIfAbsent => "put_if_absent",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
