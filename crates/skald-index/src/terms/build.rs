use super::{FILE_COUNT, FILES, Fields, SEGMENT, fits, name, pair, schema, text};
use crate::BuildError;
use skald_model::{Labels, Timestamp};
use std::path::Path;
use tantivy::directory::RamDirectory;
use tantivy::{Directory, Index, IndexSettings, SingleSegmentIndexWriter, TantivyDocument, TantivyError};

/// Memory that the writer's hash table begins with; it grows as terms come.
const TABLE_BYTES: usize = 1 << 20;

/// Collects streams on the caller's thread and in memory.
pub(crate) struct TermsBuilder {
    writer: SingleSegmentIndexWriter,
    directory: RamDirectory,
    fields: Fields,
}

impl TermsBuilder {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let (schema, fields) = schema();
        let directory = RamDirectory::create();
        // Else the (empty) document store would be compressed on a thread of its own.
        let settings = IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() };
        let writer = Index::builder().schema(schema).settings(settings).single_segment_index_writer(directory.clone(), TABLE_BYTES);
        Ok(TermsBuilder { writer: writer.map_err(refused)?, directory, fields })
    }

    /// Adds the next stream.
    pub(crate) fn add(&mut self, labels: &Labels, min_time: Timestamp, max_time: Timestamp) -> Result<(), BuildError> {
        let mut document = TantivyDocument::default();
        for (label, value) in labels.iter().filter(|(name, value)| fits(name, value)) {
            document.add_bytes(self.fields.terms, &pair(label, value));
            document.add_bytes(self.fields.terms, &name(label));
        }
        document.add_i64(self.fields.min_time, min_time.0);
        document.add_i64(self.fields.max_time, max_time.0);
        self.writer.add_document(document).map_err(refused)
    }

    /// The files, without the random name of the segment.
    pub(crate) fn finish(self) -> Result<[Vec<u8>; FILE_COUNT], BuildError> {
        let index = self.writer.finalize().map_err(refused)?;
        let segments = index.searchable_segment_ids().map_err(refused)?;
        let [segment] = segments[..] else {
            return Err(BuildError::Terms(format!("{} segments were written", segments.len())));
        };
        let mut files = [const { Vec::new() }; FILE_COUNT];
        for (file, extension) in files.iter_mut().zip(FILES) {
            let path = format!("{}.{extension}", segment.uuid_string());
            let slice = Directory::open_read(&self.directory, Path::new(&path)).map_err(refused)?;
            *file = slice.read_bytes().map_err(refused)?.to_vec();
        }
        let meta = self.directory.atomic_read(Path::new("meta.json")).map_err(refused)?;
        files[FILES.len()] = without_segment(&meta, &segment.uuid_string())?;
        Ok(files)
    }
}

fn without_segment(meta: &[u8], id: &str) -> Result<Vec<u8>, BuildError> {
    let text = std::str::from_utf8(meta).map_err(|_| BuildError::Terms("meta.json is not UTF-8".into()))?;
    let id = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    Ok(text.replace(&id, SEGMENT).into_bytes())
}

fn refused(err: impl Into<TantivyError>) -> BuildError {
    BuildError::Terms(text(err))
}
