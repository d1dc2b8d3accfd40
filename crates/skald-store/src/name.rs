use crate::StoreError;

/// What S3 allows, and what file systems allow for one segment.
pub(crate) const NAME_LEN_MAX: usize = 1024;
const SEGMENT_LEN_MAX: usize = 255;

/// Folder in which the local store puts what is being written.
pub(crate) const TMP: &str = "~tmp";
/// File that locks a local store.
pub(crate) const LOCK: &str = "~lock";

/// Whether a first segment is the local store's own. No tenant id can hold a tilde.
pub(crate) fn is_own(segment: &str) -> bool {
    matches!(segment, TMP | LOCK)
}

/// Refuses what is not the name of an object.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let valid_segment = |s: &str| !matches!(s, "" | "." | "..") && s.len() <= SEGMENT_LEN_MAX && !s.contains(char::is_control);
    let taken = name.split('/').next().is_some_and(is_own);
    if !taken && name.len() <= NAME_LEN_MAX && name.split('/').all(valid_segment) {
        Ok(())
    } else {
        Err(StoreError::InvalidName(name.to_owned()))
    }
}

/// Refuses what is neither empty nor a folder, ending in `/`. Gives the folder without its last `/`.
pub(crate) fn check_prefix(prefix: &str) -> Result<&str, StoreError> {
    if prefix.is_empty() {
        return Ok(prefix);
    }
    let folder = prefix.strip_suffix('/').ok_or_else(|| StoreError::InvalidName(prefix.to_owned()))?;
    check_name(folder).map(|()| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_without_tricks() {
        let long = "x".repeat(255);
        for name in [
            "a",
            "a/b",
            ".hidden",
            "a/...",
            "ä ö",
            "a\\b",
            "a:b",
            "~owner/1",
            "~probe/a",
            "a/~tmp",
            "~tmpx",
            &long,
            &format!("{long}/{long}"),
        ] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
        let (too_long, deep) = ("x".repeat(256), "x/".repeat(512) + "x");
        for name in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0b", "a\nb", "~tmp", "~tmp/a", "~lock", "~lock/a", &too_long, &deep,
        ] {
            assert!(matches!(check_name(name), Err(StoreError::InvalidName(refused)) if refused == name), "{name:?}");
        }
    }

    #[test]
    fn prefixes_are_whole_folders() {
        for (prefix, folder) in [("", ""), ("a/", "a"), ("a/b/", "a/b")] {
            assert_eq!(check_prefix(prefix).ok(), Some(folder));
        }
        for prefix in ["a", "/", "a//", "../", "a/b"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
    }
}
