//! The entries that the ingesters acknowledge, as one sequence of batches.

use crate::error::QueryError;
use futures::future::{Either, ready, try_join_all};
use futures::stream::{BoxStream, SelectAll, StreamExt, once};
use skald_model::TenantId;
use skald_model::seam::Clock;
use skald_rpc::{Ingester, LabelMatcher, TailBatch, TailError, TailRequest, TailStream};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Time between attempts to follow again an ingester whose stream ended.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// Follows one tenant's streams on every ingester.
///
/// An ingester whose stream ends is asked again every few seconds, as long as another still sends: its replicas cover the time in between. When none
/// is left the sequence ends, since what came then would be missed.
pub(super) struct Live {
    sources: Vec<Source>,
    /// Which of them send.
    sending: Vec<bool>,
    events: SelectAll<BoxStream<'static, (usize, Event)>>,
}

/// One ingester, and what is wanted of it.
#[derive(Clone)]
struct Source {
    ingester: Arc<dyn Ingester>,
    tenant: TenantId,
    matcher: Arc<dyn LabelMatcher>,
    clock: Arc<dyn Clock>,
}

enum Event {
    Begun,
    Batch(TailBatch),
    Broken(TailError),
    /// The last.
    Ended,
}

impl Source {
    async fn open(&self) -> Result<TailStream, TailError> {
        self.ingester.tail(&self.tenant, TailRequest { matcher: self.matcher.clone() }).await
    }

    /// What happens on an ingester after a pause.
    fn reopened(self) -> BoxStream<'static, Event> {
        let open = async move {
            self.clock.sleep(RETRY_EVERY).await;
            self.open().await
        };
        let events = once(open).flat_map(|opened| match opened {
            Ok(stream) => Either::Left(once(ready(Event::Begun)).chain(events(stream))),
            // It was said when it broke off that it is away.
            Err(_) => Either::Right(once(ready(Event::Ended))),
        });
        events.boxed()
    }
}

fn events(stream: TailStream) -> BoxStream<'static, Event> {
    let event = |item| match item {
        Ok(batch) => Event::Batch(batch),
        Err(error) => Event::Broken(error),
    };
    stream.map(event).chain(once(ready(Event::Ended))).boxed()
}

impl Live {
    /// Subscribes to every one of `ingesters`.
    ///
    /// # Errors
    /// When one of them refuses.
    pub(super) async fn subscribe(
        ingesters: Vec<Arc<dyn Ingester>>,
        tenant: TenantId,
        matcher: Arc<dyn LabelMatcher>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueryError> {
        let source = |ingester| Source { ingester, tenant: tenant.clone(), matcher: matcher.clone(), clock: clock.clone() };
        let sources: Vec<Source> = ingesters.into_iter().map(source).collect();
        let streams = try_join_all(sources.iter().map(Source::open)).await.map_err(QueryError::Follow)?;
        let mut live = Live { sending: vec![true; sources.len()], sources, events: SelectAll::new() };
        streams.into_iter().enumerate().for_each(|(i, stream)| live.add(i, events(stream)));
        Ok(live)
    }

    fn add(&mut self, i: usize, events: BoxStream<'static, Event>) {
        self.events.push(events.map(move |event| (i, event)).boxed());
    }

    /// The next batch of any ingester; nothing when none sends any more. Nothing is lost when this is given up.
    pub(super) async fn next(&mut self) -> Option<TailBatch> {
        while self.sending.contains(&true) {
            match self.events.next().await? {
                (i, Event::Begun) => self.sending[i] = true,
                (_, Event::Batch(batch)) => return Some(batch),
                (i, Event::Broken(error)) => {
                    let tenant = &self.sources[i].tenant;
                    warn!(%tenant, ingester = i, error = skald_runtime::chain(&error), "the stream of an ingester broke off");
                }
                (i, Event::Ended) => {
                    self.sending[i] = false;
                    self.add(i, self.sources[i].clone().reopened());
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skald_model::{Labels, Timestamp};
    use skald_rpc::Missed;
    use skald_testkit::{FakeIngester, SimClock};

    struct Everything;

    impl LabelMatcher for Everything {
        fn matches(&self, _labels: &Labels) -> bool {
            true
        }
    }

    fn tenant() -> TenantId {
        TenantId::parse("t").expect("valid")
    }

    /// A batch that is known by its number of missed entries.
    fn batch(entries: u64) -> TailBatch {
        TailBatch { rows: Vec::new(), missed: Missed { entries, ..Missed::default() } }
    }

    fn live(fakes: &[Arc<FakeIngester>], clock: &Arc<SimClock>) -> Result<Live, QueryError> {
        let ingesters = fakes.iter().map(|fake| fake.clone() as Arc<dyn Ingester>).collect();
        let subscribed = Live::subscribe(ingesters, tenant(), Arc::new(Everything), clock.clone()).now_or_never();
        subscribed.expect("fakes answer at once")
    }

    /// Number of the next batch; `None` when nothing came.
    fn next(live: &mut Live) -> Option<u64> {
        live.next().now_or_never().map(|batch| batch.expect("it goes on").missed.entries)
    }

    fn three() -> (Vec<Arc<FakeIngester>>, Arc<SimClock>) {
        ((0..3).map(|_| Arc::new(FakeIngester::default())).collect(), SimClock::new(Timestamp(0)))
    }

    #[test]
    fn batches_of_all_ingesters_come() {
        let (fakes, clock) = three();
        let mut live = live(&fakes, &clock).expect("all agree");
        assert_eq!(next(&mut live), None);
        (0..3).for_each(|i| fakes[i].send_to_tails(&tenant(), &batch(i as u64)));
        let mut found: Vec<u64> = (0..3).filter_map(|_| next(&mut live)).collect();
        found.sort();
        assert_eq!((found, next(&mut live)), (vec![0, 1, 2], None));
    }

    #[test]
    fn an_ingester_that_refuses_fails_the_tail() {
        let (fakes, clock) = three();
        fakes[1].end_tails(true);
        assert!(matches!(live(&fakes, &clock), Err(QueryError::Follow(_))));
    }

    #[test]
    fn an_ingester_that_ends_is_followed_again_while_others_send() {
        let (fakes, clock) = three();
        let mut live = live(&fakes, &clock).expect("all agree");
        fakes[0].end_tails(true);
        fakes[1].end_tails(false);
        assert_eq!((next(&mut live), fakes[1].tails()), (None, 0));
        clock.advance(RETRY_EVERY);
        assert_eq!((next(&mut live), fakes[0].tails(), fakes[1].tails()), (None, 0, 1));
        fakes[1].send_to_tails(&tenant(), &batch(7));
        fakes[2].send_to_tails(&tenant(), &batch(8));
        assert_eq!(next(&mut live).into_iter().chain(next(&mut live)).sum::<u64>(), 15);
        fakes[0].end_tails(false);
        clock.advance(RETRY_EVERY);
        assert_eq!((next(&mut live), fakes[0].tails()), (None, 1));
    }

    #[test]
    fn it_ends_when_no_ingester_is_left_even_if_they_would_come_back() {
        let (fakes, clock) = three();
        let mut live = live(&fakes, &clock).expect("all agree");
        fakes[0].send_to_tails(&tenant(), &batch(1));
        fakes.iter().for_each(|fake| fake.end_tails(false));
        assert_eq!(next(&mut live), Some(1));
        assert!(live.next().now_or_never().expect("at once").is_none());
    }
}
