//! `tidegate notify`: a test over each route, whatever the daemon does.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;

use super::out::say;
use super::{FAILED, Failure, USAGE, check, runtime};
use crate::notices::{Letter, Notice, Post, Sender};
use crate::settings::Settings;
use tidegate_engine::policy::Policy;
use tidegate_engine::policy::notify::{Route, Target};

#[derive(Debug, Args)]
pub(crate) struct Notify {
    /// The route; without it, all of them
    route: Option<String>,
}

pub(crate) fn run(args: &Notify, settings: &Settings, json: bool) -> Result<(), Failure> {
    let policy = check::usable(&settings.config, settings)?;
    let routes = &policy.notify.routes;
    let known: Vec<&str> = routes.keys().map(String::as_str).collect();
    if let Some(route) = args.route.as_ref().filter(|route| !routes.contains_key(*route)) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let why = anyhow!("no route {route} in `notify`; there is: {known}");
        return Err(Failure::Error(USAGE, why));
    }
    if known.is_empty() {
        let why =
            anyhow!("{} has no `notify`: nobody is told of anything", settings.config.display());
        return Err(Failure::Error(FAILED, why));
    }
    let asked = routes.iter().filter(|(name, _)| args.route.as_ref().is_none_or(|r| r == *name));
    let post = Post::new(settings.secret_dirs.clone(), Arc::new(check::now));
    let post = post.context("failed to prepare HTTP")?;
    let asked: Vec<(&String, &Route)> = asked.collect();
    runtime()?.block_on(async {
        let post = over_sns(post, &policy, &asked).await;
        let mut failed = false;
        for (name, route) in asked {
            failed |= !try_out(&post, &policy, (name, route), json).await?;
        }
        if failed { Err(Failure::Told(FAILED)) } else { Ok(()) }
    })
}

#[cfg(feature = "aws")]
async fn over_sns(post: Post, policy: &Policy, asked: &[(&String, &Route)]) -> Post {
    if !asked.iter().any(|(_, route)| matches!(route.target, Target::Sns { .. })) {
        return post;
    }
    post.over(Arc::new(crate::aws::Aws::connect(policy.region.as_deref(), None).await))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "the same shape as with AWS")]
async fn over_sns(post: Post, _: &Policy, _: &[(&String, &Route)]) -> Post {
    post
}

/// Whether it arrived, said.
async fn try_out(
    post: &Post,
    policy: &Policy,
    (name, route): (&String, &Route),
    json: bool,
) -> Result<bool, Failure> {
    let beats = matches!(route.target, Target::Ping { .. });
    let letter = Letter {
        sender: Sender::of(policy),
        route: name.clone(),
        notices: if beats { Vec::new() } else { vec![Notice::test(check::now())] },
        left_out: 0,
    };
    let kind = route.target.as_str();
    let result = post.try_out(&route.target, &letter).await;
    let why = result.as_ref().err().map(|undelivered| undelivered.why.clone());
    if json {
        let delivered = why.is_none();
        say!(
            "{}",
            json!({ "format_version": 1, "route": name, "kind": kind, "delivered": delivered, "why": why })
        )?;
    } else {
        let verdict = if why.is_none() { "ok" } else { "problem" };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        say!("notify   {verdict:<8} {name}: {kind}{why}")?;
    }
    Ok(result.is_ok())
}
