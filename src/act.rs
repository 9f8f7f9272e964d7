//! Carries an intent out. Makes no choice and does not retry: a call that fails is met by the next
//! tick with fresh eyes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};

use crate::ports::Ports;
use crate::record::{Call, Intent, What};
use tidegate_engine::model::drain::{DrainPost, tag_value};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::plan::Outcome;
use tidegate_engine::model::time::{self, Timestamp};

/// Calls under way at once: enough to take a fleet out of a balancer in one go, few enough to stay
/// under every published request rate.
const AT_ONCE: usize = 8;

/// No call is begun any more once a turn has taken so long: what is left is done by the next tick,
/// with fresh eyes. A call takes 20 s at most, so a turn ends well before anybody takes the process
/// for stuck.
const TURN: Duration = Duration::from_secs(40);

/// Told to a turn that is under way: no call is begun any more, and those in hand end.
#[derive(Debug, Default)]
pub struct Halt(AtomicBool);

impl Halt {
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How each call of the intent ended, in the intent's order.
pub async fn act(ports: &Ports, intent: &Intent, halt: &Halt) -> Vec<Outcome> {
    // Most ticks do nothing.
    if intent.calls().is_empty() {
        return Vec::new();
    }
    let turn = Turn { ports, begun: ports.clock.now(), halt };
    let (launches, others): (Vec<_>, Vec<_>) = intent
        .calls()
        .iter()
        .enumerate()
        .partition(|(_, call)| matches!(call.what, What::Launch { .. }));
    // Taking out and putting in goes beside launching, which EC2 lets through two a second.
    let (mut done, other) = tokio::join!(
        turn.launch_one_by_one(&launches),
        stream::iter(others.into_iter().map(async |(at, call)| {
            (
                at,
                match turn.over() {
                    Some(untried) => untried,
                    None => once(ports, call).await,
                },
            )
        }))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>(),
    );
    done.extend(other);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// One turn at acting.
struct Turn<'a> {
    ports: &'a Ports,
    begun: Timestamp,
    halt: &'a Halt,
}

impl Turn<'_> {
    /// What becomes of a call where none may be begun any more.
    fn over(&self) -> Option<Outcome> {
        if self.halt.0.load(Ordering::Relaxed) {
            return Some(Outcome::Halted);
        }
        let late = time::since(self.ports.clock.now(), self.begun) >= TURN;
        late.then_some(Outcome::Skipped)
    }

    /// One after the other; the first that is throttled, or refused for its credentials, ends the
    /// turn, as the rest would be too.
    async fn launch_one_by_one(&self, launches: &[(usize, &Call)]) -> Vec<(usize, Outcome)> {
        let mut done = Vec::new();
        let mut refused = false;
        for (at, call) in launches {
            let untried = self.over().or(refused.then_some(Outcome::Skipped));
            let outcome = match untried {
                Some(untried) => untried,
                None => once(self.ports, call).await,
            };
            refused |= matches!(
                &outcome,
                Outcome::Failed(Fault { kind: FaultKind::Throttled | FaultKind::Credentials, .. })
            );
            done.push((*at, outcome));
        }
        done
    }
}

async fn once(ports: &Ports, call: &Call) -> Outcome {
    let span = span(call);
    let outcome = ask(ports, call).instrument(span.clone()).await;
    match &outcome {
        Outcome::Done(Some(launched)) => {
            span.record("instance", display(&launched.id));
        }
        Outcome::Failed(fault) => {
            span.record("otel.status_code", "ERROR");
            span.record("otel.status_description", display(fault));
        }
        Outcome::Done(None) | Outcome::Received { .. } | Outcome::Skipped | Outcome::Halted => {}
    }
    outcome
}

/// The call as a part of the tick's trace.
fn span(call: &Call) -> Span {
    let (name, instance) = match &call.what {
        What::Launch { .. } => ("launch", None),
        What::Register { instance, .. } => ("register", Some(instance)),
        What::Deregister { instance, .. } => ("deregister", Some(instance)),
        What::Drain { instance, .. } => ("drain", Some(instance)),
        What::EndSignal { instance, .. } => ("end drain", Some(instance)),
        What::Terminate { instance, .. } => ("terminate", Some(instance)),
    };
    info_span!(
        "call",
        otel.name = name,
        otel.kind = "client",
        fleet = %call.fleet,
        instance = instance.map(display),
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

async fn ask(ports: &Ports, call: &Call) -> Outcome {
    let result = match &call.what {
        What::Launch { request, .. } => {
            ports.cloud.launch(request).await.map(|instance| Some(Box::new(instance)))
        }
        What::Register { instance, balancer } => {
            ports.balancers.register(balancer, instance).await.map(|()| None)
        }
        What::Deregister { instance, balancer, .. } => {
            ports.balancers.deregister(balancer, instance).await.map(|()| None)
        }
        What::Drain { instance, deadline, post, .. } => {
            return signal(ports, instance, *deadline, post.as_deref()).await;
        }
        What::EndSignal { instance, post, undelivered, .. } => {
            end_signal(ports, instance, post.as_deref(), *undelivered).await.map(|()| None)
        }
        What::Terminate { instance, .. } => ports.cloud.terminate(instance).await.map(|()| None),
    };
    match result {
        Ok(answer) => Outcome::Done(answer),
        Err(fault) => Outcome::Failed(fault),
    }
}

/// The tag comes first: it is the record of the drain that outlives a lost journal.
async fn signal(
    ports: &Ports,
    instance: &InstanceId,
    deadline: Timestamp,
    post: Option<&DrainPost>,
) -> Outcome {
    if let Err(fault) = ports.cloud.tag_drain(instance, &tag_value(deadline)).await {
        return Outcome::Failed(fault);
    }
    let Some(post) = post else { return Outcome::Received { running: None } };
    match ports.probe.drain(post).await {
        Ok(running) => Outcome::Received { running },
        Err(why) => Outcome::Failed(not_received(&why)),
    }
}

/// The receiver is told first: a tag that is gone says that nothing is left to do.
async fn end_signal(
    ports: &Ports,
    instance: &InstanceId,
    post: Option<&DrainPost>,
    undelivered: bool,
) -> Result<(), Fault> {
    if let Some(post) = post
        && let Err(why) = ports.probe.drain(post).await
        && !undelivered
    {
        return Err(not_received(&why));
    }
    ports.cloud.untag_drain(instance).await
}

fn not_received(why: &str) -> Fault {
    Fault::new(FaultKind::Ambiguous, "NotReceived", why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::ports::{Clock, Cloud};
    use crate::sim::front::Front;
    use crate::sim::world::{Settings, World};
    use crate::store::memory::MemoryStore;
    use crate::tick;
    use tidegate_engine::model::account::Account;
    use tidegate_engine::model::instance::Instance;
    use tidegate_engine::model::launch::LaunchRequest;
    use tidegate_engine::model::server::LaunchState;
    use tidegate_engine::model::volume::Volume;
    use tidegate_engine::model::warning::Warning;
    use tidegate_engine::policy;

    /// An EC2 that hangs for 15 seconds before it fails each launch.
    struct Hanging {
        now: Mutex<Timestamp>,
        front: Front,
        asked: Mutex<usize>,
    }

    #[async_trait]
    impl Cloud for Hanging {
        async fn instances(&self, install: &str) -> Result<Vec<Instance>, Fault> {
            self.front.instances(install).await
        }

        async fn account(&self) -> Option<Account> {
            self.front.account().await
        }

        async fn instances_named(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
            self.front.instances_named(ids).await
        }

        async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
            self.front.instances_by_id(ids).await
        }

        async fn launch(&self, _: &LaunchRequest) -> Result<Instance, Fault> {
            let mut now = self.now.lock().unwrap();
            *now = time::after(*now, Duration::from_secs(15));
            *self.asked.lock().unwrap() += 1;
            Err(Fault::new(FaultKind::Ambiguous, "Timeout", "no answer in time"))
        }

        async fn free_volumes(&self, install: &str) -> Result<Vec<Volume>, Fault> {
            self.front.free_volumes(install).await
        }

        async fn warnings(&self) -> Result<Vec<Warning>, Fault> {
            self.front.warnings().await
        }

        async fn tag_drain(&self, id: &InstanceId, value: &str) -> Result<(), Fault> {
            self.front.tag_drain(id, value).await
        }

        async fn untag_drain(&self, id: &InstanceId) -> Result<(), Fault> {
            self.front.untag_drain(id).await
        }

        async fn terminate(&self, id: &InstanceId) -> Result<(), Fault> {
            self.front.terminate(id).await
        }
    }

    impl Clock for Hanging {
        fn now(&self) -> Timestamp {
            *self.now.lock().unwrap()
        }
    }

    #[tokio::test]
    async fn a_turn_ends_though_every_launch_hangs_and_the_rest_comes_later() {
        let start: Timestamp = "2026-03-05T20:59:00Z".parse().unwrap();
        let names: Vec<String> = (0..12).map(|n| format!("  f{n}: ")).collect();
        let fleet = "{ launch: { template: web }, min: 1, max: 1 }\n";
        let fleets = names.join(fleet);
        let text = format!("version: 1\nmode: act\nfleets:\n{fleets}{fleet}");
        let policy = policy::load("policy.yaml", &text, start).policy.unwrap();
        let front = Front::new(World::new(Settings::default(), start), BTreeMap::new());
        let hanging = Arc::new(Hanging {
            now: Mutex::new(start),
            front: front.clone(),
            asked: Mutex::new(0),
        });
        let store = Arc::new(MemoryStore::default());
        let ports = Ports {
            cloud: hanging.clone(),
            balancers: Arc::new(front.clone()),
            probe: Arc::new(front),
            store: store.clone(),
            clock: hanging.clone(),
        };
        let mut journal = crate::record::Journal::open(store, start).await.unwrap();
        let record = tick::tick(&ports, &policy, &mut journal, &[]).await.unwrap();
        let skipped = record.outcomes.iter().filter(|outcome| **outcome == Outcome::Skipped);
        assert_eq!((record.outcomes.len(), skipped.count()), (5, 2));
        assert_eq!(*hanging.asked.lock().unwrap(), 3, "45 s, and no more");
        // Nobody is forgotten: the rest is asked for in the ticks to come, beside the repeats.
        for _ in 0..40 {
            let now = hanging.now();
            *hanging.now.lock().unwrap() = time::after(now, Duration::from_secs(15));
            tick::tick(&ports, &policy, &mut journal, &[]).await.unwrap();
        }
        let asked: Vec<u32> = journal
            .ledger()
            .servers
            .all()
            .filter_map(|record| match &record.launch {
                LaunchState::Asked(asked) => Some(asked.attempts),
                LaunchState::Launched(_) | LaunchState::Refused(_) => None,
            })
            .collect();
        assert_eq!(asked.len(), 12, "one for each fleet, and no second");
        assert!(asked.iter().all(|attempts| *attempts > 0), "{asked:?}");
    }
}
