//! The queues of spans and of log records, the threads that take from them, and who is said to send:
//! OpenTelemetry's own, within the limits that were asked for.

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    Compression, LogExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};

use super::asked::{Queue, Target};
use super::sender::Sender;

pub(super) fn traces(
    target: &Target,
    sender: Sender,
    queue: Queue,
    resource: Resource,
) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_endpoint(target.url.as_str())
        .with_timeout(target.timeout)
        .with_headers(headers(target));
    let exporter =
        if target.gzip { exporter.with_compression(Compression::Gzip) } else { exporter };
    let config = opentelemetry_sdk::trace::BatchConfigBuilder::default()
        .with_max_queue_size(queue.longest)
        .with_max_export_batch_size(queue.at_once)
        .with_scheduled_delay(queue.delay)
        .build();
    let processor = BatchSpanProcessor::new(exporter.build()?, config);
    Ok(SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build())
}

pub(super) fn logs(
    target: &Target,
    sender: Sender,
    queue: Queue,
    resource: Resource,
) -> anyhow::Result<SdkLoggerProvider> {
    let exporter = LogExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_endpoint(target.url.as_str())
        .with_timeout(target.timeout)
        .with_headers(headers(target));
    let exporter =
        if target.gzip { exporter.with_compression(Compression::Gzip) } else { exporter };
    let config = opentelemetry_sdk::logs::BatchConfigBuilder::default()
        .with_max_queue_size(queue.longest)
        .with_max_export_batch_size(queue.at_once)
        .with_scheduled_delay(queue.delay)
        .build();
    let processor = BatchLogProcessor::builder(exporter.build()?).with_batch_config(config).build();
    Ok(SdkLoggerProvider::builder().with_resource(resource).with_log_processor(processor).build())
}

#[expect(
    clippy::disallowed_types,
    reason = "the exporter takes its headers so; they have no order"
)]
fn headers(target: &Target) -> std::collections::HashMap<String, String> {
    target.headers.clone().into_iter().collect()
}

/// Who sends: what the variables say, and what they leave open.
pub(super) fn resource(service: Option<&str>) -> Resource {
    let told = Resource::builder().build();
    let says = |name: &'static str| told.get(&Key::new(name)).map(|value| value.to_string());
    let unnamed = says("service.name").is_none_or(|name| name.starts_with("unknown_service"));
    let name = service.map(str::to_owned).or_else(|| unnamed.then(|| "tidegate".to_owned()));
    let version = says("service.version").is_none().then_some(env!("CARGO_PKG_VERSION"));
    Resource::builder()
        .with_attributes(name.map(|name| KeyValue::new("service.name", name)))
        .with_attributes(version.map(|version| KeyValue::new("service.version", version)))
        .build()
}
