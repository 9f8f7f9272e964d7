//! Every answer of AWS is dated. A host whose clock is wrong runs schedules at the wrong hour, and
//! from five minutes on none of its calls is accepted any more; what they are refused with does not
//! say why.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_ec2::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};
use jiff::SignedDuration;

/// Nothing dated has come yet.
const UNKNOWN: i64 = i64::MIN;

/// By how many seconds the host's clock was ahead of the last answer's date.
#[derive(Debug, Clone)]
pub(super) struct Dated(Arc<AtomicI64>);

impl Default for Dated {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Dated {
    pub(super) fn ahead(&self) -> Option<SignedDuration> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds != UNKNOWN).then(|| SignedDuration::from_secs(seconds))
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "dates of answers"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let (Some(date), Some(source)) = (date, components.time_source()) {
            let here = DateTime::from(source.now()).secs();
            self.0.store(here.saturating_sub(date.secs()), Ordering::Relaxed);
        }
        Ok(())
    }
}
