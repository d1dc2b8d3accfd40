use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest prefix in a bucket; S3 has 1,024 bytes for the whole key.
const PREFIX_LEN_MAX: usize = 512;

/// Where data objects lie: `file:///directory` or `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A directory of this machine.
    File(PathBuf),
    /// A bucket, or a part of it.
    S3(S3Url),
}

/// A bucket and the folder in it below which every object lies. Prints as `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// Name of the bucket.
    pub bucket: String,
    /// Folder, without a slash at either end; empty for the whole bucket.
    pub prefix: String,
}

/// The text is not the URL of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongStoreUrl {
    /// Another scheme, or a relative directory.
    #[error("'{0}' is neither file:///directory nor s3://bucket/prefix")]
    Form(String),
    /// Keys in a URL end up in logs.
    #[error("credentials do not belong into an s3:// URL; see docs/storage.md for where they come from")]
    Credentials,
    /// S3 has no such bucket.
    #[error("'{0}' is not the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")]
    Bucket(String),
    /// The prefix is no folder.
    #[error(
        "'{0}' is not a prefix: folders separated by single slashes, up to {PREFIX_LEN_MAX} bytes, without '.', '..', '?', '#' or control characters"
    )]
    Prefix(String),
}

impl FromStr for StoreUrl {
    type Err = WrongStoreUrl;

    fn from_str(url: &str) -> Result<Self, WrongStoreUrl> {
        if let Some(path) = url.strip_prefix("file://").filter(|path| path.len() > 1 && path.starts_with('/')) {
            return Ok(StoreUrl::File(PathBuf::from(path)));
        }
        let rest = url.strip_prefix("s3://").ok_or_else(|| WrongStoreUrl::Form(url.to_owned()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').filter(|folder| !folder.is_empty()).unwrap_or(prefix);
        if bucket.contains('@') || (bucket.contains(':') && rest.contains('@')) {
            return Err(WrongStoreUrl::Credentials);
        }
        if !is_bucket(bucket) {
            return Err(WrongStoreUrl::Bucket(bucket.to_owned()));
        }
        if !prefix.is_empty() && !is_prefix(prefix) {
            return Err(WrongStoreUrl::Prefix(prefix.to_owned()));
        }
        Ok(StoreUrl::S3(S3Url { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

fn is_bucket(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && is_edge(name.bytes().next())
        && is_edge(name.bytes().last())
        && !name.contains("..")
}

fn is_prefix(prefix: &str) -> bool {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() <= 255;
    let is_forbidden = |c: char| c.is_control() || matches!(c, '?' | '#');
    prefix.len() <= PREFIX_LEN_MAX && prefix.split('/').all(is_segment) && !prefix.contains(is_forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_directory_or_a_bucket_and_a_folder_in_it() {
        let s3 = |bucket: &str, prefix: &str| StoreUrl::S3(S3Url { bucket: bucket.into(), prefix: prefix.into() });
        for (url, want) in [
            ("file:///srv/objects", StoreUrl::File("/srv/objects".into())),
            ("s3://logs", s3("logs", "")),
            ("s3://logs/", s3("logs", "")),
            ("s3://my.logs-1/prod/eu", s3("my.logs-1", "prod/eu")),
            ("s3://logs/prod/", s3("logs", "prod")),
            ("s3://logs/a b%20é", s3("logs", "a b%20é")),
        ] {
            assert_eq!(url.parse(), Ok(want), "{url}");
        }
        for url in ["s3://logs", "s3://logs/prod/eu"] {
            let Ok(StoreUrl::S3(parsed)) = url.parse() else { panic!("{url}") };
            assert_eq!(parsed.to_string(), url);
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        let long = format!("s3://logs/{}", "x/".repeat(300));
        for (url, reason) in [
            ("", "neither"),
            ("file://", "neither"),
            ("file:///", "neither"),
            ("file://relative", "neither"),
            ("/srv/objects", "neither"),
            ("S3://logs", "neither"),
            ("gs://logs", "neither"),
            ("s3:///prefix", "not the name of a bucket"),
            ("s3://Logs", "not the name of a bucket"),
            ("s3://lo", "not the name of a bucket"),
            ("s3://logs_1", "not the name of a bucket"),
            ("s3://-logs", "not the name of a bucket"),
            ("s3://lo..gs", "not the name of a bucket"),
            ("s3://host:9000/logs", "not the name of a bucket"),
            ("s3://key:secret@logs", "credentials"),
            ("s3://logs//", "not a prefix"),
            ("s3://logs/a//b", "not a prefix"),
            ("s3://logs/../b", "not a prefix"),
            ("s3://logs/a?region=x", "not a prefix"),
            ("s3://logs/a\nb", "not a prefix"),
            (&long, "not a prefix"),
        ] {
            let refused = url.parse::<StoreUrl>().expect_err(url).to_string();
            assert!(refused.contains(reason), "{url}: {refused}");
        }
        for url in ["s3://key:secret@logs", "s3://key:sec/ret@logs"] {
            let refused = url.parse::<StoreUrl>().expect_err("it has a key").to_string();
            assert!(!refused.contains("sec"), "{refused}");
        }
    }
}
