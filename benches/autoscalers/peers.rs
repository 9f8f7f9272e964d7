//! Other autoscalers' rules, for this shop: a queue read at each poll, two jobs at once on a server.
//! Each rule as its project documents it; `setting` is the one number that its users tune for their
//! work, jobs per server or what stands for it. Where a project acts more often than a poll, it acts
//! here at each poll, on the same reading.

use crate::shop::{Autoscaler, Look, Orders, State, Terms, count};

/// What they have in common: a number of servers, kept by launching and by draining.
struct Fleet {
    max: usize,
    by_the_hour: bool,
    poll: f64,
    /// Whether a server goes only at the last poll of its paid hour. None of the projects but one
    /// does so; where it is to their good they are given it.
    hours_used_up: bool,
}

impl Fleet {
    fn of(terms: Terms, hours_used_up: bool) -> Self {
        Self { max: terms.max, by_the_hour: terms.by_the_hour, poll: terms.poll, hours_used_up }
    }

    fn size(look: &Look<'_>) -> usize {
        look.servers.iter().filter(|server| server.state != State::Draining).count()
    }

    /// Launches or drains towards `desired`: the idlest first, then, where hours are paid, the one
    /// whose hour ends soonest. Most of the projects pick less well.
    fn towards(&self, look: &Look<'_>, desired: usize) -> Orders {
        let desired = desired.min(self.max);
        let size = Self::size(look);
        let mut orders = Orders::default();
        if desired > size {
            let mut draining: Vec<_> =
                look.servers.iter().filter(|s| s.state == State::Draining).collect();
            draining.sort_by(|a, b| b.launched.total_cmp(&a.launched));
            orders.reclaim =
                draining.iter().take(desired - size).map(|server| server.number).collect();
            orders.launch = desired - size - orders.reclaim.len();
            return orders;
        }
        let mut candidates: Vec<_> =
            look.servers.iter().filter(|server| server.state == State::InService).collect();
        let paid_left = |launched: f64| {
            if self.by_the_hour { 3600.0 - (look.now - launched) % 3600.0 } else { 0.0 }
        };
        if self.hours_used_up {
            candidates.retain(|server| paid_left(server.launched) <= self.poll + 1.0);
        }
        candidates.sort_by(|a, b| {
            let hours = paid_left(a.launched).total_cmp(&paid_left(b.launched));
            a.busy.cmp(&b.busy).then(hours).then(b.launched.total_cmp(&a.launched))
        });
        orders.drain = candidates.iter().take(size - desired).map(|s| s.number).collect();
        orders
    }
}

/// Jobs in hand, waiting and running: what most of them are fed.
fn load(look: &Look<'_>) -> f64 {
    count(look.waiting + look.running)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
fn ceil(n: f64) -> usize {
    n.ceil().max(0.0) as usize
}

/// A rule by its name.
pub(crate) fn rule(
    name: &str,
    setting: f64,
    hours_used_up: bool,
    terms: Terms,
) -> Box<dyn Autoscaler> {
    let fleet = Fleet::of(terms, hours_used_up);
    match name {
        "article" => Box::new(Article { fleet, above: setting }),
        "hpa" => Box::new(Hpa { fleet, target: setting, proposals: Vec::new() }),
        "keda" => Box::new(Keda {
            hpa: Hpa { fleet, target: setting, proposals: Vec::new() },
            active: None,
        }),
        "step" => Box::new(Step { fleet, above: setting, added: Vec::new() }),
        "target" => Box::new(Target { fleet, each: setting, high: 0, low: 0 }),
        "nomad" => Box::new(Nomad { fleet, target: setting, cool_until: 0.0 }),
        "hirefire" => Box::new(HireFire { fleet, ratio: setting }),
        "judoscale" => {
            Box::new(Judoscale { fleet, upper: setting, up_at: -1e9, under_since: None })
        }
        other => panic!("no rule {other}"),
    }
}

/// The article's thresholds: over so many waiting one more, under a quarter of it one less after 45
/// minutes of uptime.
struct Article {
    fleet: Fleet,
    above: f64,
}

impl Autoscaler for Article {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        let waiting = count(look.waiting);
        if waiting > self.above {
            return self.fleet.towards(look, size + 1);
        }
        let old = |server: &&crate::shop::Seen| look.now - server.launched >= 2700.0;
        let aged: Vec<_> = look.servers.iter().filter(old).copied().collect();
        if waiting < self.above / 4.0 && !aged.is_empty() {
            return self.fleet.towards(look, size.saturating_sub(1));
        }
        Orders::default()
    }
}

/// Kubernetes' HPA on an external metric with an average value: tolerance 0.1, down by the highest
/// proposal of five minutes. Up at most by double or four in 15 seconds, which over a poll is no limit.
struct Hpa {
    fleet: Fleet,
    target: f64,
    proposals: Vec<(f64, usize)>,
}

impl Hpa {
    fn desired(&mut self, look: &Look<'_>) -> usize {
        let size = Fleet::size(look);
        let metric = load(look);
        let ratio = metric / (self.target * count(size.max(1)));
        let proposal =
            if size > 0 && (ratio - 1.0).abs() <= 0.1 { size } else { ceil(metric / self.target) };
        self.proposals.retain(|(at, _)| look.now - at < 300.0);
        self.proposals.push((look.now, proposal));
        let steady = self.proposals.iter().map(|(_, n)| *n).max().unwrap_or(proposal);
        if proposal > size { proposal } else { steady.min(size) }
    }
}

impl Autoscaler for Hpa {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        // It switches itself off at zero.
        let desired = self.desired(look).max(1);
        self.fleet.towards(look, desired)
    }
}

/// KEDA: the HPA between one and many, zero after 300 seconds without work.
struct Keda {
    hpa: Hpa,
    active: Option<f64>,
}

impl Autoscaler for Keda {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        if load(look) > 0.0 {
            self.active = Some(look.now);
            let desired = if size == 0 { 1 } else { self.hpa.desired(look).max(1) };
            return self.hpa.fleet.towards(look, desired);
        }
        let idle = self.active.is_none_or(|at| look.now - at > 300.0);
        let desired = if idle { 0 } else { size.min(1) };
        self.hpa.fleet.towards(look, desired)
    }
}

/// EC2's step scaling on the jobs in hand: one more over the threshold, a third more far over it;
/// servers warming up count as added already.
struct Step {
    fleet: Fleet,
    above: f64,
    added: Vec<(f64, usize)>,
}

impl Autoscaler for Step {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        let waiting = count(look.waiting);
        self.added.retain(|(at, _)| look.now - at < 300.0);
        let warming: usize = self.added.iter().map(|(_, n)| n).sum();
        let wanted = if waiting > 3.0 * self.above {
            size.div_ceil(3).max(2)
        } else {
            usize::from(waiting > self.above)
        };
        if wanted > warming {
            self.added.push((look.now, wanted - warming));
            return self.fleet.towards(look, size + wanted - warming);
        }
        if waiting < self.above / 4.0 && warming == 0 {
            return self.fleet.towards(look, size.saturating_sub(1));
        }
        Orders::default()
    }
}

/// EC2's target tracking on the backlog per instance: out when it has been over the target at a
/// poll (three minutes), in slowly when it has been under nine tenths for three (fifteen minutes).
struct Target {
    fleet: Fleet,
    each: f64,
    high: u32,
    low: u32,
}

impl Autoscaler for Target {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        if size == 0 {
            return self.fleet.towards(look, usize::from(load(look) > 0.0));
        }
        let now = load(look) / count(size);
        self.high = if now > self.each { self.high + 1 } else { 0 };
        self.low = if now < 0.9 * self.each { self.low + 1 } else { 0 };
        let proportional = count(size) * now / self.each;
        let desired = if self.high >= 1 {
            ceil(proportional)
        } else if self.low >= 3 {
            // Once a minute one less, at most down to what is needed.
            size.saturating_sub(5).max(ceil(proportional))
        } else {
            size
        };
        self.fleet.towards(look, desired)
    }
}

/// Nomad's target-value, with its five minutes of cooldown.
struct Nomad {
    fleet: Fleet,
    target: f64,
    cool_until: f64,
}

impl Autoscaler for Nomad {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        if look.now < self.cool_until {
            return Orders::default();
        }
        // The metric is what waits and runs for each server; at zero servers, all of it.
        let factor = load(look) / count(size.max(1)) / self.target;
        let desired = match size {
            0 => ceil(factor),
            _ if (factor - 1.0).abs() <= 0.01 => size,
            _ => ceil(count(size) * factor),
        };
        if desired != size {
            self.cool_until = look.now + 300.0;
        }
        self.fleet.towards(look, desired)
    }
}

/// HireFire's job queue: jobs over a ratio, never down before the queue is empty.
struct HireFire {
    fleet: Fleet,
    ratio: f64,
}

impl Autoscaler for HireFire {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        let jobs = load(look);
        let wanted = ceil(jobs / self.ratio);
        let desired = if jobs == 0.0 { 0 } else { wanted.max(size) };
        self.fleet.towards(look, desired)
    }
}

/// Judoscale on queue time: one more when the oldest waits too long, at most every three minutes;
/// one less after ten minutes under a quarter of it.
struct Judoscale {
    fleet: Fleet,
    upper: f64,
    up_at: f64,
    under_since: Option<f64>,
}

impl Autoscaler for Judoscale {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let size = Fleet::size(look);
        let oldest = look.oldest.unwrap_or(0.0);
        if oldest > self.upper || (size == 0 && look.waiting > 0) {
            self.under_since = None;
            if look.now - self.up_at >= 180.0 {
                self.up_at = look.now;
                return self.fleet.towards(look, size + 1);
            }
            return Orders::default();
        }
        if oldest >= self.upper / 4.0 {
            self.under_since = None;
            return Orders::default();
        }
        let since = *self.under_since.get_or_insert(look.now);
        if look.now - since >= 600.0 {
            self.under_since = Some(look.now);
            return self.fleet.towards(look, size.saturating_sub(1));
        }
        Orders::default()
    }
}
