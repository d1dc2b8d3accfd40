//! The SDK's client, with our clock and our TLS.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{AsyncSleep, RequestChecksumCalculation, ResponseChecksumValidation, Sleep, StalledStreamProtectionConfig};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use futures::FutureExt;
use skald_config::S3Config;
use skald_model::ErrorKind;
use skald_model::seam::Clock;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a body may stand still before its request is given up.
const STALL_MAX: Duration = Duration::from_secs(10);
/// Region that is signed for where a server of its own has none.
const ANY_REGION: &str = "us-east-1";

/// What names a server that is not Amazon's, where the configuration does not.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing says where the bucket is.
    #[error("no region for the bucket: set storage.s3.region or AWS_REGION, or storage.s3.endpoint for a server of your own")]
    NoRegion,
}

impl ConnectError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRegion => ErrorKind::InvalidInput,
        }
    }
}

/// Where the right to use a bucket comes from.
#[derive(Clone)]
pub enum Credentials {
    /// From where the AWS tools take it: environment, profile, web identity, container, the machine's role; renewed as it expires.
    Found,
    /// This access key.
    Given {
        /// Its id.
        access_key: String,
        /// Its secret.
        secret_key: String,
    },
}

/// A client and whether it talks over TLS.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) is_tls: bool,
}

/// Makes the client. Talks to nobody but the machine's metadata service, and that only to find the region.
pub(super) async fn connect(config: &S3Config, credentials: Credentials, clock: Arc<dyn Clock>) -> Result<Connected, ConnectError> {
    let http = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    // How long a whole request takes, its body included, is bounded around it: the SDK's own bound ends with the head of the answer.
    let timeouts = TimeoutConfig::builder().connect_timeout(config.connect_timeout);
    let time = SdkTime(clock);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .sleep_impl(time.clone())
        .time_source(time)
        .timeout_config(timeouts.build())
        // Whoever calls decides about another attempt; it knows what the first may have done.
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_MAX).build())
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let is_amazon = config.endpoint.is_none() && std::env::var_os(ENDPOINT_VARIABLE).is_none_or(|url| url.is_empty());
    loader = match (&config.region, is_amazon) {
        (Some(region), _) => loader.region(Region::new(region.clone())),
        // The metadata service of the machine says nothing of a server that is not Amazon's.
        (None, false) => loader.region(
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else(Region::new(ANY_REGION)),
        ),
        (None, true) => loader,
    };
    if let Credentials::Given { access_key, secret_key } = credentials {
        loader = loader.credentials_provider(aws_credential_types::Credentials::new(access_key, secret_key, None, None, "given"));
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    let path_style = config.force_path_style.unwrap_or(shared.endpoint_url().is_some());
    let mut builder = aws_sdk_s3::config::Builder::from(&shared).force_path_style(path_style);
    if shared.region().is_none() {
        if shared.endpoint_url().is_none() {
            return Err(ConnectError::NoRegion);
        }
        builder = builder.region(Region::new(ANY_REGION));
    }
    let is_tls = !shared.endpoint_url().is_some_and(|endpoint| endpoint.starts_with("http://"));
    if !is_tls {
        // A machine without certificates can do that much.
        builder = builder.http_client(HttpBuilder::new().build_http());
    }
    Ok(Connected { client: Client::from_conf(builder.build()), is_tls })
}

/// Our clock as the SDK wants one.
#[derive(Clone)]
struct SdkTime(Arc<dyn Clock>);

impl fmt::Debug for SdkTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkTime")
    }
}

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0.now().0.max(0) as u64)
    }
}

impl AsyncSleep for SdkTime {
    fn sleep(&self, duration: Duration) -> Sleep {
        // The SDK wants a future that threads can share; a shared one is.
        Sleep::new(self.0.sleep(duration).shared())
    }
}
