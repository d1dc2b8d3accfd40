//! Files in memory, only to be read.

use skald_model::seam::{DirEntry, Disk, DiskFile, Space};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct TestDisk(Mutex<HashMap<PathBuf, Vec<u8>>>);

impl TestDisk {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let disk = TestDisk::default();
        files.iter().for_each(|(path, text)| disk.set(path, text));
        disk
    }

    pub(crate) fn set(&self, path: &str, text: &str) {
        self.0.lock().expect("no test panics while it holds this").insert(path.into(), text.as_bytes().to_vec());
    }
}

struct TestFile(Vec<u8>);

impl DiskFile for TestFile {
    fn append(&self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..buf.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(from);
        Ok(())
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let files = self.0.lock().expect("no test panics while it holds this");
        files.get(path).map(|bytes| Box::new(TestFile(bytes.clone())) as Box<dyn DiskFile>).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create_new(&self, _path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename_new(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_dir_all(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<DirEntry>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
