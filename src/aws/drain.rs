//! The tag `tidegate:drain` of an instance, which a server reads from its metadata service.

use aws_sdk_ec2::config::Config;
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::operation::create_tags::builders::CreateTagsFluentBuilder;
use aws_sdk_ec2::types;

use super::fault::fault;
use super::{Aws, once};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::tag;

impl Aws {
    /// CreateTags, once.
    pub(super) async fn set_drain_tag(&self, id: &InstanceId, value: &str) -> Result<(), Fault> {
        self.create_drain_tag(id, value)
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }

    /// DeleteTags, once. The key goes without a value, so that any value is removed.
    pub(super) async fn remove_drain_tag(&self, id: &InstanceId) -> Result<(), Fault> {
        self.ec2
            .delete_tags()
            .resources(id.as_str())
            .tags(types::Tag::builder().key(tag::DRAIN).build())
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }

    /// Asks EC2 whether it would set the tag, and changes nothing.
    pub(super) async fn may_tag_drain(&self, id: &InstanceId, value: &str) -> Result<(), Fault> {
        match self.create_drain_tag(id, value).dry_run(true).send().await {
            Err(error) if error.code() == Some("DryRunOperation") => Ok(()),
            Err(error) => Err(fault(&error)),
            Ok(_) => {
                let text = "the endpoint ignored the dry run and may have set the tag";
                Err(Fault::new(FaultKind::Config, "NoDryRun", text))
            }
        }
    }

    fn create_drain_tag(&self, id: &InstanceId, value: &str) -> CreateTagsFluentBuilder {
        let drain = types::Tag::builder().key(tag::DRAIN).value(value).build();
        self.ec2.create_tags().resources(id.as_str()).tags(drain)
    }
}
