//! Growing: the drains that the decision names are cancelled, unanswered launches are repeated, and
//! the servers that it asks for are launched, each from the best pool that has not refused lately.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::offering::{BySubnet, Chooser};
use super::{Draft, drain};
use crate::model::capacity::Capacity;
use crate::model::decision::Decision;
use crate::model::fault::FaultKind;
use crate::model::fleet::Pool;
use crate::model::launch::{LaunchRequest, Token, tag};
use crate::model::offering::Breaker;
use crate::model::plan::{Act, LeftOut, Limit};
use crate::model::roster::FleetView;
use crate::model::server::{Asked, LaunchState};
use crate::model::time::{self, Timestamp};
use crate::policy::{FleetPolicy, Policy};

/// The pause before an unanswered launch is asked again, doubled each time up to the cap.
const REPLAY_FIRST: Duration = Duration::from_secs(5);
const REPLAY_AT_MOST: Duration = Duration::from_mins(5);

/// Cancels the drains that the decision names.
pub(super) fn reclaim(draft: &mut Draft<'_>, decision: &Decision) {
    let view = draft.view;
    for server in decision.cancel_drains.iter().filter_map(|token| view.server(token)) {
        drain::cancel(draft, server, None);
    }
}

/// Asks again for launches without a certain answer, as long as they are still wanted. One that is
/// not is only watched for: asking would launch what nobody needs, expects in a pause, or has room for,
/// as where one that had been given up is there after all.
pub(super) fn replay(draft: &mut Draft<'_>, decision: &Decision) {
    if draft.view.pause.is_some() {
        return;
    }
    let spare = decision.capacity.saturating_sub(decision.wanted);
    let max = draft.fleet.map_or(0, |fleet| fleet.bounds.max()).max(decision.desired);
    let mut spare = spare.max(draft.view.alive().saturating_sub(max));
    for server in &draft.view.servers {
        let LaunchState::Asked(asked) = &server.record.launch else { continue };
        if spare > 0 {
            spare = spare.saturating_sub(1);
            continue;
        }
        if server.record.request.is_some() && replay_due(asked, draft.clocks.host) {
            draft.acts.push(Act::Replay {
                token: server.record.token.clone(),
                attempt: asked.attempts.saturating_add(1),
                in_doubt: asked.in_doubt,
            });
        }
    }
}

fn replay_due(asked: &Asked, now: Timestamp) -> bool {
    let hopeless = asked.last_fault.as_ref().is_some_and(|fault| match fault.kind {
        // An answer that no repeat will change; whether an earlier attempt launched something is
        // told by EC2's list alone.
        FaultKind::Config
        | FaultKind::NotFound
        | FaultKind::SubnetNotFound
        | FaultKind::TokenMismatch
        | FaultKind::Refused => true,
        FaultKind::Throttled
        | FaultKind::Ambiguous
        | FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::AccountQuota
        | FaultKind::Permission
        | FaultKind::Credentials
        | FaultKind::TokenSpent
        | FaultKind::InstanceNotFound
        | FaultKind::BalancerNotFound => false,
    });
    let pause = time::backoff(REPLAY_FIRST, asked.attempts, REPLAY_AT_MOST);
    !hopeless && time::since(now, asked.last_attempt_at) >= pause
}

/// The token of a launch at this instant. Where the clock was set back, an instant comes twice, and
/// the next ordinal is taken.
fn fresh_token(draft: &Draft<'_>, policy: &Policy, ordinal: u32, pool: &Pool) -> Token {
    let ordinal = usize::try_from(ordinal).unwrap_or(usize::MAX);
    let name = &draft.view.name;
    let derive = |ordinal| Token::derive(&policy.install, name, draft.clocks.host, ordinal, pool);
    let known = |token: &Token| draft.view.servers.iter().any(|s| s.record.token == *token);
    let begun = |token: &Token| {
        draft.acts.iter().any(|act| matches!(act, Act::Launch(request) if request.token == *token))
    };
    let mut tokens = (ordinal..).map(derive);
    tokens.find(|token| !known(token) && !begun(token)).unwrap_or_else(|| derive(ordinal))
}

/// Launches what is still missing.
pub(super) fn launch(
    draft: &mut Draft<'_>,
    budget: &mut Budget,
    policy: &Policy,
    decision: &Decision,
) {
    let Some(fleet) = draft.fleet else { return };
    let missing = decision.launch;
    if missing == 0 {
        return;
    }
    let allowed = match allowance(draft.view, draft.clocks.host) {
        Ok(allowed) => missing.min(allowed),
        Err(why) => return leave(draft, missing, why),
    };
    let mut chooser = Chooser::of(draft.view, policy, draft.clocks.host);
    let mut servers = BySubnet::of(draft.view);
    let mut alive = draft.view.alive();
    // A hold may ask for more than `max`; it is a person's word and still counts against `limits`.
    let most = fleet.bounds.max().max(decision.desired);
    for ordinal in 0..allowed {
        let left = missing.saturating_sub(ordinal);
        if alive >= most {
            return leave(draft, left, Limit::Max { max: most, alive });
        }
        let pool = match chooser.next(&mut servers) {
            Ok(pool) => pool,
            Err(why) => return leave(draft, left, why),
        };
        if let Err(why) = budget.launch() {
            return leave(draft, left, why);
        }
        alive = alive.saturating_add(1);
        let token = fresh_token(draft, policy, ordinal, &pool);
        draft.acts.push(Act::Launch(Arc::new(frozen_request(policy, fleet, pool, token))));
    }
    if allowed < missing {
        // Only the breaker allows fewer.
        let (failures, last) = match &draft.view.breaker {
            Breaker::Open { failures, last, .. } | Breaker::Probing { failures, last } => {
                (*failures, last.clone())
            }
            Breaker::Closed { .. } => return,
        };
        let why = Limit::Breaker { failures, last, probe_at: None };
        leave(draft, missing.saturating_sub(allowed), why);
    }
}

fn leave(draft: &mut Draft<'_>, count: Capacity, why: Limit) {
    draft.left_out.push(LeftOut { fleet: draft.view.name.clone(), count, why });
}

/// How many launches the breaker allows now.
fn allowance(view: &FleetView, now: Timestamp) -> Result<Capacity, Limit> {
    match &view.breaker {
        Breaker::Closed { .. } => Ok(Capacity::MAX),
        Breaker::Open { probe_at, .. } if *probe_at <= now => Ok(1),
        Breaker::Open { failures, last, probe_at } => Err(Limit::Breaker {
            failures: *failures,
            last: last.clone(),
            probe_at: Some(*probe_at),
        }),
        Breaker::Probing { failures, last } => {
            Err(Limit::Breaker { failures: *failures, last: last.clone(), probe_at: None })
        }
    }
}

/// The request of a launch into `pool`, with everything in it.
pub fn frozen_request(
    policy: &Policy,
    fleet: &FleetPolicy,
    pool: Pool,
    token: Token,
) -> LaunchRequest {
    let launch = &fleet.launch;
    let mut tags = launch.tags.clone();
    tags.entry("Name".to_owned()).or_insert_with(|| fleet.name.to_string());
    let ours = [
        (tag::INSTALL, policy.install.as_str()),
        (tag::FLEET, fleet.name.as_str()),
        (tag::ROLE, launch.role.as_str()),
        (tag::VERSION, env!("CARGO_PKG_VERSION")),
    ];
    tags.extend(ours.map(|(key, value)| (key.to_owned(), value.to_owned())));
    LaunchRequest {
        token,
        image: launch.image.clone(),
        pool,
        key_pair: launch.key_pair.clone(),
        security_groups: launch.security_groups.clone(),
        instance_profile: launch.instance_profile.clone(),
        user_data: launch.user_data.clone(),
        tags: tags.into(),
        drains: fleet.drain_terms().is_some(),
    }
}
