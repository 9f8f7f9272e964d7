//! What goes on while a tick waits for the world: whoever comes is served at once, and what is on
//! disk is told at once. An outage of AWS makes ticks long, and that is when a person wants to be
//! heard.

use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};

use futures_util::future::{Either, select};

use crate::model::ledger::Event;
use crate::record::Journal;

/// Who serves visitors, and hears what was written.
pub trait Attendant: Send {
    type Visitor: Send;
    /// What makes a look at the world useless.
    type Interrupt: Send;

    /// The next who comes. It may be dropped and asked for anew at any time and must lose nobody.
    fn visitor(&mut self) -> impl Future<Output = Self::Visitor> + Send;

    /// Serves them without waiting for anybody. What they order goes into the journal, which is whole
    /// and on disk meanwhile, and holds from now on: the plan of a tick that still looks obeys it,
    /// and a tick that acts begins no call any more. With `Break`, a tick that still looks ends.
    fn serve(
        &mut self,
        visitor: Self::Visitor,
        journal: &mut Journal,
    ) -> ControlFlow<Self::Interrupt>;

    /// These events are on disk: first what is about to be done, then what came of it.
    fn written(&mut self, events: &[Event]);
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

    fn serve(&mut self, visitor: Infallible, _: &mut Journal) -> ControlFlow<Infallible> {
        match visitor {}
    }

    fn written(&mut self, _: &[Event]) {}
}

/// Waits for `work`, and serves whoever comes meanwhile, until one of them breaks it off.
pub(super) async fn attending<T, A: Attendant>(
    attendant: &mut A,
    journal: &mut Journal,
    work: impl Future<Output = T>,
) -> ControlFlow<A::Interrupt, T> {
    let mut work = pin!(work);
    loop {
        match next(attendant, work.as_mut()).await {
            Either::Left(done) => return ControlFlow::Continue(done),
            Either::Right(visitor) => attendant.serve(visitor, journal)?,
        }
    }
}

/// Waits for `work` to its end whoever comes, and calls `halt` when somebody does.
pub(super) async fn halting<T, A: Attendant>(
    attendant: &mut A,
    journal: &mut Journal,
    work: impl Future<Output = T>,
    halt: impl Fn(),
) -> T {
    let mut work = pin!(work);
    loop {
        match next(attendant, work.as_mut()).await {
            Either::Left(done) => return done,
            Either::Right(visitor) => {
                halt();
                // There is no look to be given up any more.
                let _: ControlFlow<_> = attendant.serve(visitor, journal);
            }
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
