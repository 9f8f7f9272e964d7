//! The Security Token Service's one call, API version 2011-06-15.

use super::elb::document;
use super::form::Form;
use super::refusal::{Refusal, Service};
use crate::sim::world::World;

/// Answers one call: the whole document.
pub(super) fn answer(world: &World, form: &Form, id: &str) -> Result<String, Refusal> {
    match form.need("Action")? {
        "GetCallerIdentity" => Ok(document(Service::Sts, "GetCallerIdentity", id, |xml| {
            let account = &world.account().id;
            xml.text("Arn", format!("arn:aws:iam::{account}:user/imagined"))
                .text("UserId", "AIDAIMAGINED")
                .text("Account", account);
        })),
        other => {
            let message = format!("Could not find operation {other} for version 2011-06-15");
            Err(Refusal::new("InvalidAction", &message))
        }
    }
}
