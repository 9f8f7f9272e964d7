//! Any text as a policy file: it is read the same way twice, a policy that comes of it keeps its own
//! bounds, and everything that is wrong with it is shown at a place in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_engine::policy::{FleetPolicy, Place, Policy, QueueRule, Severity, load, render};
use tidegate_fuzz::is_harmless;

fuzz_target!(|data: &[u8]| {
    // The daemon reads the file as text, and refuses what is none before this.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = "2026-03-09T12:00:00Z".parse().expect("an instant");
    let loaded = load("policies.yaml", text, now);
    let again = load("policies.yaml", text, now);
    assert_eq!(loaded.problems, again.problems);
    assert_eq!(format!("{:?}", loaded.policy), format!("{:?}", again.policy));
    let refused = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(loaded.policy.is_none(), refused);
    for problem in &loaded.problems {
        for (place, label) in
            problem.also.iter().chain([&(problem.at, problem.label.clone())])
        {
            is_inside(*place, text);
            assert!(is_harmless(label), "{label:?}");
        }
        assert!(!problem.message.is_empty() && is_harmless(&problem.message), "{problem:?}");
        assert!(problem.remedy.as_deref().is_none_or(is_harmless), "{problem:?}");
        let shown = render(std::slice::from_ref(problem), "policies.yaml", text, false);
        assert!(shown.contains(problem.severity.as_str()), "{shown}");
        assert!(is_harmless(&shown), "{shown:?}");
    }
    if let Some(policy) = &loaded.policy {
        keeps_its_bounds(policy, text);
    }
});

fn is_inside(place: Place, text: &str) {
    assert!(place.start <= place.end && place.end <= text.len(), "{place:?}");
    assert!(text.is_char_boundary(place.start) && text.is_char_boundary(place.end), "{place:?}");
    // YAML breaks lines at carriage returns too.
    let breaks = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    assert!((1..=breaks + 1).contains(&place.line) && place.column >= 1, "{place:?}");
}

fn keeps_its_bounds(policy: &Policy, text: &str) {
    assert_eq!(&*policy.text, text);
    assert!(!policy.install.is_empty() && !policy.tick.is_zero());
    if let Some(rate) = policy.limits.terminate {
        assert!(!rate.per.is_zero());
    }
    for (name, fleet) in &policy.fleets {
        assert_eq!(name, &fleet.name);
        fleet_keeps_its_bounds(fleet);
    }
}

fn fleet_keeps_its_bounds(fleet: &FleetPolicy) {
    let bounds = fleet.bounds;
    assert!(bounds.min() <= bounds.max() && bounds.max() <= 10_000, "{bounds:?}");
    assert!(!fleet.grace.is_zero());
    for line in fleet.schedule.iter().flat_map(|schedule| &schedule.lines) {
        assert_eq!(bounds.clamp(line.capacity), line.capacity, "{line:?}");
    }
    if let Some(health) = &fleet.health {
        is_askable(&health.url);
        assert!(!health.every.is_zero() && !health.timeout.is_zero());
    }
    if let Some(queue) = &fleet.queue {
        is_askable(&queue.source.url);
        assert!(!queue.every.is_zero());
        match &queue.rule {
            QueueRule::Thresholds(grow, shrink) => {
                assert!(shrink.below < grow.above, "{queue:?}");
                assert!(grow.add >= 1 && shrink.remove >= 1, "{queue:?}");
            }
            QueueRule::Goal(goal) => {
                assert!(goal.jobs_at_once >= 1 && !goal.start_within.is_zero(), "{goal:?}");
            }
        }
    }
}

fn is_askable(url: &str) {
    assert!(url.starts_with("http://") || url.starts_with("https://"), "{url:?}");
    assert!(is_harmless(url) && !url.contains([' ', '\\', '\n', '#']), "{url:?}");
    for metadata in ["//169.254.", "//[fd00:ec2::254]", "//instance-data/"] {
        assert!(!url.to_lowercase().contains(metadata), "{url:?}");
    }
}
