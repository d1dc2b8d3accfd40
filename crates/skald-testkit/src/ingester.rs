use async_trait::async_trait;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use parking_lot::Mutex;
use skald_model::{DiskId, Generation, GenerationPart, TenantId};
use skald_rpc::{
    Ingester, LabelMatcher, Missed, PushBatch, PushError, SelectError, SelectRequest, Selected, SelectedStream, StreamRows, TailBatch,
    TailError, TailRequest, TailRows, TailStream,
};
use std::sync::Arc;

type Answer = Box<dyn FnMut(&TenantId, &PushBatch) -> Result<(), PushError> + Send>;

/// An ingester in memory. It takes every push, or answers as the test says, and keeps what came.
#[derive(Default)]
pub struct FakeIngester {
    pushed: Mutex<Vec<(TenantId, PushBatch)>>,
    answer: Mutex<Option<Answer>>,
    tails: Mutex<Tails>,
}

#[derive(Default)]
struct Tails {
    readers: Vec<FakeReader>,
    refused: bool,
}

struct FakeReader {
    tenant: TenantId,
    matcher: Arc<dyn LabelMatcher>,
    batches: UnboundedSender<Result<TailBatch, TailError>>,
}

impl FakeIngester {
    /// From now on each push is answered by `answer`; it is kept nevertheless when that is `Ok` or a refusal.
    pub fn answer_with(&self, answer: impl FnMut(&TenantId, &PushBatch) -> Result<(), PushError> + Send + 'static) {
        *self.answer.lock() = Some(Box::new(answer));
    }

    /// The batches kept so far, in order.
    pub fn pushed(&self) -> Vec<(TenantId, PushBatch)> {
        self.pushed.lock().clone()
    }

    /// The streams of all batches kept so far, in order; forgets them.
    pub fn take_streams(&self) -> Vec<StreamRows> {
        self.pushed.lock().drain(..).flat_map(|(_, batch)| batch.streams).collect()
    }

    /// Gives `batch` to all who follow the tenant's streams, whatever they want of it.
    pub fn send_to_tails(&self, tenant: &TenantId, batch: &TailBatch) {
        let tails = self.tails.lock();
        for reader in tails.readers.iter().filter(|reader| reader.tenant == *tenant) {
            // A reader that left is of no interest.
            let _ = reader.batches.unbounded_send(Ok(batch.clone()));
        }
    }

    /// How many follow streams.
    pub fn tails(&self) -> usize {
        let mut tails = self.tails.lock();
        tails.readers.retain(|reader| !reader.batches.is_closed());
        tails.readers.len()
    }

    /// Ends all streams that are followed, and from now on refuses new ones if `refused`.
    pub fn end_tails(&self, refused: bool) {
        *self.tails.lock() = Tails { readers: Vec::new(), refused };
    }
}

#[async_trait]
impl Ingester for FakeIngester {
    async fn push(&self, tenant: &TenantId, batch: PushBatch) -> Result<(), PushError> {
        let result = self.answer.lock().as_mut().map_or(Ok(()), |answer| answer(tenant, &batch));
        if matches!(result, Ok(()) | Err(PushError::Refused(_))) {
            let tails = self.tails.lock();
            for reader in tails.readers.iter().filter(|reader| reader.tenant == *tenant) {
                let wanted = batch.streams.iter().filter(|stream| reader.matcher.matches(&stream.labels));
                let rows = wanted.map(|stream| TailRows { labels: stream.labels.clone(), rows: Arc::new(stream.rows.clone()) }).collect();
                // A reader that left is of no interest.
                let _ = reader.batches.unbounded_send(Ok(TailBatch { rows, missed: Missed::default() }));
            }
            drop(tails);
            self.pushed.lock().push((tenant.clone(), batch));
        }
        result
    }

    async fn select(&self, tenant: &TenantId, request: SelectRequest) -> Result<Selected, SelectError> {
        let generation = GenerationPart { generation: Generation(0), part: 0 };
        let pushed = self.pushed.lock();
        let streams = pushed.iter().filter(|(owner, _)| owner == tenant).flat_map(|(_, batch)| &batch.streams);
        let overlaps = |rows: &StreamRows| rows.rows.time_span().is_some_and(|(min, max)| request.range.overlaps(min, max));
        let streams = streams.filter(|stream| request.matcher.matches(&stream.labels) && overlaps(stream)).map(|stream| SelectedStream {
            labels: stream.labels.clone(),
            generation,
            chunks: if request.labels_only { Vec::new() } else { vec![Arc::new(stream.rows.clone())] },
        });
        Ok(Selected { disk: DiskId(0), generations: vec![generation], streams: streams.collect() })
    }

    async fn tail(&self, tenant: &TenantId, request: TailRequest) -> Result<TailStream, TailError> {
        let mut tails = self.tails.lock();
        if tails.refused {
            return Err(TailError::Unavailable("told to refuse".to_owned()));
        }
        let (batches, stream): (_, UnboundedReceiver<_>) = unbounded();
        tails.readers.push(FakeReader { tenant: tenant.clone(), matcher: request.matcher, batches });
        Ok(stream.boxed())
    }
}
