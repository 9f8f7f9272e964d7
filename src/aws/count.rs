//! Every request to AWS, counted with how it ended: each attempt of its own, since AWS counts them
//! so when it throttles.

use std::fmt;
use std::sync::Arc;

use aws_sdk_ec2::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};

use crate::ports::Tally;

#[derive(Clone)]
pub(super) struct Counted(pub Option<Arc<dyn Tally>>);

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "requests, counted"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(tally), Some(operation)) = (&self.0, config.load::<Metadata>()) {
            let status = context.response().map(HttpResponse::status);
            let read = context.output_or_error().is_some_and(|outcome| outcome.is_ok());
            let result = match status {
                None => "no_answer",
                Some(status) if status.is_success() && read => "ok",
                Some(status) if status.is_success() => "unreadable",
                Some(status) if status.is_client_error() => "refused",
                Some(_) => "failed",
            };
            tally.request(operation.name(), result);
        }
        Ok(())
    }
}
