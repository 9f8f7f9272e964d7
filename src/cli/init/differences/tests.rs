//! Differences of servers in memory.

use super::*;

fn disk(size: i32, kind: &str) -> Disk {
    Disk { size_gib: Some(size), kind: Some(kind.to_owned()) }
}

fn server(id: &str, settings: &[(Setting, &str)]) -> Running {
    Running {
        id: id.to_owned(),
        image: Some("ami-1".to_owned()),
        instance_type: Some("t3.small".to_owned()),
        subnet: Some("subnet-a".to_owned()),
        settings: settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        volumes: [("/dev/xvda".to_owned(), format!("vol-{id}"))].into(),
        root_device: Some("/dev/xvda".to_owned()),
        ..Running::default()
    }
}

/// A region whose image makes 8 GiB, and whose servers have just that.
fn inventory(servers: &[Running]) -> Inventory {
    let mut inventory = Inventory::default();
    let volumes = servers.iter().flat_map(|server| server.volumes.values());
    inventory.origins.volumes = volumes.map(|id| (id.clone(), disk(8, "gp3"))).collect();
    let devices = [("/dev/xvda".to_owned(), disk(8, "gp3"))].into();
    inventory.origins.images = [("ami-1".to_owned(), devices)].into();
    inventory.origins.subnets = [("subnet-a".to_owned(), false)].into();
    inventory
}

fn told(servers: &[Running]) -> Vec<String> {
    of(servers, None, &inventory(servers))
}

#[test]
fn server_like_a_launch_has_no_difference() {
    let usual = [
        (Setting::Tenancy, "default"),
        (Setting::HttpTokens, "required"),
        (Setting::HopLimit, "2"),
        (Setting::Monitoring, "disabled"),
        (Setting::SourceDestCheck, "true"),
        (Setting::EbsOptimized, "false"),
    ];
    assert_eq!(told(&[server("1", &usual), server("2", &usual)]), [] as [String; 0]);
}

#[test]
fn settings_other_than_of_a_launch_are_named_with_their_servers() {
    let odd = server("3", &[(Setting::Tenancy, "dedicated"), (Setting::HttpTokens, "optional")]);
    let alike = server("2", &[(Setting::HttpTokens, "optional"), (Setting::HopLimit, "5")]);
    let found = told(&[odd, alike]);
    let expected = [
        "tenancy: dedicated on 3; a launch has default",
        "metadata HttpTokens: optional on all servers; a launch has required, so that software that uses IMDSv1 fails",
        "metadata HttpPutResponseHopLimit: 5 on 2; a launch has the default of the account or the image",
    ];
    assert_eq!(found, expected);
    let alone = told(&[server("1", &[(Setting::Monitoring, "enabled")])]);
    assert_eq!(
        alone,
        ["detailed monitoring: enabled on the server; a launch has basic monitoring"]
    );
}

#[test]
fn template_keeps_its_settings() {
    let made = |id: &str, version: &str| {
        let mut made = server(id, &[(Setting::Tenancy, "dedicated")]);
        made.tags.insert("aws:ec2launchtemplate:id".to_owned(), "lt-1".to_owned());
        made.tags.insert("aws:ec2launchtemplate:version".to_owned(), version.to_owned());
        made
    };
    assert_eq!(told(&[made("2", "4"), made("1", "4")]), [] as [String; 0]);
    let found = told(&[made("2", "4"), made("1", "3")]);
    assert_eq!(found, ["version of the launch template: 4 is the newest server's; 1 has 3"]);
    let found = told(&[made("2", "4"), server("1", &[])]);
    assert!(found[0].starts_with("launch template: 2 was made of lt-1"), "{found:?}");
}

#[test]
fn servers_unlike_each_other_are_named() {
    let newest = server("5", &[]);
    let other = |id: &str| Running {
        image: Some("ami-0".to_owned()),
        instance_type: Some("t3.large".to_owned()),
        key_pair: Some("old".to_owned()),
        security_groups: ["sg-1".to_owned(), "sg-2".to_owned()].into(),
        instance_profile: Some("arn:aws:iam::1:instance-profile/app".to_owned()),
        ..server(id, &[])
    };
    let found = told(&[newest, other("4"), server("3", &[]), server("2", &[])]);
    let expected = [
        "image: ami-1 is the newest server's; 4 has ami-0",
        "security groups: none is the newest server's; 4 has sg-1 sg-2",
        "key pair: none is the newest server's; 4 has old",
        "instance profile: none is the newest server's; 4 has app",
        "types: t3.small is launched first; 4 has t3.large, which is launched where EC2 has none of the first",
    ];
    assert_eq!(found, expected);
}

#[test]
fn disks_are_compared_with_those_of_the_image() {
    let mut large = server("2", &[]);
    large.volumes.insert("/dev/sdf".to_owned(), "vol-more".to_owned());
    let servers = [large, server("1", &[])];
    let mut inventory = inventory(&servers);
    inventory.origins.volumes.insert("vol-2".to_owned(), disk(100, "gp2"));
    inventory.origins.volumes.insert("vol-more".to_owned(), disk(500, "st1"));
    let expected = [
        "root disk: 100 GiB gp2 on 2; the image of a launch makes 8 GiB gp3",
        "disk /dev/sdf: 500 GiB st1 on 2; the image of a launch makes none",
    ];
    assert_eq!(of(&servers, None, &inventory), expected);
    inventory.origins.images.clear();
    let gone = of(&servers, None, &inventory);
    assert!(gone.len() == 1 && gone[0].contains("does not exist any more"), "{gone:?}");
}

#[test]
fn public_addresses_are_up_to_the_subnet() {
    let servers = [
        server("2", &[(Setting::PublicAddress, "assigned")]),
        server("1", &[(Setting::PublicAddress, "elastic")]),
    ];
    let found = told(&servers);
    assert_eq!(found[0], "Elastic IP: 1 has one; a launch gets none");
    assert!(found[1].starts_with("public address: 2 has one; a launch in subnet-a gets none"));
    let none = [server("1", &[])];
    let mut inventory = inventory(&none);
    inventory.origins.subnets = [("subnet-a".to_owned(), true)].into();
    let found = of(&none, None, &inventory);
    assert!(
        found[0].starts_with("public address: the server has none; a launch in subnet-a gets one")
    );
}

#[test]
fn load_balancers_are_compared() {
    let servers = [server("2", &[]), server("1", &[])];
    let group = |name: &str| Balancer::TargetGroup(name.to_owned());
    let mut inventory = inventory(&servers);
    let members: BTreeSet<String> = ["1".to_owned(), "2".to_owned()].into();
    inventory.balancers = vec![
        InUse {
            members: members.clone(),
            matcher: Some("200-399".to_owned()),
            port: Some(80),
            other_ports: [("1".to_owned(), [8080, 8081].into())].into(),
            ..InUse::of(group("web"))
        },
        InUse { members, other_check: Some("TCP".to_owned()), ..InUse::of(group("tls")) },
    ];
    let expected = [
        "health check: target group web accepts HTTP 200-399, and `health` 200 alone",
        "target group web: port 8080 and 8081 for 1; tidegate registers with port 80",
        "target group tls: all servers are in it too; tidegate registers with one load balancer",
    ];
    assert_eq!(of(&servers, Some(&group("web")), &inventory), expected);
    let found = of(&servers, Some(&group("tls")), &inventory);
    let check =
        "health check: target group tls asks by TCP, and `health` by HTTP, so that none is drafted";
    assert!(found.contains(&check.to_owned()), "{found:?}");
}
