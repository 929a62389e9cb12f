//! What the server has done, in numbers and traces: in the text format of OpenMetrics, which Prometheus reads. Labels are of sets
//! that the program itself bounds: no name of an account, group, key or request is one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::Instrument as _;

use crate::actions::Action;
use crate::problem::Problem;
use crate::server::Server;
use crate::telemetry::TARGET;

const KIND: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Limits of the buckets of durations, in seconds: from a reading in memory to the longest that a request may take.
const SECONDS: [f64; 13] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A request, without anything that its caller chose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    action: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    denied: Family<Of, Counter>,
    throttled: Counter,
    connections: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("dkm");
        let requests = Family::default();
        registry.register("requests", "Requests by route and class of status", requests.clone());
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let about = "How long requests took, in seconds";
        registry.register("request_duration_seconds", about, durations.clone());
        let denied = Family::default();
        registry.register("denied", "What was decided against, and recorded", denied.clone());
        let throttled = Counter::default();
        registry.register("throttled", "Requests of accounts that asked for too much", throttled.clone());
        let connections = Gauge::default();
        registry.register("connections", "Open connections of all listeners", connections.clone());
        Self { registry, requests, durations, denied, throttled, connections }
    }
}

/// An open connection, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn denied(&self, action: Action) {
        self.denied.get_or_create(&Of { action: action.as_str() }).inc();
    }

    pub(crate) fn throttled(&self) {
        self.throttled.inc();
    }

    pub(crate) fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    fn asked(&self, method: &'static str, route: String, status: StatusCode, took: Duration) {
        self.durations.get_or_create(&Asked { method, route: route.clone() }).observe(took.as_secs_f64());
        let status = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&Answered { method, route, status }).inc();
    }
}

/// Counts a request.
pub(crate) async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "other".to_owned());
    let since = Instant::now();
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    server.metrics().asked(method, route, response.status(), since.elapsed());
    response
}

/// What is only looked at when somebody asks.
#[derive(Debug)]
struct Present {
    log: dkm_audit::store::Figures,
    log_size: Option<u64>,
    /// Requests for access that are open, and of these those that give access now.
    open: (usize, usize),
    authority_end: Option<u64>,
    is_up: [(&'static str, bool); 2],
}

type Result<T = (), E = std::fmt::Error> = std::result::Result<T, E>;

fn one(encoder: &mut DescriptorEncoder<'_>, name: &str, about: &str, metric: &impl EncodeMetric) -> Result {
    metric.encode(encoder.encode_descriptor(name, about, None, metric.metric_type())?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, about: &str, value: u64) -> Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    one(encoder, name, about, &ConstGauge::new(value))
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        let e = &mut encoder;
        for (name, about, value) in [
            (
                "audit_entries",
                "Entries that the audit log has acknowledged since the start",
                self.log.entries,
            ),
            ("audit_commits", "Checkpoints that were signed for them", self.log.commits),
            ("audit_syncs", "Times that a file or folder of the log was made durable", self.log.syncs),
            ("audit_refused_batches", "Batches of entries that the log has refused", self.log.refused),
        ] {
            one(e, name, about, &ConstCounter::new(value))?;
        }
        if let Some(size) = self.log_size {
            gauge(e, "audit_log_size", "Entries under the log's last checkpoint", size)?;
        }
        let (open, active) = self.open;
        gauge(e, "elevation_requests_open", "Requests for access that have not ended", open as u64)?;
        gauge(e, "elevation_grants_active", "Requests that give access now", active as u64)?;
        if let Some(end) = self.authority_end {
            let about = "When the certificate authority ends, in seconds since 1970-01-01 UTC";
            gauge(e, "authority_end_timestamp_seconds", about, end)?;
        }
        for (name, is_up) in self.is_up {
            gauge(e, name, "1 if this part works, 0 if not", is_up.into())?;
        }
        Ok(())
    }
}

impl Server {
    fn present(&self) -> Present {
        let log = self.audit().log();
        Present {
            log: log.figures(),
            log_size: self.audit().size().ok(),
            open: self.open_requests(),
            authority_end: self.authority().not_after().map(|at| at.0 / 1000),
            is_up: [
                ("up_database", self.store().last_leaf().is_ok() && self.catalog().is_ok()),
                // Not tried here: that would be an entry for each look.
                ("up_audit", self.audit().fault().is_none()),
            ],
        }
    }

    /// Everything, as text.
    ///
    /// # Errors
    /// It can't be written, which does not happen to a text in memory.
    pub(crate) fn metrics_text(&self) -> Result<String> {
        let mut present = Registry::with_prefix("dkm");
        present.register_collector(Box::new(self.present()));
        let mut out = String::new();
        text::encode_registry(&mut out, &self.metrics().registry)?;
        text::encode_registry(&mut out, &present)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

/// What is answered where metrics are served, and nothing else is.
pub(crate) fn router(server: &Arc<Server>) -> axum::Router {
    axum::Router::new()
        .route("/metrics", get(show))
        .method_not_allowed_fallback(|| async { Problem::wrong_method() })
        .fallback(|| async { Problem::not_found("here is nothing but /metrics") })
        .with_state(Arc::clone(server))
}

async fn show(State(server): State<Arc<Server>>) -> Response {
    match server.metrics_text() {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(_) => Problem::unavailable("the metrics can't be written").into_response(),
    }
}
