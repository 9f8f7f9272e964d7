//! Scale-in within `limits.terminate`.

use super::*;
use crate::decide::all;

const LIMITED: &str = "version: 1
timezone: America/Winnipeg
mode: act
limits: { terminate: 3 per 10m }
fleets:
  f:
    launch: { image: ami-0123456789abcdef0, types: [t3.small] }
    mode: MODE
    min: 0
    max: 9
    schedule:
      - { during: mon-fri 08:00-21:00, capacity: 1 }
  g:
    launch: { image: ami-0123456789abcdef0, types: [t3.small] }
    min: 1
    max: 9
";

/// Five servers in `f` and three in `g`, each of which is to have one.
fn scene(mode: &str) -> Scene {
    let text = LIMITED.replace("MODE", mode);
    let loaded = load("test.yaml", &text, noon());
    let policy = loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let mut scene = Scene::new(policy, &[60, 61, 62, 63, 64]);
    for n in 5..8 {
        scene.server(n, time::before(scene.seen.now, MINUTE * 60));
        let token = Token::from_stored(&format!("tg1.main.{n:032x}"));
        let record = scene.ledger.servers.get(token.as_str()).unwrap().clone();
        let record = ServerRecord { fleet: other(), ..record };
        scene.ledger.apply(&Change::Server(Arc::new(record)));
    }
    scene
}

fn other() -> FleetName {
    FleetName::new("g").unwrap()
}

/// What is desired of `f` and `g`, and whether the limit is named for each.
fn desired(scene: &Scene) -> [(u32, usize, bool); 2] {
    let roster = state::derive(&scene.policy, &scene.ledger, &scene.seen);
    let decisions = all(&scene.policy, &roster);
    [fleet(), other()].map(|name| {
        let decision = &decisions[&name];
        let limited = rules(decision).contains(&"terminations_limited");
        (decision.desired, decision.retire.len(), limited)
    })
}

#[test]
fn fleets_share_terminations_in_their_order() {
    assert_eq!(desired(&scene("act")), [(2, 3, true), (3, 0, true)]);
}

#[test]
fn observed_fleet_takes_no_terminations_from_others() {
    assert_eq!(desired(&scene("observe")), [(2, 3, true), (1, 2, false)]);
}

#[test]
fn ordered_termination_takes_its_room_first() {
    let id = InstanceId::new(&format!("i-{:017x}", 2));
    let scene = scene("act").order(OverrideKey::Terminate(id), 0);
    // The ordered server is part of the surplus of four, and goes for its order.
    assert_eq!(desired(&scene), [(2, 2, true), (3, 0, true)]);
}

#[test]
fn limited_scale_in_names_the_next_termination() {
    let scene = scene("act");
    let roster = state::derive(&scene.policy, &scene.ledger, &scene.seen);
    let decision = &all(&scene.policy, &roster)[&other()];
    let text = decision.text(&scene.policy.zone);
    assert!(text.contains("limits.terminate: 3 per 10m is used up, the next from "), "{text}");
    assert_eq!(decision.next_look, Some(time::after(noon(), MINUTE * 10)));
}
