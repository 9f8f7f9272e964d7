//! What was sent of metrics, as the samples that `/metrics` has: one notation for both, so that they
//! can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::collector::within;

/// Samples by name and labels, as Prometheus writes them.
pub(crate) type Samples = BTreeMap<String, f64>;

/// Of the text of `/metrics`.
pub(crate) fn shown(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.replace("{}", ""), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

/// Whether both have the same samples. What reads the collector's JSON may be off by the last bit.
pub(crate) fn same(one: &Samples, other: &Samples) -> bool {
    one.keys().eq(other.keys()) && one.iter().all(|(name, value)| close(*value, other[name]))
}

pub(crate) fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6
}

/// Of the requests to a collector: the last word on each.
pub(crate) fn sent(told: &[Value]) -> Samples {
    let mut found = Samples::new();
    for metric in within(told, &["resourceMetrics", "scopeMetrics", "metrics"]) {
        let name = metric["name"].as_str().unwrap();
        let (sum, histogram) = (&metric["sum"], &metric["histogram"]);
        let end = if sum["isMonotonic"] == true { "_total" } else { "" };
        if !sum.is_null() {
            assert_eq!(sum["aggregationTemporality"], "AGGREGATION_TEMPORALITY_CUMULATIVE");
        }
        for kind in [sum, &metric["gauge"]] {
            for point in kind["dataPoints"].as_array().into_iter().flatten() {
                let value = point.get("asInt").unwrap_or(&point["asDouble"]);
                found.insert(format!("{name}{end}{}", labels(point, None)), number(value));
            }
        }
        for point in histogram["dataPoints"].as_array().into_iter().flatten() {
            let plain = labels(point, None);
            found.insert(format!("{name}_sum{plain}"), number(&point["sum"]));
            found.insert(format!("{name}_count{plain}"), number(&point["count"]));
            let bounds = point["explicitBounds"].as_array().unwrap().iter();
            let bounds = bounds.map(|bound| format!("{:?}", number(bound)));
            let mut up_to = 0.0;
            let counts = point["bucketCounts"].as_array().unwrap();
            for (count, bound) in counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
                up_to += number(count);
                found.insert(format!("{name}_bucket{}", labels(point, Some(&bound))), up_to);
            }
        }
    }
    found
}

/// A number of 64 bits is text in the protocol's JSON, and nothing is zero.
fn number(value: &Value) -> f64 {
    let text = value.as_str().map(|text| text.parse().unwrap());
    text.or(value.as_f64()).unwrap_or_default()
}

fn labels(point: &Value, le: Option<&str>) -> String {
    let all = point["attributes"].as_array().into_iter().flatten();
    let all = all.map(|entry| {
        let value = entry["value"]["stringValue"].as_str().unwrap_or_default();
        format!("{}=\"{value}\"", entry["key"].as_str().unwrap())
    });
    let le = le.map(|le| format!("le=\"{le}\""));
    // In OpenMetrics the bound comes first.
    let all: Vec<String> = le.into_iter().chain(all).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}
