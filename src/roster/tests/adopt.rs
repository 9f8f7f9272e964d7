//! Servers handed over by a person.

use super::*;
use crate::roster::{Handover, adopt};

/// An instance that no launch of ours made.
fn by_hand(n: usize) -> Instance {
    Instance { token: None, ..instance(&record(n, minutes(600))) }
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
    let elsewhere = OurTags { fleet: FleetName::new("job"), ..tags.clone() };
    assert!(refusal(Instance { tags: elsewhere, ..by_hand(8) }).contains(id(8).as_str()));
    let grouped = OurTags { auto_scaling_group: true, ..tags };
    assert!(refusal(Instance { tags: grouped, ..by_hand(8) }).contains("detach it there first"));
    let dying = Instance { lifecycle: Lifecycle::ShuttingDown, ..by_hand(8) };
    assert!(refusal(dying).ends_with("is shutting-down, not running"));
    assert!(refusal(instance(scene.record(0))).ends_with("is a server of app already"));
    let unknown = handed(&scene, &fleet(), &[id(9)], &[]).unwrap_err();
    assert!(unknown.starts_with("EC2 knows no i-"), "{unknown}");
    let nowhere = FleetName::new("web").unwrap();
    let unknown = handed(&scene, &nowhere, &[id(9)], &[]).unwrap_err();
    assert_eq!(unknown, "no fleet web in the policy; there are app");
}
