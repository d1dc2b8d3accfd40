use async_trait::async_trait;
use parking_lot::Mutex;
use skald_model::{DiskId, Generation, GenerationPart, TenantId};
use skald_rpc::{Ingester, PushBatch, PushError, SelectError, SelectRequest, Selected, SelectedStream, StreamRows};
use std::sync::Arc;

type Answer = Box<dyn FnMut(&TenantId, &PushBatch) -> Result<(), PushError> + Send>;

/// An ingester in memory. It takes every push, or answers as the test says, and keeps what came.
#[derive(Default)]
pub struct FakeIngester {
    pushed: Mutex<Vec<(TenantId, PushBatch)>>,
    answer: Mutex<Option<Answer>>,
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
}

#[async_trait]
impl Ingester for FakeIngester {
    async fn push(&self, tenant: &TenantId, batch: PushBatch) -> Result<(), PushError> {
        let result = self.answer.lock().as_mut().map_or(Ok(()), |answer| answer(tenant, &batch));
        if matches!(result, Ok(()) | Err(PushError::Refused(_))) {
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
}
