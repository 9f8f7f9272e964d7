//! What goes on while a tick waits for the world: whoever comes is served at once, and what is on
//! disk is told at once. An outage of AWS makes ticks long, and that is when a person wants to be
//! heard.

use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};

use futures_util::future::{Either, select};

use crate::record::Journal;
use tidegate_engine::model::ledger::Event;

/// Who serves visitors, and hears what was written.
pub trait Attendant: Send {
    type Visitor: Send;
    /// What makes a look at the world useless.
    type Interrupt: Send;

    /// The next who comes. It may be dropped and asked for anew at any time and must lose nobody.
    fn visitor(&mut self) -> impl Future<Output = Self::Visitor> + Send;

    /// Serves them and waits for the journal alone. An order goes into the journal, which is on disk
    /// meanwhile, and applies from now on. Is always awaited to its end.
    fn serve(
        &mut self,
        visitor: Self::Visitor,
        journal: &mut Journal,
    ) -> impl Future<Output = Served<Self::Interrupt>> + Send;

    /// These events are on disk: first what is about to be done, then what came of it.
    fn written(&mut self, events: &[Event]);
}

/// What a visit means for the tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served<I> {
    /// Nothing: it goes on.
    Nothing,
    /// Something was ordered. The plan of a tick that still looks obeys it; a tick that acts begins
    /// no call any more.
    Ordered,
    /// Also, what is seen is of no use any more: a tick that still looks ends.
    Outdated(I),
}

/// Where nobody comes and nobody hears.
#[derive(Debug)]
pub struct Unattended;

impl Attendant for Unattended {
    type Visitor = Infallible;
    type Interrupt = Infallible;

    fn visitor(&mut self) -> impl Future<Output = Infallible> + Send {
        std::future::pending()
    }

    async fn serve(&mut self, visitor: Infallible, _: &mut Journal) -> Served<Infallible> {
        match visitor {}
    }

    fn written(&mut self, _: &[Event]) {}
}

/// Looking: waits for `work`, and serves whoever comes meanwhile, until it is outdated.
pub(super) async fn attending<T, A: Attendant>(
    attendant: &mut A,
    journal: &mut Journal,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> ControlFlow<A::Interrupt, T> {
    loop {
        match next(attendant, work.as_mut()).await {
            Either::Left(done) => return ControlFlow::Continue(done),
            Either::Right(visitor) => {
                if let Served::Outdated(interrupt) = attendant.serve(visitor, journal).await {
                    return ControlFlow::Break(interrupt);
                }
            }
        }
    }
}

/// Acting: waits for `work` to its end whoever comes, and calls `halt` when somebody orders something.
pub(super) async fn halting<T, A: Attendant>(
    attendant: &mut A,
    journal: &mut Journal,
    mut work: Pin<&mut impl Future<Output = T>>,
    halt: impl Fn(),
) -> T {
    loop {
        match next(attendant, work.as_mut()).await {
            Either::Left(done) => return done,
            Either::Right(visitor) => match attendant.serve(visitor, journal).await {
                Served::Nothing => {}
                Served::Ordered | Served::Outdated(_) => halt(),
            },
        }
    }
}

async fn next<T, A: Attendant>(
    attendant: &mut A,
    work: Pin<&mut impl Future<Output = T>>,
) -> Either<T, A::Visitor> {
    match select(work, pin!(attendant.visitor())).await {
        Either::Left((done, _)) => Either::Left(done),
        Either::Right((visitor, _)) => Either::Right(visitor),
    }
}
