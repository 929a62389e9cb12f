//! Traces for a collector of OpenTelemetry, over HTTP (OTLP, protobuf). Only spans that this program makes for that are
//! sent: what a request was, how long it waited for the audit log and the database, and how it ended. No name of
//! an account, group, key or blob is in them, nor anything else that a caller has sent.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::config;

/// Target of the spans that are sent. Of others, and of events, nobody knows what is in them.
pub(crate) const TARGET: &str = "dkmd::trace";

/// How long the collector may take for a batch; what it does not take is lost.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last batch may take when the server ends.
const LAST: Duration = Duration::from_secs(5);
/// Longest answer that is read of it, in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The file of certificates can't be used.
    #[error("telemetry.ca: {} holds no certificates of authorities in PEM form: {why}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system trusts nobody.
    #[error(
        "telemetry: the system has no certificates of authorities to trust for https; name some with telemetry.ca"
    )]
    NoAuthorities,
    /// What sends them can't be set up.
    #[error("telemetry: {0}")]
    Exporter(String),
}

/// What sends traces, for as long as the server runs.
#[derive(Debug)]
pub struct Telemetry(SdkTracerProvider);

/// Sends batches: over plain HTTP, or over TLS with the one provider of cryptography.
#[derive(Debug)]
struct Sender(ureq::Agent);

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // On the exporter's own thread, which waits for nothing else.
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, body) = answer.into_parts();
        let mut bytes = Vec::new();
        body.into_reader().take(ANSWER_LEN_MAX).read_to_end(&mut bytes)?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

fn authorities(ca: Option<&PathBuf>) -> Result<Vec<Certificate<'static>>, TelemetryError> {
    let Some(path) = ca else {
        let found = rustls_native_certs::load_native_certs().certs;
        let found: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        return if found.is_empty() { Err(TelemetryError::NoAuthorities) } else { Ok(found) };
    };
    let error = |why: String| TelemetryError::Ca { path: path.clone(), why };
    let pem = std::fs::read(path).map_err(|why| error(why.to_string()))?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(why) => Some(Err(error(why.to_string()))),
    });
    let found: Vec<_> = items.collect::<Result<_, _>>()?;
    if found.is_empty() { Err(error("none".to_owned())) } else { Ok(found) }
}

fn sender(config: &config::Telemetry) -> Result<Sender, TelemetryError> {
    let mut agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(TIMEOUT));
    if config.endpoint.starts_with("https://") {
        let roots = RootCerts::Specific(Arc::new(authorities(config.ca.as_ref())?));
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        agent = agent.https_only(true).tls_config(tls);
    }
    Ok(Sender(agent.build().new_agent()))
}

impl Telemetry {
    /// What sends traces to this collector. Nothing is sent yet.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn new(config: &config::Telemetry) -> Result<Self, TelemetryError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(sender(config)?)
            .with_endpoint(&config.endpoint)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        let ratio = f64::from(config.sampled_permille) / 1000.0;
        let resource = Resource::builder()
            .with_service_name("dkmd")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(resource.build());
        Ok(Self(provider.build()))
    }

    /// Takes spans from `tracing`.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("dkmd"));
        layer.with_location(false).with_threads(false).with_target(false).with_filter(ours)
    }

    /// Sends what was not sent yet, and ends.
    pub fn end(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
