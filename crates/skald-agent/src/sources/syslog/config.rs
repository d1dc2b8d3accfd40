use crate::config::settings::{Names, Period, settings};
use crate::delivery::config::TlsConfig;
use crate::sources::tls::{TlsError, TlsParts, TlsSettings};
use serde::{Deserialize, Serialize};

settings! {
    /// `syslog`: listens for syslog messages.
    pub struct SyslogConfig {
        /// Where to listen: `host:port`, or `:port` for all addresses.
        pub listen_address: String = String::new(),
        /// Transport.
        pub listen_protocol: Transport = Transport::Tcp,
        /// How long a sender may be silent before its connection is closed.
        pub idle_timeout: Period = Period::seconds(120),
        /// Whether structured data becomes labels.
        pub label_structured_data: bool = false,
        /// Labels of every entry.
        pub labels: Names = Names::default(),
        /// Whether entries keep the time of their message; else they have the time at which they were read.
        pub use_incoming_timestamp: bool = false,
        /// Whether the line is the whole RFC 5424 message as it came, and not its text alone.
        pub use_rfc5424_message: bool = false,
        /// The format that senders use. It is told from each message itself, so that both are read whatever stands here.
        pub syslog_format: SyslogFormat = SyslogFormat::Rfc5424,
        /// Most bytes of a message; 0 is the default. What is longer is cut there.
        pub max_message_length: usize = MESSAGE_BYTES_DEFAULT,
        /// Certificate and key; with a CA, senders must have a certificate too.
        pub tls_config: Option<TlsConfig> = None,
    }
}

/// Default of `max_message_length`.
const MESSAGE_BYTES_DEFAULT: usize = 8192;

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Connections, with or without TLS.
    Tcp,
    /// Datagrams.
    Udp,
}

/// What a message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogFormat {
    /// `<34>1 2026-01-15T00:00:00Z host app 1 id - text`
    Rfc5424,
    /// `<34>Jan 15 00:00:00 host app[1]: text`
    Rfc3164,
}

impl SyslogConfig {
    /// Most bytes of a message.
    pub fn message_bytes_max(&self) -> usize {
        if self.max_message_length == 0 { MESSAGE_BYTES_DEFAULT } else { self.max_message_length }
    }

    /// TLS of the listener, if it has any. With a CA, every sender must have a certificate.
    pub(super) fn tls(&self) -> Result<Option<TlsSettings<'_>>, TlsError> {
        let Some(tls) = &self.tls_config else { return Ok(None) };
        TlsSettings::of(TlsParts {
            certificate: (tls.cert.as_deref(), tls.cert_file.as_deref()),
            key: (tls.key.as_ref().map(|key| key.0.as_str()), tls.key_file.as_deref()),
            client_ca: (tls.ca.as_deref(), tls.ca_file.as_deref()),
            client_may_lack: false,
            versions: (tls.min_version.as_deref(), tls.max_version.as_deref()),
        })
    }

    /// What is wrong with it, each with the key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.listen_address.is_empty() {
            problems.push("listen_address: is required".to_owned());
        }
        match self.tls() {
            Ok(Some(_)) if self.listen_protocol == Transport::Udp => problems.push("tls_config: needs listen_protocol tcp".to_owned()),
            Ok(_) => {}
            Err(error) => problems.push(format!("tls_config: {error}")),
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, problems: &[&str]) {
        let config: SyslogConfig = serde_saphyr::from_str(text).expect("a syslog block");
        assert_eq!(config.problems(), problems, "{text}");
    }

    #[test]
    fn a_block_without_values_has_the_defaults() {
        let config: SyslogConfig = serde_saphyr::from_str("listen_address: :1514\nlabels:\ntls_config:\nmax_message_length: 0").unwrap();
        let want = SyslogConfig { listen_address: ":1514".to_owned(), max_message_length: 0, ..SyslogConfig::default() };
        assert_eq!(config, want);
        assert_eq!(config.message_bytes_max(), 8192);
        assert_eq!((config.idle_timeout, config.listen_protocol), (Period::seconds(120), Transport::Tcp));
    }

    #[test]
    fn contradictions_are_told_with_their_key() {
        check("listen_address: 127.0.0.1:1514", &[]);
        check("listen_protocol: udp", &["listen_address: is required"]);
        check("listen_address: :1\ntls_config: {cert_file: a, key: b}", &[]);
        check("listen_address: :1\ntls_config: {cert_file: a}", &["tls_config: certificate and key are both required"]);
        check("listen_address: :1\ntls_config: {ca_file: a}", &["tls_config: certificate and key are both required"]);
        check("listen_address: :1\nlisten_protocol: udp\ntls_config: {cert: x, key: y}", &["tls_config: needs listen_protocol tcp"]);
    }

    #[test]
    fn unknown_keys_and_values_are_refused() {
        let refused = |text: &str| serde_saphyr::from_str::<SyslogConfig>(text).unwrap_err().to_string();
        assert!(refused("listen_adress: x").contains("unknown field `listen_adress`"));
        assert!(refused("listen_protocol: sctp").contains("unknown variant `sctp`"));
        assert!(refused("tls_config: {certfile: x}").contains("unknown field `certfile`"));
    }
}
