//! The clients of the file and the one of the flags, together.

use super::flags::ClientFlags;
use super::report::{Place, Report};
use crate::delivery::config::{ClientConfig, HiddenUrl};
use serde_saphyr::Spanned;

/// All clients; what is wrong with them goes to `report`.
pub(super) fn all(written: impl IntoIterator<Item = Spanned<ClientConfig>>, flags: &ClientFlags, report: &mut Report) -> Vec<ClientConfig> {
    let of_file = written.into_iter().map(|client| (Place::of(client.referenced), client.value));
    let of_flags = flags.client().map(|client| (Place::default(), client));
    let mut clients: Vec<ClientConfig> = Vec::new();
    for (place, mut client) in of_file.chain(of_flags) {
        for (name, value) in &flags.external_labels {
            client.external_labels.0.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for problem in client.problems() {
            report.problem(place, format!("client: {problem}"));
        }
        if clients.iter().any(|known| known.id() == client.id()) {
            let hint = "two clients need different names, or differ in url, tenant_id or external_labels";
            report.problem(place, format!("client \"{}\" is there twice: {hint}", client.id()));
        }
        clients.push(client);
    }
    clients
}

impl ClientFlags {
    /// The client that the flags describe, if they say where it is.
    fn client(&self) -> Option<ClientConfig> {
        let mut client = ClientConfig { url: HiddenUrl(self.url.clone()?), ..ClientConfig::default() };
        put(&mut client.tenant_id, self.tenant_id.as_ref());
        put(&mut client.batchwait, self.batch_wait.as_ref());
        put(&mut client.batchsize, self.batch_size.as_ref());
        put(&mut client.timeout, self.timeout.as_ref());
        put(&mut client.backoff_config.min_period, self.min_backoff.as_ref());
        put(&mut client.backoff_config.max_period, self.max_backoff.as_ref());
        put(&mut client.drop_rate_limited_batches, self.drop_rate_limited_batches.as_ref());
        client.backoff_config.max_retries = self.max_retries;
        Some(client)
    }
}

fn put<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}
