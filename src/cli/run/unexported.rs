//! Stands where telemetry is exported, in a build that cannot.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use crate::metrics::Meter;
use crate::telemetry::{Also, Now};

/// Whether somebody asked for what this build lacks.
pub(super) struct Exports {
    asked: bool,
}

impl Exports {
    pub(super) fn begin(variables: &BTreeMap<String, String>, _: Now) -> Self {
        let names = |(name, value): (&String, &String)| {
            name.starts_with("OTEL_EXPORTER_OTLP_")
                && name.ends_with("ENDPOINT")
                && !value.is_empty()
        };
        Self { asked: variables.iter().any(names) }
    }

    #[expect(clippy::unused_self, reason = "as the one that exports")]
    pub(super) fn layers(&self, _: bool) -> Also {
        Also::new()
    }

    pub(super) fn tell(&self) {
        if self.asked {
            warn!("no telemetry: this build has no OTLP; build it with the feature `otlp`");
        }
    }

    #[expect(clippy::unused_self, reason = "as the one that exports")]
    pub(super) fn measure(&mut self, _: Arc<Meter>) {}

    #[expect(clippy::unused_self, reason = "as the one that exports")]
    pub(super) fn end(self) {}
}
