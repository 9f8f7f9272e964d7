//! How a server runs, beside what makes up its launch in a policy.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{EnclaveOptions, HibernationOptions, Instance, InstanceNetworkInterface};

/// A setting of a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// `assigned` from AWS's pool, or `elastic`.
    PublicAddress,
    Tenancy,
    PlacementGroup,
    HttpEndpoint,
    HttpTokens,
    HopLimit,
    MetadataIpv6,
    MetadataTags,
    EbsOptimized,
    Monitoring,
    SourceDestCheck,
    Enclave,
    Hibernation,
    /// The number of network interfaces.
    Interfaces,
}

pub(super) fn of(row: &Instance) -> BTreeMap<Setting, String> {
    let placement = row.placement();
    let metadata = row.metadata_options();
    let flag = |set: Option<bool>| set.map(|set| set.to_string());
    let interfaces = row.network_interfaces();
    let said = [
        (Setting::PublicAddress, public_address(row)),
        (Setting::Tenancy, placement.and_then(|one| Some(one.tenancy()?.as_str().to_owned()))),
        (
            Setting::PlacementGroup,
            placement
                .and_then(|one| one.group_name())
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        ),
        (
            Setting::HttpEndpoint,
            metadata.and_then(|one| Some(one.http_endpoint()?.as_str().to_owned())),
        ),
        (
            Setting::HttpTokens,
            metadata.and_then(|one| Some(one.http_tokens()?.as_str().to_owned())),
        ),
        (
            Setting::HopLimit,
            metadata.and_then(|one| Some(one.http_put_response_hop_limit()?.to_string())),
        ),
        (
            Setting::MetadataIpv6,
            metadata.and_then(|one| Some(one.http_protocol_ipv6()?.as_str().to_owned())),
        ),
        (
            Setting::MetadataTags,
            metadata.and_then(|one| Some(one.instance_metadata_tags()?.as_str().to_owned())),
        ),
        (Setting::EbsOptimized, flag(row.ebs_optimized())),
        (
            Setting::Monitoring,
            row.monitoring().and_then(|one| Some(one.state()?.as_str().to_owned())),
        ),
        (Setting::SourceDestCheck, flag(row.source_dest_check())),
        (Setting::Enclave, flag(row.enclave_options().and_then(EnclaveOptions::enabled))),
        (
            Setting::Hibernation,
            flag(row.hibernation_options().and_then(HibernationOptions::configured)),
        ),
        (Setting::Interfaces, (interfaces.len() > 1).then(|| interfaces.len().to_string())),
    ];
    said.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
}

/// An address from AWS's pool is owned by `amazon`, an Elastic IP by the account.
fn public_address(row: &Instance) -> Option<String> {
    row.public_ip_address().filter(|ip| !ip.is_empty())?;
    let owners = row.network_interfaces().iter().filter_map(InstanceNetworkInterface::association);
    let mut owners = owners.filter_map(|one| one.ip_owner_id());
    let elastic = owners.any(|owner| owner != "amazon");
    Some(if elastic { "elastic" } else { "assigned" }.to_owned())
}
