//! The RunInstances request of a launch.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types;
use base64::Engine as _;

use super::Aws;
use tidegate_engine::model::launch::{Image, LaunchRequest};

impl Aws {
    /// The request, the same bytes at every repeat.
    pub(super) fn run_instances(&self, request: &LaunchRequest) -> RunInstancesFluentBuilder {
        let mut call = self
            .ec2
            .run_instances()
            .min_count(1)
            .max_count(1)
            .client_token(request.token.as_str())
            .set_instance_type(request.pool.instance_type.as_deref().map(types::InstanceType::from))
            .set_subnet_id(request.pool.subnet.as_deref().map(str::to_owned))
            .set_key_name(request.key_pair.clone())
            .set_instance_initiated_shutdown_behavior(shutdown_behavior(request))
            .set_metadata_options(metadata_options(request));
        call = match &request.image {
            Image::Id(id) => call.image_id(id),
            Image::Template { name, version } => call.launch_template(template(name, version)),
        };
        if !request.security_groups.is_empty() {
            call = call.set_security_group_ids(Some(request.security_groups.clone()));
        }
        if let Some(profile) = &request.instance_profile {
            let builder = types::IamInstanceProfileSpecification::builder();
            let profile = if profile.starts_with("arn:") {
                builder.arn(profile)
            } else {
                builder.name(profile)
            };
            call = call.iam_instance_profile(profile.build());
        }
        if !request.user_data.is_empty() {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&request.user_data);
            call = call.user_data(encoded);
        }
        // At launch, in the same call: a server is never without its tags.
        for kind in [
            types::ResourceType::Instance,
            types::ResourceType::Volume,
            types::ResourceType::NetworkInterface,
        ] {
            let tags = request
                .tags
                .iter()
                .map(|(key, value)| types::Tag::builder().key(key).value(value).build());
            let tags = types::TagSpecification::builder()
                .resource_type(kind)
                .set_tags(Some(tags.collect()));
            call = call.tag_specifications(tags.build());
        }
        call
    }
}

/// Returns what becomes of a server that powers off. A launch template's own setting stays unless the
/// drain depends on it.
fn shutdown_behavior(request: &LaunchRequest) -> Option<types::ShutdownBehavior> {
    let own = matches!(request.image, Image::Template { .. });
    (request.drains || !own).then_some(types::ShutdownBehavior::Terminate)
}

/// Returns the options of the metadata service. Of a launch template's own only those change that the
/// drain depends on.
fn metadata_options(request: &LaunchRequest) -> Option<types::InstanceMetadataOptionsRequest> {
    let own = matches!(request.image, Image::Template { .. });
    if own && !request.drains {
        return None;
    }
    let shown = request.drains.then_some(types::InstanceMetadataTagsState::Enabled);
    let options = types::InstanceMetadataOptionsRequest::builder()
        .http_endpoint(types::InstanceMetadataEndpointState::Enabled)
        .set_http_tokens((!own).then_some(types::HttpTokensState::Required))
        .set_instance_metadata_tags(shown);
    Some(options.build())
}

fn template(name: &str, version: &str) -> types::LaunchTemplateSpecification {
    let builder = types::LaunchTemplateSpecification::builder().version(version);
    if name.starts_with("lt-") {
        builder.launch_template_id(name).build()
    } else {
        builder.launch_template_name(name).build()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tidegate_engine::model::fleet::Pool;
    use tidegate_engine::model::launch::Token;

    #[test]
    fn template_keeps_what_a_drain_does_not_need() {
        let request = |image, drains| LaunchRequest {
            token: Token::from_stored("t"),
            image,
            pool: Pool { instance_type: None, subnet: None },
            key_pair: None,
            security_groups: Vec::new(),
            instance_profile: None,
            user_data: String::new(),
            tags: Arc::default(),
            drains,
        };
        let template = Image::Template { name: "web".to_owned(), version: "7".to_owned() };
        let plain = request(template.clone(), false);
        assert_eq!((shutdown_behavior(&plain), metadata_options(&plain)), (None, None));
        let drains = request(template, true);
        assert_eq!(shutdown_behavior(&drains), Some(types::ShutdownBehavior::Terminate));
        let options = metadata_options(&drains).unwrap();
        let shown = options.instance_metadata_tags();
        assert_eq!(shown, Some(&types::InstanceMetadataTagsState::Enabled));
        assert_eq!((options.http_tokens(), options.http_put_response_hop_limit()), (None, None));
        let image = request(Image::Id("ami-0123456789abcdef0".to_owned()), false);
        assert_eq!(shutdown_behavior(&image), Some(types::ShutdownBehavior::Terminate));
        let options = metadata_options(&image).unwrap();
        assert_eq!(options.http_tokens(), Some(&types::HttpTokensState::Required));
    }
}
