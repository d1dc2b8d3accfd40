//! The cache in front of a remote store: copies, which nothing depends on.

use super::Report;
use skald_block::verify_object;
use skald_model::seam::Disk;
use skald_runtime::StdDisk;
use std::path::Path;

/// Checks every copy below a folder; `prefix` is the folder's name in the cache.
pub fn check_cache(folder: &Path, prefix: &str, report: &mut Report) {
    let entries = match StdDisk.list(folder) {
        Ok(entries) => entries,
        Err(error) => {
            report.bad.push(format!("'{}': {error}", folder.display()));
            return;
        }
    };
    for entry in entries {
        let (path, name) = (folder.join(&entry.name), format!("{prefix}{}", entry.name));
        match entry.is_dir {
            // What a put that was cut short left behind.
            _ if name.starts_with('~') => {}
            true => check_cache(&path, &format!("{name}/"), report),
            false => {
                report.copies += 1;
                let damage = match StdDisk.read(&path) {
                    Ok(bytes) => verify_object(&bytes.into()).first().map(ToString::to_string),
                    Err(error) => Some(error.to_string()),
                };
                report.bad.extend(damage.map(|error| format!("cache: {name}: {error}; it may be removed")));
            }
        }
    }
}
