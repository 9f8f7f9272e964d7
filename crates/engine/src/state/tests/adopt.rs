//! Servers handed over by a person.

use super::*;
use crate::state::{Handover, adopt};

/// An instance that no launch of ours made, and that the operator tagged.
fn by_hand(n: usize) -> Instance {
    let found = instance(&record(n, minutes(600)));
    let tags = OurTags { adopted: Some("main/app".into()), ..found.tags.clone() };
    Instance { token: None, tags, ..found }
}

fn handed(
    scene: &Scene,
    fleet: &FleetName,
    asked: &[InstanceId],
    found: &[Instance],
) -> Result<Vec<ServerRecord>, String> {
    let asked = asked.iter().cloned().collect();
    let handover = Handover { fleet, asked: &asked, found };
    adopt(&web(), &scene.ledger, handover, now())
}

#[test]
fn an_adopted_server_is_one_of_the_fleet_and_no_stranger() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    scene.listed().insert(id(7), by_hand(7));
    assert_eq!(scene.look(&web()).strangers.get(&id(7)), Some(&Stranger::NoToken));
    let records = handed(&scene, &fleet(), &[id(7)], &[by_hand(7)]).unwrap();
    for record in records {
        scene.ledger.apply(&Change::Server(Arc::new(record)));
    }
    let roster = scene.look(&web());
    assert!(roster.strangers.is_empty(), "{:?}", roster.strangers);
    assert_eq!(roster.fleets[&fleet()].servers.len(), 3);
    // Its tag is its bond: without it nothing can be done to it, and that is told.
    scene.listed().get_mut(&id(7)).unwrap().tags.install = None;
    assert_eq!(scene.look(&web()).strangers.get(&id(7)), Some(&Stranger::Untagged));
}

/// All or nothing, and each refusal names its instance and the remedy.
#[test]
fn only_what_is_tagged_alive_and_nobody_elses_is_adopted() {
    let scene = Scene::new(vec![record(0, minutes(600))]);
    let refusal = |instance: Instance| {
        let asked = [id(7), instance.id.clone()];
        handed(&scene, &fleet(), &asked, &[by_hand(7), instance]).unwrap_err()
    };
    let tags = by_hand(8).tags;
    let untagged = OurTags { install: None, ..tags.clone() };
    assert!(refusal(Instance { tags: untagged, ..by_hand(8) }).starts_with("tag first"));
    let unsaid = OurTags { adopted: None, ..tags.clone() };
    let why = refusal(Instance { tags: unsaid, ..by_hand(8) });
    assert!(why.ends_with("Key=tidegate:adopted,Value=main/app"), "{why}");
    let other = OurTags { adopted: Some("main/job".into()), ..tags.clone() };
    assert!(refusal(Instance { tags: other, ..by_hand(8) }).starts_with("tag first"));
    let elsewhere = OurTags { fleet: FleetName::new("job"), ..tags.clone() };
    assert!(refusal(Instance { tags: elsewhere, ..by_hand(8) }).contains(id(8).as_str()));
    let grouped = OurTags { auto_scaling_group: true, ..tags };
    assert!(refusal(Instance { tags: grouped, ..by_hand(8) }).contains("detach it there first"));
    let dying = Instance { lifecycle: Lifecycle::ShuttingDown, ..by_hand(8) };
    assert!(refusal(dying).ends_with("is shutting-down, not running"));
    // A server that the fleet has already is no reason to refuse the others.
    let asked = [id(0), id(7)];
    let found = [instance(scene.record(0)), by_hand(7)];
    let records = handed(&scene, &fleet(), &asked, &found).unwrap();
    assert_eq!(records.iter().filter_map(ServerRecord::instance).collect::<Vec<_>>(), [&id(7)]);
    let unknown = handed(&scene, &fleet(), &[id(9)], &[]).unwrap_err();
    assert!(unknown.starts_with("EC2 knows no i-"), "{unknown}");
    let nowhere = FleetName::new("web").unwrap();
    let unknown = handed(&scene, &nowhere, &[id(9)], &[]).unwrap_err();
    assert_eq!(unknown, "no fleet web in the policy; there are app");
}

/// So a fleet is renamed: its servers keep what is known of them.
#[test]
fn a_server_of_a_fleet_that_left_the_policy_changes_hands() {
    let of_old =
        |n| ServerRecord { fleet: FleetName::new("old").unwrap(), ..record(n, minutes(600)) };
    let mut scene = Scene::new(vec![of_old(0), of_old(1)]);
    let tagged = |n| {
        let record = of_old(n);
        let found = instance(&record);
        let tags = OurTags { fleet: Some(fleet()), ..found.tags.clone() };
        Instance { tags, ..found }
    };
    let is_in = |scene: &mut Scene, balancer: &str| {
        let balancer = Some((Balancer::Classic(balancer.to_owned()), minutes(5)));
        let memory = FleetMemory { balancer, ..FleetMemory::default() };
        scene.ledger.apply(&Change::Fleet(FleetName::new("old").unwrap(), Box::new(memory)));
    };
    is_in(&mut scene, "web");
    let renamed_from = scene.look(&web()).fleets[&fleet()].renamed_from.clone();
    assert_eq!(renamed_from, Some((FleetName::new("old").unwrap(), 2)));
    assert!(scene.planned(&web()).is_empty());

    let tags = OurTags { fleet: FleetName::new("old"), ..tagged(0).tags };
    let found = Instance { tags, ..tagged(0) };
    let untagged = handed(&scene, &fleet(), &[id(0)], &[found]).unwrap_err();
    assert!(untagged.starts_with("tag first"), "{untagged}");
    let [moved] = handed(&scene, &fleet(), &[id(0)], &[tagged(0)]).unwrap().try_into().unwrap();
    let known = ServerRecord { fleet: fleet(), ..scene.record(0).clone() };
    assert_eq!(moved, known);

    // Handed over one by one: nothing is launched in the place of those that are still to come.
    scene.ledger.apply(&Change::Server(Arc::new(moved)));
    assert!(scene.planned(&web()).is_empty(), "{:?}", scene.planned(&web()));
    // Whoever retires the old ones wants new ones.
    let retire = OverrideKey::Retire(FleetName::new("old").unwrap());
    scene.order(retire.clone());
    assert!(scene.planned(&web()).iter().any(|step| step.starts_with("launch")));
    scene.ledger.apply(&Change::OverrideEnded(retire));

    let leaving = ServerRecord { retirement: Some(retirement(0)), ..of_old(1) };
    scene.ledger.apply(&Change::Server(Arc::new(leaving)));
    let leaving = handed(&scene, &fleet(), &[id(1)], &[tagged(1)]).unwrap_err();
    assert!(leaving.ends_with("is on its way out of old"), "{leaving}");
    is_in(&mut scene, "front");
    let back = ServerRecord { retirement: None, ..of_old(1) };
    scene.ledger.apply(&Change::Server(Arc::new(back)));
    let elsewhere = handed(&scene, &fleet(), &[id(1)], &[tagged(1)]).unwrap_err();
    assert!(elsewhere.contains("is in load balancer front"), "{elsewhere}");
}
