//! The metrics of `/metrics` as OTLP has them, under the names of their families: what takes OTLP
//! into Prometheus adds `_total` to counters, and takes the unit for the ending of the name.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::exposition::{Family, Sample, families};

/// What one sending has to say: since when it is counted, and when it was looked at, in nanoseconds
/// since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub begun: u64,
    pub now: u64,
}

/// The whole of a registry, from its text in OpenMetrics.
pub(super) fn request(
    text: &str,
    resource: &Resource,
    window: Window,
) -> ExportMetricsServiceRequest {
    let metrics = families(text).iter().filter_map(|family| metric(family, window)).collect();
    let scope = InstrumentationScope {
        name: "tidegate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope = ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() };
    let resource = ResourceMetrics {
        resource: Some(resource.clone()),
        scope_metrics: vec![scope],
        schema_url: String::new(),
    };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

fn metric(family: &Family<'_>, window: Window) -> Option<Metric> {
    let points = || family.samples.iter().filter_map(|sample| number(sample, window)).collect();
    let cumulative = AggregationTemporality::Cumulative.into();
    let sum = |is_monotonic| {
        Data::Sum(Sum { data_points: points(), aggregation_temporality: cumulative, is_monotonic })
    };
    let (name, data) = match family.kind {
        "counter" => (family.name.to_owned(), sum(true)),
        // As the specification has it.
        "info" => (format!("{}_info", family.name), sum(false)),
        "histogram" => {
            let data_points = histograms(&family.samples, window)?;
            let histogram = Histogram { data_points, aggregation_temporality: cumulative };
            (family.name.to_owned(), Data::Histogram(histogram))
        }
        _ => (family.name.to_owned(), Data::Gauge(Gauge { data_points: points() })),
    };
    let unit = if family.name.ends_with("_seconds") { "s" } else { "" };
    Some(Metric {
        name,
        description: family.help.trim_end_matches('.').to_owned(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    })
}

fn number(sample: &Sample<'_>, window: Window) -> Option<NumberDataPoint> {
    let value = match sample.value.parse() {
        Ok(whole) => number_data_point::Value::AsInt(whole),
        Err(_) => number_data_point::Value::AsDouble(sample.value.parse().ok()?),
    };
    Some(NumberDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: window.begun,
        time_unix_nano: window.now,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

/// One point for each set of labels: its buckets, which each hold the ones before them as well, its
/// count and its sum are samples of their own.
fn histograms(samples: &[Sample<'_>], window: Window) -> Option<Vec<HistogramDataPoint>> {
    let mut points: BTreeMap<Vec<(&str, &str)>, (HistogramDataPoint, u64)> = BTreeMap::new();
    for sample in samples {
        let key: Vec<_> = plain_labels(sample).collect();
        let (point, below) = points.entry(key).or_insert_with(|| {
            let point = HistogramDataPoint {
                attributes: attributes(sample),
                start_time_unix_nano: window.begun,
                time_unix_nano: window.now,
                ..HistogramDataPoint::default()
            };
            (point, 0)
        });
        match sample.end {
            "_sum" => point.sum = Some(sample.value.parse().ok()?),
            "_count" => point.count = sample.value.parse().ok()?,
            "_bucket" => {
                let up_to: u64 = sample.value.parse().ok()?;
                point.bucket_counts.push(up_to.saturating_sub(*below));
                *below = up_to;
                let (_, bound) = sample.labels.iter().find(|(name, _)| *name == "le")?;
                // The last bucket has no bound.
                point.explicit_bounds.extend(bound.parse().ok().filter(|le: &f64| le.is_finite()));
            }
            _ => {}
        }
    }
    Some(points.into_values().map(|(point, _)| point).collect())
}

fn plain_labels<'a>(sample: &'a Sample<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let labels = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
    labels.filter(|(name, _)| *name != "le")
}

fn attributes(sample: &Sample<'_>) -> Vec<KeyValue> {
    plain_labels(sample).map(|(name, value)| attribute(name, value)).collect()
}

pub(super) fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}
