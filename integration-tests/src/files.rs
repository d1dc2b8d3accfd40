use std::path::{Path, PathBuf};

/// All files below a folder, sorted; none when the folder is not there.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

/// The one file below a folder.
#[track_caller]
pub fn only_file_below(folder: &Path) -> PathBuf {
    let mut files = files_below(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Changes the byte of a file at `offset`.
pub fn flip_byte(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x5a;
    std::fs::write(path, bytes).unwrap();
}
