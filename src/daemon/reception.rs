//! Where people and signals come in: orders by the socket, reloads, and EC2's word on servers that are
//! to be handed over. All are served at once, in the midst of a tick too, since a tick waits for AWS
//! and a person who sees an outage must not.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::warn;

use super::orders::Orders;
use super::{Herald, Telling};
use crate::admin::Command;
use crate::admin::order::{Adoption, Order};
use crate::ports::Ports;
use crate::record::Journal;
use crate::telemetry;
use crate::tick::{Attendant, Served};
use tidegate_engine::model::instance::{Instance, InstanceId};
use tidegate_engine::model::ledger::Event;
use tidegate_engine::model::roster::Roster;
use tidegate_engine::model::time::{self, Clocks, Timestamp};
use tidegate_engine::policy::Policy;

/// Reads the policy file: the new policy, or why it cannot be used.
pub type Loader = Arc<dyn Fn() -> Result<Policy, String> + Send + Sync>;

/// How long a person waits for EC2's word on what they hand over.
const ASKED_WITHIN: Duration = Duration::from_secs(20);

type Reply = oneshot::Sender<Result<String, String>>;

/// Who comes.
pub(super) enum Visitor {
    Order(Order, Reply),
    /// Nobody waits for the answer to a signal or to an edit.
    Reload(Option<Reply>),
    /// The policy file was read and judged, for these requests.
    Read(Result<Policy, String>, Vec<Option<Reply>>),
    /// EC2 has said what it knows of the servers that are handed over.
    Answered(Answered),
    /// Whoever started the daemon wants it to end.
    Stop,
}

pub(super) struct Answered {
    adoption: Adoption,
    /// What it knows, or why it says nothing.
    found: Result<Vec<Instance>, String>,
    reply: Reply,
}

/// What came of reading the policy file.
pub(super) enum Loaded {
    Unchanged,
    New(Box<Policy>),
    Refused(String),
}

impl Loaded {
    pub(super) fn is_usable(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// How a change of the policy is told.
    pub(super) fn text(old: &Policy, new: &Policy) -> String {
        format!("policy {} -> {}", old.digest, new.digest)
    }
}

/// Those who are here, and those who have to wait.
pub struct Reception {
    orders: mpsc::Receiver<Command>,
    reload: Arc<Notify>,
    stop: Arc<Notify>,
    policy_path: PathBuf,
    loader: Loader,
    /// Whether a tick has come to its end: before, nobody is told of reloads.
    open: bool,
    /// Questions to EC2 that orders wait for.
    asked: JoinSet<Answered>,
    /// The read of the policy file in hand, beside the loop: a large file takes seconds to judge.
    reading: JoinSet<Result<Policy, String>>,
    /// The requests that the read in hand is for, and those that came after it began.
    reloads: (Vec<Option<Reply>>, Vec<Option<Reply>>),
    /// What was read of the policy file and is not in force yet.
    loaded: Vec<Loaded>,
    waiting: Vec<Visitor>,
    /// Somebody stopped a turn at acting: what is left of it is for the next tick, at once.
    hurry: bool,
    /// What the last tick saw.
    roster: Option<Roster>,
    /// Since when the policy is in force.
    in_force_since: Option<Timestamp>,
    /// A look was given up since the last tick that came to its end. Only one is, or a file that
    /// changes without end would stop the ticks.
    gave_up: bool,
}

impl Reception {
    pub fn new(
        orders: mpsc::Receiver<Command>,
        reload: Arc<Notify>,
        policy_path: PathBuf,
        loader: Loader,
    ) -> Self {
        Self {
            orders,
            reload,
            stop: Arc::default(),
            policy_path,
            loader,
            open: false,
            asked: JoinSet::new(),
            reading: JoinSet::new(),
            reloads: (Vec::new(), Vec::new()),
            loaded: Vec::new(),
            waiting: Vec::new(),
            hurry: false,
            roster: None,
            in_force_since: None,
            gave_up: false,
        }
    }

    /// Says since when the policy is in force that the daemon starts with.
    #[must_use]
    pub fn in_force(mut self, since: Timestamp) -> Self {
        self.in_force_since = Some(since);
        self
    }

    /// Keeps what a tick saw, for the answers to orders.
    pub(super) fn saw(&mut self, roster: Roster) {
        self.roster = Some(roster);
    }

    pub(super) fn policy_path(&self) -> &Path {
        &self.policy_path
    }

    /// Tells the tick in hand that it is the last one.
    pub(super) fn stop(&self) -> Arc<Notify> {
        self.stop.clone()
    }

    /// A tick came to its end.
    pub(super) fn fresh_start(&mut self) {
        (self.gave_up, self.open) = (false, true);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The policy that is in force, or is about to be.
    fn newest<'a>(&'a self, policy: &'a Policy) -> &'a Policy {
        let to_come = self.loaded.iter().rev().find_map(|loaded| match loaded {
            Loaded::New(policy) => Some(&**policy),
            Loaded::Unchanged | Loaded::Refused(_) => None,
        });
        to_come.unwrap_or(policy)
    }

    /// What was read of the policy file since it was last asked for.
    pub(super) fn loaded(&mut self) -> Vec<Loaded> {
        std::mem::take(&mut self.loaded)
    }

    /// Those who had to wait for the end of the tick, and whether the next is to come at once.
    pub(super) fn waiting(&mut self) -> (Vec<Visitor>, bool) {
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.hurry))
    }

    /// Reads the policy file on another thread. A read that is under way may have missed the edit,
    /// so the file is read once more after it.
    fn read(&mut self, reply: Option<Reply>) {
        if self.reading.is_empty() {
            self.begin_reading(vec![reply]);
        } else {
            self.reloads.1.push(reply);
        }
    }

    fn begin_reading(&mut self, replies: Vec<Option<Reply>>) {
        self.reloads.0 = replies;
        let loader = self.loader.clone();
        self.reading.spawn_blocking(move || loader());
    }

    /// Takes the requests that a finished read answers, and begins the next read.
    fn was_read(&mut self) -> Vec<Option<Reply>> {
        let (now, later) = std::mem::take(&mut self.reloads);
        if !later.is_empty() {
            self.begin_reading(later);
        }
        now
    }

    fn judge(read: Result<Policy, String>, policy: &Policy) -> Loaded {
        match read {
            Ok(read) if read.digest == policy.digest => Loaded::Unchanged,
            Ok(read) if read.install != policy.install => Loaded::Refused(
                "`install` cannot change while running: restart the daemon".to_owned(),
            ),
            Ok(read) if read.region != policy.region => Loaded::Refused(
                "`region` cannot change while running: restart the daemon".to_owned(),
            ),
            Ok(read) => Loaded::New(Box::new(read)),
            Err(why) => Loaded::Refused(why),
        }
    }

    /// The next who comes.
    pub(super) async fn visitor(&mut self) -> Visitor {
        loop {
            let Self { orders, reload, stop, asked, reading, .. } = &mut *self;
            tokio::select! {
                Some(command) = orders.recv() => return match command {
                    Command::Order(order, reply) => Visitor::Order(order, reply),
                    Command::Reload(reply) => Visitor::Reload(Some(reply)),
                },
                () = reload.notified() => return Visitor::Reload(None),
                () = stop.notified() => return Visitor::Stop,
                Some(read) = reading.join_next() => {
                    let read = read.unwrap_or_else(|error| Err(format!("reading it failed: {error}")));
                    return Visitor::Read(read, self.was_read());
                }
                Some(answered) = asked.join_next() => match answered {
                    Ok(answered) => return Visitor::Answered(answered),
                    Err(error) => warn!("a question to EC2 fell over: {error}"),
                },
            }
        }
    }

    /// Asks EC2 in the background.
    fn ask(&mut self, ports: &Ports, adoption: Adoption, reply: Reply) {
        let cloud = ports.cloud.clone();
        self.asked.spawn(async move {
            let ids: Vec<InstanceId> = adoption.instances.iter().cloned().collect();
            let answer = tokio::time::timeout(ASKED_WITHIN, cloud.instances_by_id(&ids)).await;
            let found = match answer {
                Ok(found) => found.map_err(|fault| format!("EC2 cannot be asked: {fault}")),
                Err(_) => Err("EC2 has not answered in time: try again".to_owned()),
            };
            Answered { adoption, found, reply }
        });
    }
}

impl std::fmt::Debug for Reception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reception").field("policy", &self.policy_path).finish_non_exhaustive()
    }
}

/// What the daemon does when somebody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for the next tick.
    Idle,
    Looking,
    Acting,
}

/// Why a look is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    NewPolicy,
    Stop,
}

/// The reception as it is open now, with all that is needed to serve.
pub(super) struct Gate<'a> {
    pub stage: Stage,
    pub policy: &'a Policy,
    pub ports: &'a Ports,
    pub herald: &'a dyn Herald,
    pub telling: &'a mut Telling,
    pub reception: &'a mut Reception,
}

impl Attendant for Gate<'_> {
    type Visitor = Visitor;
    type Interrupt = Interrupt;

    fn visitor(&mut self) -> impl Future<Output = Visitor> + Send {
        self.reception.visitor()
    }

    async fn serve(&mut self, visitor: Visitor, journal: &mut Journal) -> Served<Interrupt> {
        let served = match visitor {
            Visitor::Order(Order::Entry(order), reply) => {
                // Whoever asked may have gone; the order stands all the same.
                answer(reply, self.orders(journal).take(order).await)
            }
            Visitor::Order(Order::Adopt(adoption), reply) => {
                self.reception.ask(self.ports, adoption, reply);
                Served::Nothing
            }
            // A look or a call under way knows nothing of a server that joins now.
            Visitor::Answered(_) if self.stage != Stage::Idle => {
                self.reception.waiting.push(visitor);
                Served::Nothing
            }
            Visitor::Answered(Answered { adoption, found, reply }) => {
                let mut orders = self.orders(journal);
                let taken = match found {
                    Ok(found) => orders.hand_over(&adoption, &found).await,
                    Err(why) => Err(why),
                };
                answer(reply, taken)
            }
            Visitor::Reload(reply) => {
                if self.reception.open {
                    self.herald.reloading();
                }
                self.reception.read(reply);
                Served::Nothing
            }
            Visitor::Read(read, replies) => self.reload(read, replies),
            Visitor::Stop => Served::Outdated(Interrupt::Stop),
        };
        self.reception.hurry |= self.stage == Stage::Acting && served != Served::Nothing;
        served
    }

    fn written(&mut self, events: &[Event]) {
        self.stage = Stage::Acting;
        events.iter().for_each(telemetry::log);
    }
}

/// Tells whoever asked what came of it; whether it holds from now on.
fn answer(reply: Reply, result: Result<String, String>) -> Served<Interrupt> {
    let served = if result.is_ok() { Served::Ordered } else { Served::Nothing };
    reply.send(result).ok();
    served
}

impl Gate<'_> {
    fn orders<'a>(&'a mut self, journal: &'a mut Journal) -> Orders<'a> {
        let clocks = Clocks::new(self.ports.clock.now(), self.ports.cloud.clock_ahead());
        let policy = self.reception.newest(self.policy);
        let roster = self.reception.roster.as_ref();
        Orders { policy, roster, telling: self.telling, journal, clocks }
    }

    fn reload(
        &mut self,
        read: Result<Policy, String>,
        replies: Vec<Option<Reply>>,
    ) -> Served<Interrupt> {
        let newest = self.reception.newest(self.policy);
        let loaded = Reception::judge(read, newest);
        let looking = self.stage == Stage::Looking;
        if looking && self.reception.gave_up && matches!(loaded, Loaded::New(_)) {
            // Read again once the tick is done.
            self.reception.waiting.extend(replies.into_iter().map(Visitor::Reload));
            return Served::Nothing;
        }
        let (answer, served) = match &loaded {
            Loaded::Unchanged => {
                let since = self.reception.in_force_since;
                let since = since.map_or_else(String::new, |since| {
                    format!(" since {}", time::local(since, &newest.zone))
                });
                let (path, digest) = (self.reception.policy_path.display(), &newest.digest);
                let text = format!("{path} is unchanged: policy {digest} is in force{since}");
                (Ok(text), Served::Nothing)
            }
            Loaded::New(policy) => {
                (Ok(Loaded::text(newest, policy)), Served::Outdated(Interrupt::NewPolicy))
            }
            Loaded::Refused(why) => (Err(why.clone()), Served::Nothing),
        };
        for reply in replies.into_iter().flatten() {
            reply.send(answer.clone()).ok();
        }
        if matches!(loaded, Loaded::New(_)) {
            self.reception.in_force_since = Some(self.ports.clock.now());
        }
        self.reception.loaded.push(loaded);
        self.reception.gave_up |= looking && served != Served::Nothing;
        served
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc as std_mpsc};

    use super::*;

    /// A reception whose loader waits for a word each time it is called.
    fn reception() -> (Reception, mpsc::Sender<Command>, std_mpsc::Sender<&'static str>) {
        let (commands, orders) = mpsc::channel(16);
        let (say, said) = std_mpsc::channel();
        let said = Mutex::new(said);
        let loader: Loader = Arc::new(move || {
            let word: &str = said.lock().unwrap().recv().unwrap();
            Err(word.to_owned())
        });
        (Reception::new(orders, Arc::default(), PathBuf::new(), loader), commands, say)
    }

    async fn read(reception: &mut Reception) -> (String, usize) {
        let Visitor::Read(read, replies) = reception.visitor().await else {
            panic!("another visitor")
        };
        (read.unwrap_err(), replies.len())
    }

    #[tokio::test]
    async fn reading_the_policy_delays_no_order() {
        let (mut reception, commands, say) = reception();
        reception.read(None);
        let (reply, _answer) = oneshot::channel();
        commands.send(Command::Reload(reply)).await.unwrap();
        // The loader hangs, and the loop serves on.
        let Visitor::Reload(reply) = reception.visitor().await else { panic!("no reload") };
        reception.read(reply);
        reception.read(None);
        say.send("first").unwrap();
        assert_eq!(read(&mut reception).await, ("first".to_owned(), 1));
        // What came meanwhile is read anew, once.
        say.send("second").unwrap();
        assert_eq!(read(&mut reception).await, ("second".to_owned(), 2));
        assert!(reception.reading.is_empty());
    }
}
