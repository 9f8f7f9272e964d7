//! A defect of ours in the rules of one fleet costs that fleet its next step, and no other fleet
//! anything.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::fault::printable;

/// Does a part of the work that is of one fleet alone. `Err`: it fell over, and why. What it borrows
/// for writing may be counters that only grow, since they are used on.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| words(&*payload))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = printable(text.unwrap_or("it did not say why"), 200);
    format!("a defect of tidegate, please report it: {said}")
}
