use futures::future::{Either, select};
use skald_model::seam::Clock;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// What `work` gives, or `None` when it takes longer than `limit`; it is dropped then.
pub(crate) async fn within<T>(clock: &dyn Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}
