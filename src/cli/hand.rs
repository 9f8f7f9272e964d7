//! Acting by hand: orders to the daemon. Each has an owner and a reason, and an end where it would
//! otherwise last.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::out::say;
use super::{Failure, client, runtime};
use crate::admin::order::OrderView;
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum Hand {
    /// Add servers on top of what the rules want, for a while
    Launch {
        fleet: String,
        /// How many
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        #[command(flatten)]
        why: Why,
        /// For how long
        #[arg(long = "for", value_name = "SPAN", default_value = "1h", value_parser = super::while_it_lasts)]
        lasts: Duration,
    },
    /// Drain and terminate one server; it is replaced if it is still wanted
    Terminate {
        instance: String,
        /// Do not wait for its jobs: they are lost
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Keep a fleet at a fixed capacity, whatever schedule and queue say
    Hold {
        fleet: String,
        /// How many servers
        #[arg(value_parser = servers)]
        capacity: u32,
        /// Why, for whoever reads the record
        #[arg(required = true)]
        reason: Vec<String>,
        /// For how long
        #[arg(long = "for", value_name = "SPAN", value_parser = super::while_it_lasts)]
        lasts: Duration,
        /// Also below `min`, or where more than half of the servers would end
        #[arg(long)]
        force: bool,
        /// Who wants it [default: the login name]
        #[arg(long)]
        owner: Option<String>,
    },
    /// Neither scale out nor in
    Pause {
        fleet: String,
        /// Why, for whoever reads the record
        #[arg(required = true)]
        reason: Vec<String>,
        /// For how long
        #[arg(long = "for", value_name = "SPAN", value_parser = super::while_it_lasts)]
        lasts: Duration,
        /// Who wants it [default: the login name]
        #[arg(long)]
        owner: Option<String>,
    },
    /// End the hold, the pause and the added servers of a fleet
    Resume { fleet: String },
    /// Protect one server from being terminated
    Keep {
        instance: String,
        /// Why, for whoever reads the record
        #[arg(required = true)]
        reason: Vec<String>,
        /// For how long
        #[arg(long = "for", value_name = "SPAN", value_parser = super::while_it_lasts)]
        lasts: Duration,
        /// Who wants it [default: the login name]
        #[arg(long)]
        owner: Option<String>,
    },
    /// End the protection of one server
    Unkeep { instance: String },
    /// Drain and terminate the servers of a fleet that is no longer in the policy
    Retire {
        fleet: String,
        #[command(flatten)]
        why: Why,
    },
    /// Take servers that run already into a fleet, by their ids; they are tagged as its own first
    Adopt {
        fleet: String,
        /// The ids of the instances
        #[arg(required = true, value_name = "INSTANCE")]
        instances: Vec<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Let an edited policy end more than half of a fleet, or launch one anew that looks renamed
    Approve {
        fleet: String,
        #[command(flatten)]
        why: Why,
    },
    /// Have the daemon read its policy file again, and say what came of it
    Reload,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for whoever reads the record
    #[arg(long, default_value = "asked on the command line")]
    reason: String,
    /// Who wants it [default: the login name]
    #[arg(long)]
    owner: Option<String>,
}

pub(crate) fn run(hand: &Hand, settings: &Settings, json: bool) -> Result<(), Failure> {
    let runtime = runtime()?;
    let said = match order(hand, &settings.user) {
        Some(order) => runtime.block_on(client::post(&settings.socket, "/orders", &order))?,
        None => runtime.block_on(client::post(&settings.socket, "/reload", &json!({})))?,
    };
    if json { say!("{}", json!({ "format_version": 1, "done": said })) } else { say!("{said}") }
}

fn servers(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "write the number of servers in figures, as in `hold app 3`".to_owned())
}

/// The order; `None` for a reload.
fn order(hand: &Hand, user: &str) -> Option<OrderView> {
    let view = |order: &str, subject: &str, owner: Option<&String>| OrderView {
        order: order.to_owned(),
        subject: subject.to_owned(),
        instances: Vec::new(),
        capacity: 0,
        for_seconds: 0,
        owner: owner.map_or_else(|| user.to_owned(), Clone::clone),
        reason: String::new(),
        now: false,
        force: false,
    };
    Some(match hand {
        Hand::Launch { fleet, count, why, lasts } => OrderView {
            capacity: *count,
            for_seconds: lasts.as_secs(),
            reason: why.reason.clone(),
            ..view("launch", fleet, why.owner.as_ref())
        },
        Hand::Terminate { instance, now, why } => OrderView {
            now: *now,
            reason: why.reason.clone(),
            ..view("terminate", instance, why.owner.as_ref())
        },
        Hand::Hold { fleet, capacity, reason, lasts, force, owner } => OrderView {
            capacity: *capacity,
            force: *force,
            for_seconds: lasts.as_secs(),
            reason: reason.join(" "),
            ..view("hold", fleet, owner.as_ref())
        },
        Hand::Pause { fleet, reason, lasts, owner } => OrderView {
            for_seconds: lasts.as_secs(),
            reason: reason.join(" "),
            ..view("pause", fleet, owner.as_ref())
        },
        Hand::Resume { fleet } => view("resume", fleet, None),
        Hand::Keep { instance, reason, lasts, owner } => OrderView {
            for_seconds: lasts.as_secs(),
            reason: reason.join(" "),
            ..view("keep", instance, owner.as_ref())
        },
        Hand::Unkeep { instance } => view("unkeep", instance, None),
        Hand::Retire { fleet, why } => {
            OrderView { reason: why.reason.clone(), ..view("retire", fleet, why.owner.as_ref()) }
        }
        Hand::Adopt { fleet, instances, why } => OrderView {
            instances: instances.clone(),
            reason: why.reason.clone(),
            ..view("adopt", fleet, why.owner.as_ref())
        },
        Hand::Approve { fleet, why } => {
            OrderView { reason: why.reason.clone(), ..view("approve", fleet, why.owner.as_ref()) }
        }
        Hand::Reload => return None,
    })
}
