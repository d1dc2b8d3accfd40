use super::FileReader;
use crate::discovery::{Discovering, Found, TargetTable};
use crate::source::{Source, SourceStatus, TargetStatus};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_tail::FileStatus;
use std::collections::HashMap;
use std::sync::Arc;

/// The files of one scrape config.
pub struct FileSource {
    job: String,
    table: Arc<Mutex<TargetTable>>,
    reader: FileReader,
    discovering: Mutex<Option<Discovering>>,
}

impl FileSource {
    /// Shows the targets of `table`, which `discovering` fills and `reader` reads.
    pub fn new(job: &str, table: Arc<Mutex<TargetTable>>, reader: FileReader, discovering: Discovering) -> Self {
        FileSource { job: job.to_owned(), table, reader, discovering: Mutex::new(Some(discovering)) }
    }
}

impl Source for FileSource {
    fn status(&self) -> SourceStatus {
        let view = self.reader.last_view();
        let mut files: HashMap<&str, Vec<&FileStatus>> = HashMap::new();
        for file in &view.files {
            files.entry(&file.target_key).or_default().push(file);
        }
        let table = self.table.lock();
        let active: Vec<TargetStatus> = table.read().into_iter().map(|found| status_of(found, files.get(&*found.file.key))).collect();
        let ready = table.read().iter().any(|found| files.contains_key(&*found.file.key));
        SourceStatus { job: self.job.clone(), kind: "file", ready, active, dropped: table.dropped() }
    }

    /// Finds no more targets. The thread that reads them goes on until it is told otherwise: it is not this source's alone.
    fn stop(&self) -> BoxFuture<'static, ()> {
        self.discovering.lock().take();
        futures::future::ready(()).boxed()
    }
}

fn status_of(found: &Found, files: Option<&Vec<&FileStatus>>) -> TargetStatus {
    let mut details = vec![("path".to_owned(), found.file.path.clone())];
    details.extend(found.file.exclude.iter().map(|exclude| ("exclude".to_owned(), exclude.clone())));
    for file in files.into_iter().flatten() {
        let unit = if file.compressed { "lines" } else { "bytes" };
        let gone = if file.gone { ", no longer at its path" } else { "" };
        details.push((file.path.display().to_string(), format!("{} of {} {unit}{gone}", file.offset, file.size)));
    }
    TargetStatus { discovered: found.discovered.clone(), labels: found.labels.clone(), reason: String::new(), details }
}
