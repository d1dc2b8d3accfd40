use super::frame::{Frame, FrameError};
use super::labels;
use super::message::Message;
use super::metrics::SyslogMetrics;
use super::{Shared, SyslogConfig};
use crate::sink::EntrySink;
use skald_pipeline::LabelSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// One sender: a connection, or an address that sends datagrams.
pub(super) struct Sender {
    shared: Arc<Shared>,
    address: SocketAddr,
    labels: LabelSet,
    sink: EntrySink,
}

impl Sender {
    /// Asks for the name of `address` first.
    pub(super) async fn new(shared: &Arc<Shared>, address: SocketAddr) -> Self {
        let hostname = shared.names.of(address.ip()).await;
        shared.metrics.senders.inc();
        Sender {
            labels: labels::of_sender(&shared.labels, address.ip(), &hostname),
            sink: EntrySink::new(&shared.sink),
            shared: Arc::clone(shared),
            address,
        }
    }

    /// Takes a message, and waits until there is room for what came of it.
    pub(super) async fn take(&mut self, frame: Frame<'_>) {
        let text = String::from_utf8_lossy(frame.bytes);
        let now = self.shared.sink.clock.now();
        let message = Message::read(&text, now);
        self.count(&frame, &message);
        let Some(line) = line(&self.shared.config, &text, &message) else {
            self.metrics().empty.inc();
            return;
        };
        let incoming = message.timestamp.filter(|_| self.shared.config.use_incoming_timestamp);
        let timestamp = incoming.unwrap_or_else(|| self.shared.stamps.next(now));
        let labels = labels::of_message(&self.labels, &message, self.shared.config.label_structured_data);
        let line = line.to_owned();
        self.metrics().entries.inc();
        self.sink.push(labels, timestamp, line, Vec::new(), None).await;
    }

    /// Counts what cannot be cut into messages.
    pub(super) fn broken(&self, error: FrameError) {
        self.metrics().parsing_errors.inc();
        warn!(peer = %self.address, %error, "no syslog messages, giving up on what was sent");
    }

    /// Waits until a stage has held something for long enough, and lets go of it.
    pub(super) async fn tick(&mut self) {
        self.sink.tick_when_due().await;
    }

    /// Completes when nothing has come for too long, counted from now.
    pub(super) fn idle(&self) -> impl Future<Output = ()> + use<> {
        let timeout = self.shared.config.idle_timeout.0;
        self.shared.sink.clock.sleep(if timeout.is_zero() { IDLE_TIMEOUT_DEFAULT } else { timeout })
    }

    /// Hands over what stages still hold.
    pub(super) async fn finish(mut self) {
        self.sink.flush().await;
    }

    fn metrics(&self) -> &SyslogMetrics {
        &self.shared.metrics
    }

    fn count(&self, frame: &Frame<'_>, message: &Message<'_>) {
        if frame.is_cut {
            self.metrics().cut.inc();
        }
        if let Some(flaw) = message.flaw {
            self.metrics().parsing_errors.inc();
            debug!(peer = %self.address, %flaw, "syslog message that is not as it should be");
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.metrics.senders.dec();
    }
}

const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// The line of a message's entry, `None` when it would be empty.
fn line<'a>(config: &SyslogConfig, whole: &'a str, message: &Message<'a>) -> Option<&'a str> {
    let is_whole = config.use_rfc5424_message && message.version.is_some();
    Some(if is_whole { whole } else { message.text }).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::Timestamp;

    #[test]
    fn the_line_is_the_text_or_the_whole_message() {
        let check = |text: &str, whole: bool, want: Option<&str>| {
            let config = SyslogConfig { use_rfc5424_message: whole, ..SyslogConfig::default() };
            let message = Message::read(text, Timestamp(0));
            assert_eq!(line(&config, text, &message), want, "{text}");
        };
        check("<13>1 - h a p m - text", false, Some("text"));
        check("<13>1 - h a p m - text", true, Some("<13>1 - h a p m - text"));
        check("<13>1 - h a p m - ", false, None);
        check("<13>Oct 11 22:14:15 h a: text", true, Some("text"));
        check("<13>", true, None);
    }
}
