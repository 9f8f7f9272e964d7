//! [`Topics`] in terms of SNS.

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_sns::config::Config;

use super::fault::fault;
use super::{Aws, once};
use crate::ports::Topics;
use tidegate_engine::model::fault::Fault;

#[async_trait]
impl Topics for Aws {
    async fn publish(&self, topic: &str, subject: &str, text: &str) -> Result<(), Fault> {
        // Its own region, whichever the servers are in: the fourth part of an ARN.
        let region = topic.split(':').nth(3).map(|region| Region::new(region.to_owned()));
        self.sns
            .publish()
            .topic_arn(topic)
            .subject(subject)
            .message(text)
            .customize()
            .config_override(Config::builder().retry_config(once()).region(region))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }
}
