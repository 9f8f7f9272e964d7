//! What servers are made of: their volumes, and what their images and subnets give a new one. It is
//! for remarks only, so that a right that is missing leaves these out.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Instance, VolumeType};

use super::Running;
use crate::aws::Aws;
use crate::aws::fault::fault;
use crate::aws::listing::{Listing, filters, named};
use tidegate_engine::model::fault::Fault;

/// The size and type of a disk, as far as EC2 says them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disk {
    pub size_gib: Option<i32>,
    /// `gp3`.
    pub kind: Option<String>,
}

/// Each is empty where it could not be read.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    pub volumes: BTreeMap<String, Disk>,
    /// The disks of each image by device.
    pub images: BTreeMap<String, BTreeMap<String, Disk>>,
    /// Whether a subnet assigns public addresses.
    pub subnets: BTreeMap<String, bool>,
    pub unread: Vec<Unread>,
}

/// What could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// `volumes`.
    pub what: &'static str,
    pub right: &'static str,
    pub fault: Fault,
}

/// The volume at each device of a server.
pub(super) fn volumes(row: &Instance) -> BTreeMap<String, String> {
    let devices = row.block_device_mappings().iter();
    let volume = |one: &aws_sdk_ec2::types::InstanceBlockDeviceMapping| {
        Some((one.device_name()?.to_owned(), one.ebs()?.volume_id()?.to_owned()))
    };
    devices.filter_map(volume).collect()
}

impl Aws {
    /// Reads what these servers are made of, as far as the caller may.
    pub(super) async fn origins(&self, servers: &[Running]) -> Origins {
        let volumes = servers.iter().flat_map(|server| server.volumes.values().cloned());
        let images = servers.iter().filter_map(|server| server.image.clone());
        let subnets = servers.iter().filter_map(|server| server.subnet.clone());
        let mut unread = Vec::new();
        let mut note = |what, right, fault| unread.push(Unread { what, right, fault });
        let volumes = self.disks_of_volumes(volumes.collect()).await;
        let volumes = volumes.unwrap_or_else(|fault| {
            note("volumes", "ec2:DescribeVolumes", fault);
            BTreeMap::new()
        });
        let images = self.disks_of_images(images.collect()).await;
        let images = images.unwrap_or_else(|fault| {
            note("images", "ec2:DescribeImages", fault);
            BTreeMap::new()
        });
        let subnets = self.assigning_subnets(subnets.collect()).await;
        let subnets = subnets.unwrap_or_else(|fault| {
            note("subnets", "ec2:DescribeSubnets", fault);
            BTreeMap::new()
        });
        Origins { volumes, images, subnets, unread }
    }

    async fn disks_of_volumes(
        &self,
        ids: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Disk>, Fault> {
        let mut found = BTreeMap::new();
        for filter in filters("volume-id", ids) {
            let mut pages = self.ec2.describe_volumes().filters(filter).into_paginator().send();
            let mut listing = Listing::new("volumes");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.volumes() {
                    let kind = row.volume_type().map(VolumeType::as_str).map(str::to_owned);
                    let id = named(row.volume_id().unwrap_or_default())?;
                    found.insert(id.to_owned(), Disk { size_gib: row.size(), kind });
                }
            }
        }
        Ok(found)
    }

    async fn disks_of_images(
        &self,
        ids: BTreeSet<String>,
    ) -> Result<BTreeMap<String, BTreeMap<String, Disk>>, Fault> {
        let mut found = BTreeMap::new();
        for filter in filters("image-id", ids) {
            let call = self.ec2.describe_images().filters(filter).include_deprecated(true);
            let mut pages = call.into_paginator().send();
            let mut listing = Listing::new("images");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.images() {
                    let disk = |one: &aws_sdk_ec2::types::BlockDeviceMapping| {
                        let ebs = one.ebs()?;
                        let kind = ebs.volume_type().map(VolumeType::as_str).map(str::to_owned);
                        let disk = Disk { size_gib: ebs.volume_size(), kind };
                        Some((one.device_name()?.to_owned(), disk))
                    };
                    let disks = row.block_device_mappings().iter().filter_map(disk).collect();
                    found.insert(named(row.image_id().unwrap_or_default())?.to_owned(), disks);
                }
            }
        }
        Ok(found)
    }

    async fn assigning_subnets(
        &self,
        ids: BTreeSet<String>,
    ) -> Result<BTreeMap<String, bool>, Fault> {
        let mut found = BTreeMap::new();
        for filter in filters("subnet-id", ids) {
            let mut pages = self.ec2.describe_subnets().filters(filter).into_paginator().send();
            let mut listing = Listing::new("subnets");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.subnets() {
                    let id = named(row.subnet_id().unwrap_or_default())?;
                    let assigns = row.map_public_ip_on_launch().unwrap_or_default();
                    found.insert(id.to_owned(), assigns);
                }
            }
        }
        Ok(found)
    }
}
