use std::fmt;
use std::sync::Arc;

/// Owner of data. Valid by construction: 1 to 150 bytes of `a-z A-Z 0-9 ! - _ . * ' ( )`, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a text is not a tenant id. The texts are Loki's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// Nothing was given.
    #[error("no org id")]
    Missing,
    /// More than [`TenantId::LEN_MAX`] bytes.
    #[error("tenant ID is too long: max 150 characters")]
    TooLong,
    /// `.` or `..`, which would walk out of a folder.
    #[error("tenant ID is '.' or '..'")]
    UnsafeSegment,
    /// A character outside the allowed set.
    #[error("tenant ID '{id}' contains unsupported character '{character}'")]
    UnsupportedCharacter {
        /// The whole id.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl TenantId {
    /// Longest id in bytes.
    pub const LEN_MAX: usize = 150;

    /// Checks `id` and takes it.
    ///
    /// # Errors
    /// See [`TenantIdError`].
    pub fn parse(id: &str) -> Result<Self, TenantIdError> {
        if id.is_empty() {
            return Err(TenantIdError::Missing);
        }
        if id.len() > Self::LEN_MAX {
            return Err(TenantIdError::TooLong);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(character) = id.chars().find(|c| !allowed(*c)) {
            return Err(TenantIdError::UnsupportedCharacter { id: id.to_owned(), character });
        }
        if id == "." || id == ".." {
            return Err(TenantIdError::UnsafeSegment);
        }
        Ok(TenantId(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_loki_refuses() {
        assert!(TenantId::parse("team-a_1.x!*'()").is_ok());
        assert_eq!(TenantId::parse(""), Err(TenantIdError::Missing));
        assert_eq!(TenantId::parse(".."), Err(TenantIdError::UnsafeSegment));
        assert_eq!(TenantId::parse(&"a".repeat(151)), Err(TenantIdError::TooLong));
        let error = TenantId::parse("a/b").expect_err("a slash is not allowed");
        assert_eq!(error.to_string(), "tenant ID 'a/b' contains unsupported character '/'");
    }
}
