//! Carries an intent out. Makes no choice and does not retry: a call that fails is met by the next
//! tick with fresh eyes.

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::model::fault::FaultKind;
use crate::model::plan::Outcome;
use crate::ports::Ports;
use crate::record::{Call, Intent, What};

/// Calls under way at once: enough to take a fleet out of a balancer in one go, few enough to stay
/// under every published request rate.
const AT_ONCE: usize = 8;

/// How each call of the intent ended, in the intent's order.
pub async fn act(ports: &Ports, intent: &Intent) -> Vec<Outcome> {
    let (launches, others): (Vec<_>, Vec<_>) = intent
        .calls()
        .iter()
        .enumerate()
        .partition(|(_, call)| matches!(call.what, What::Launch { .. }));
    // Taking out and putting in goes beside launching, which EC2 lets through two a second.
    let (mut done, other) = tokio::join!(
        launch_in_turn(ports, &launches),
        stream::iter(others.into_iter().map(async |(at, call)| (at, once(ports, call).await)))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>(),
    );
    done.extend(other);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// One after the other; the first that is throttled ends the turn, as the rest would be too.
async fn launch_in_turn(ports: &Ports, launches: &[(usize, &Call)]) -> Vec<(usize, Outcome)> {
    let mut done = Vec::new();
    let mut throttled = false;
    for (at, call) in launches {
        let outcome = if throttled { Outcome::Skipped } else { once(ports, call).await };
        throttled |= matches!(&outcome, Outcome::Failed(f) if f.kind == FaultKind::Throttled);
        done.push((*at, outcome));
    }
    done
}

async fn once(ports: &Ports, call: &Call) -> Outcome {
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
        What::Terminate { instance, .. } => ports.cloud.terminate(instance).await.map(|()| None),
    };
    match result {
        Ok(answer) => Outcome::Done(answer),
        Err(fault) => Outcome::Failed(fault),
    }
}
