//! [`Cloud`] in terms of EC2.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use aws_sdk_ec2::config::Config;
use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types;
use jiff::SignedDuration;

use super::fault::{TOO_LARGE, fault};
use super::listing::{FILTER_AT_MOST, Listing, named};
use super::warnings;
use super::{Aws, once};
use crate::ports::Cloud;
use tidegate_engine::model::account::Account;
use tidegate_engine::model::fault::{Fault, FaultKind, printable};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Attachment, Instance, InstanceId, Lifecycle, OurTags};
use tidegate_engine::model::launch::{LaunchRequest, tag};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::model::volume::Volume;
use tidegate_engine::model::warning::Warning;

/// The largest page EC2 gives.
const PAGE: i32 = 1000;
/// The page that is asked for once a full one was too large, as with fifty long tags an instance.
const SMALL_PAGE: i32 = 200;
/// Volumes have up to fifty tags too, and are listed seldom.
const VOLUMES_PAGE: i32 = 200;

#[async_trait]
impl Cloud for Aws {
    async fn instances(&self, install: &str) -> Result<Vec<Instance>, Fault> {
        let ours = types::Filter::builder().name(format!("tag:{}", tag::INSTALL)).values(install);
        Ok(self.describe(ours.build()).await?.into_values().collect())
    }

    async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_AT_MOST) {
            // A filter, since asking by id fails as a whole for one that is gone.
            let values = ids.iter().map(ToString::to_string).collect();
            let these = types::Filter::builder().name("instance-id").set_values(Some(values));
            let rows = self.describe(these.build()).await?;
            found.extend(ids.iter().filter_map(|id| rows.get(id).cloned()));
        }
        Ok(found)
    }

    async fn instances_named(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_AT_MOST) {
            self.named(ids.iter().map(InstanceId::as_str).collect(), &mut found).await?;
        }
        Ok(found)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, Fault> {
        let answer = self
            .run_instances(request)
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        answer.instances().iter().find_map(instance).ok_or_else(|| {
            Fault::new(FaultKind::Ambiguous, "EmptyAnswer", "EC2 said yes and named no instance")
        })
    }

    async fn account(&self) -> Option<Account> {
        self.identity.account().await
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        self.dated.ahead()
    }

    async fn free_volumes(&self, install: &str) -> Result<Vec<Volume>, Fault> {
        let filter = |name: &str, value: &str| types::Filter::builder().name(name).values(value);
        let mut pages = self
            .ec2
            .describe_volumes()
            .filters(filter(&format!("tag:{}", tag::INSTALL), install).build())
            .filters(filter("status", "available").build())
            .into_paginator()
            .page_size(VOLUMES_PAGE)
            .send();
        let (mut found, mut listing) = (Vec::new(), Listing::new("volumes"));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(&error))?;
            listing.page()?;
            for volume in page.volumes().iter().filter_map(volume) {
                listing.keep(size_of::<Volume>().saturating_add(volume.id.len()))?;
                found.push(volume);
            }
        }
        Ok(found)
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Fault> {
        let pages = self.ec2.describe_instance_status().into_paginator().page_size(PAGE);
        let mut pages = pages.send();
        let (mut found, mut listing) = (Vec::new(), Listing::new("instance statuses"));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(&error))?;
            listing.page()?;
            for row in page.instance_statuses() {
                let known = found.len();
                let id = named(row.instance_id().unwrap_or_default())?;
                warnings::of(row, &mut found);
                let new = found.len().saturating_sub(known);
                let each = size_of::<Warning>().saturating_add(id.len());
                listing.keep(new.saturating_mul(each))?;
            }
        }
        Ok(found)
    }

    async fn tag_drain(&self, id: &InstanceId, value: &str) -> Result<(), Fault> {
        self.set_drain_tag(id, value).await
    }

    async fn untag_drain(&self, id: &InstanceId) -> Result<(), Fault> {
        self.remove_drain_tag(id).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), Fault> {
        self.ec2
            .terminate_instances()
            .instance_ids(id.as_str())
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }
}

impl Aws {
    async fn describe(
        &self,
        filter: types::Filter,
    ) -> Result<BTreeMap<InstanceId, Instance>, Fault> {
        let rows = self.rows(filter, |row| instance(row).map(|row| (size(&row), row))).await?;
        Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
    }

    /// Returns what `take` keeps of every row of all pages, or a fault. `take` also says how much
    /// memory that takes, in bytes.
    pub(super) async fn rows<T>(
        &self,
        filter: types::Filter,
        take: impl Fn(&types::Instance) -> Option<(usize, T)> + Send + Sync,
    ) -> Result<Vec<T>, Fault> {
        if !self.small_pages.load(Ordering::Relaxed) {
            match self.rows_by(PAGE, &filter, &take).await {
                Err(fault) if fault.code == TOO_LARGE => {}
                answer => return answer,
            }
        }
        let answer = self.rows_by(SMALL_PAGE, &filter, &take).await;
        self.small_pages.store(answer.is_ok(), Ordering::Relaxed);
        answer
    }

    async fn rows_by<T>(
        &self,
        size: i32,
        filter: &types::Filter,
        take: &(impl Fn(&types::Instance) -> Option<(usize, T)> + Send + Sync),
    ) -> Result<Vec<T>, Fault> {
        let (mut found, mut listing) = (Vec::new(), Listing::new("instances"));
        let mut token: Option<String> = None;
        loop {
            listing.page()?;
            let page = self
                .ec2
                .describe_instances()
                .filters(filter.clone())
                .max_results(size)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| fault(&error))?;
            let rows = page.reservations().iter().flat_map(types::Reservation::instances);
            for (bytes, row) in rows.filter_map(take) {
                listing.keep(bytes)?;
                found.push(row);
            }
            token = listing.next(page.next_token())?;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Asks for instances by their ids; without those that EC2 says it does not know, for which it
    /// refuses all.
    async fn named(&self, mut ids: Vec<&str>, found: &mut Vec<Instance>) -> Result<(), Fault> {
        while !ids.is_empty() {
            let names = ids.iter().map(|id| (*id).to_owned()).collect();
            let asked = self.ec2.describe_instances().set_instance_ids(Some(names)).send().await;
            let fault = match asked.map_err(|error| fault(&error)) {
                Ok(page) => {
                    let rows = page.reservations().iter().flat_map(types::Reservation::instances);
                    let asked = |row: &Instance| ids.contains(&row.id.as_str());
                    found.extend(rows.filter_map(instance).filter(asked));
                    return Ok(());
                }
                Err(fault) => fault,
            };
            let before = ids.len();
            ids.retain(|id| !fault.message.contains(id));
            if fault.kind != FaultKind::InstanceNotFound || ids.len() == before {
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// A row; `None` for one without an id, which nothing could be done with.
fn instance(row: &types::Instance) -> Option<Instance> {
    let text = |field: Option<&str>| {
        field.filter(|text| !text.is_empty()).map(|text| Arc::from(printable(text, 255)))
    };
    let tagged = |key: &str| {
        row.tags()
            .iter()
            .find(|tag| tag.key() == Some(key))
            .map(|tag| tag.value().unwrap_or_default())
    };
    Some(Instance {
        id: InstanceId::new(named(row.instance_id()?).ok()?),
        lifecycle: lifecycle(row.state().and_then(types::InstanceState::name)),
        launched_at: row.launch_time().and_then(timestamp),
        instance_type: row.instance_type().map(|kind| printable(kind.as_str(), 40).into()),
        subnet: text(row.subnet_id()),
        zone: text(row.placement().and_then(types::Placement::availability_zone)),
        private_ip: text(row.private_ip_address()),
        public_ip: text(row.public_ip_address()),
        private_dns: text(row.private_dns_name()),
        token: text(row.client_token()),
        tags: OurTags {
            install: tagged(tag::INSTALL).map(Arc::from),
            fleet: tagged(tag::FLEET).and_then(FleetName::new),
            adopted: tagged(tag::ADOPTED).map(|value| printable(value, 255).into()),
            keep: tagged(tag::KEEP).is_some(),
            drain: tagged(tag::DRAIN).map(|value| printable(value, 255).into()),
            auto_scaling_group: tagged("aws:autoscaling:groupName").is_some(),
        },
        state_reason: row
            .state_reason()
            .and_then(|reason| reason.message().or(reason.code()))
            .filter(|reason| !reason.is_empty())
            .map(|reason| printable(reason, 300).into()),
        attached: attached(row),
        metadata_tags: row.metadata_options().map(|options| {
            options.instance_metadata_tags() == Some(&types::InstanceMetadataTagsState::Enabled)
        }),
    })
}

/// The memory that a row takes, in bytes.
fn size(row: &Instance) -> usize {
    let Instance {
        subnet,
        zone,
        private_ip,
        public_ip,
        private_dns,
        token,
        tags,
        state_reason,
        ..
    } = row;
    let texts = [subnet, zone, private_ip, public_ip, private_dns, token, state_reason];
    let texts = texts
        .into_iter()
        .chain([&tags.install, &tags.drain])
        .flatten()
        .map(|text| text.len())
        .sum::<usize>();
    size_of::<Instance>()
        .saturating_add(texts)
        .saturating_add(row.id.as_str().len())
        .saturating_add(row.instance_type.as_ref().map_or(0, |kind| kind.len()))
        .saturating_add(row.attached.as_ref().map_or(0, |attached| attached.id.len()))
}

/// The last that was attached to an instance after its root volume was: the launch time is later, where
/// it was stopped and started since.
fn attached(row: &types::Instance) -> Option<Attachment> {
    let volumes = row.block_device_mappings().iter().filter_map(|mapping| {
        let volume = mapping.ebs()?;
        let root = mapping.device_name() == row.root_device_name();
        Some((root, volume.volume_id()?, volume.attach_time().and_then(timestamp)?))
    });
    let volumes: Vec<(bool, &str, Timestamp)> = volumes.collect();
    let root = volumes.iter().find(|(root, ..)| *root).map(|(.., at)| *at);
    let born = root.or_else(|| row.launch_time().and_then(timestamp))?;
    let interfaces = row.network_interfaces().iter().filter_map(|interface| {
        let at = interface.attachment()?.attach_time().and_then(timestamp)?;
        Some((interface.network_interface_id()?, at))
    });
    let volumes = volumes.iter().filter(|(root, ..)| !root).map(|(_, id, at)| (*id, *at));
    let (id, at) = volumes.chain(interfaces).max_by_key(|(_, at)| *at)?;
    let after = time::since(at, born);
    (!after.is_zero()).then(|| Attachment { id: id.into(), after })
}

fn volume(row: &types::Volume) -> Option<Volume> {
    let fleet = row.tags().iter().find(|entry| entry.key() == Some(tag::FLEET));
    Some(Volume {
        id: printable(row.volume_id()?, 255),
        gib: row.size().and_then(|gib| u32::try_from(gib).ok()).unwrap_or_default(),
        fleet: fleet.and_then(types::Tag::value).and_then(FleetName::new),
    })
}

fn lifecycle(name: Option<&types::InstanceStateName>) -> Lifecycle {
    match name {
        Some(types::InstanceStateName::Pending) => Lifecycle::Pending,
        Some(types::InstanceStateName::Running) => Lifecycle::Running,
        Some(types::InstanceStateName::ShuttingDown) => Lifecycle::ShuttingDown,
        Some(types::InstanceStateName::Terminated) => Lifecycle::Terminated,
        Some(types::InstanceStateName::Stopping) => Lifecycle::Stopping,
        Some(types::InstanceStateName::Stopped) => Lifecycle::Stopped,
        // The SDK's list may grow.
        Some(_) | None => Lifecycle::Unknown,
    }
}

pub(super) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(at.subsec_nanos()).ok()?;
    Timestamp::new(at.secs(), nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> DateTime {
        DateTime::from_secs(minute * 60)
    }

    #[test]
    fn drain_tag_and_metadata_tags_are_read() {
        let described = |options: Option<types::InstanceMetadataOptionsResponse>| {
            let drain = types::Tag::builder().key(tag::DRAIN).value("2026-03-02T08:30:00Z");
            let row = types::Instance::builder().instance_id("i-1").tags(drain.build());
            instance(&row.set_metadata_options(options).build()).unwrap()
        };
        let row = described(None);
        assert_eq!(row.tags.drain.as_deref(), Some("2026-03-02T08:30:00Z"));
        assert_eq!(row.metadata_tags, None);
        let options = types::InstanceMetadataOptionsResponse::builder;
        assert_eq!(described(Some(options().build())).metadata_tags, Some(false));
        for (state, shown) in [
            (types::InstanceMetadataTagsState::Enabled, true),
            (types::InstanceMetadataTagsState::Disabled, false),
        ] {
            let options = options().instance_metadata_tags(state).build();
            assert_eq!(described(Some(options)).metadata_tags, Some(shown));
        }
    }

    #[test]
    fn what_was_attached_after_the_launch_is_known() {
        let volume = |device: &str, id: &str, at| {
            let ebs = types::EbsInstanceBlockDevice::builder().volume_id(id).attach_time(at);
            types::InstanceBlockDeviceMapping::builder()
                .device_name(device)
                .ebs(ebs.build())
                .build()
        };
        let interface = |id: &str, at| {
            let attachment = types::InstanceNetworkInterfaceAttachment::builder().attach_time(at);
            types::InstanceNetworkInterface::builder()
                .network_interface_id(id)
                .attachment(attachment.build())
                .build()
        };
        // Stopped and started an hour after its launch.
        let born = types::Instance::builder()
            .root_device_name("/dev/xvda")
            .launch_time(minute(60))
            .block_device_mappings(volume("/dev/xvda", "vol-root", minute(0)))
            .block_device_mappings(volume("/dev/sdb", "vol-of-the-image", minute(0)))
            .network_interfaces(interface("eni-first", minute(0)));
        assert_eq!(attached(&born.clone().build()), None);
        let lent = born.clone().block_device_mappings(volume("/dev/sdf", "vol-mine", minute(30)));
        let found = |id: &str, minutes| {
            Some(Attachment { id: id.into(), after: std::time::Duration::from_mins(minutes) })
        };
        assert_eq!(attached(&lent.clone().build()), found("vol-mine", 30));
        let twice = lent.network_interfaces(interface("eni-mine", minute(90)));
        assert_eq!(attached(&twice.build()), found("eni-mine", 90));
        assert_eq!(attached(&types::Instance::builder().build()), None);
    }
}
