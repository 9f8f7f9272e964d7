//! Judges the image of a fleet, and whether its instance types can boot it.

use std::collections::BTreeMap;

use super::facts::{Effective, ImageFacts, TypeFacts};
use super::{Finding, Subject, listed};
use tidegate_engine::model::fault::Fault;

/// Judges as far as the facts were read. A parameter that names an image is resolved by EC2 itself,
/// so that nothing is known of the image.
pub(super) fn judge(
    subject: Subject<'_>,
    effective: &Effective,
    images: Result<&BTreeMap<String, ImageFacts>, &Fault>,
    types: Result<&BTreeMap<String, TypeFacts>, &Fault>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let id = effective.image.as_deref().filter(|id| id.starts_with("ami-"));
    let image = id.and_then(|id| images.ok().map(|images| (id, images.get(id))));
    let image = image.and_then(|(id, facts)| {
        found.push(existence(subject, id, facts));
        facts.map(|facts| (id, facts))
    });
    let Ok(types) = types else { return found };
    let mut fit = Vec::new();
    for kind in &effective.types {
        let Some(facts) = types.get(kind) else {
            found.push(subject.problem(
                &format!("EC2 has no instance type {kind} in this region"),
                "name a type that `aws ec2 describe-instance-types` lists",
            ));
            continue;
        };
        let Some((id, image)) = image else { continue };
        let misfits = misfits(kind, facts, id, image);
        if misfits.is_empty() {
            fit.push(kind.as_str());
        }
        for text in misfits {
            let remedy = format!("name an image for {kind}, or other `types`");
            found.push(subject.problem(&text, &remedy));
        }
    }
    if let (Some((id, image)), false) = (image, fit.is_empty()) {
        let architecture = image.architecture.as_deref().unwrap_or("of unknown architecture");
        let boot = if fit.len() == 1 { "boots" } else { "boot" };
        found.push(subject.good(&format!("{} {boot} {id} ({architecture})", listed(&fit))));
    }
    found
}

fn existence(subject: Subject<'_>, id: &str, facts: Option<&ImageFacts>) -> Finding {
    let remedy = "name an image that `aws ec2 describe-images` lists";
    let Some(facts) = facts else {
        let text =
            format!("there is no image {id}, or it is disabled or not shared with this account");
        return subject.problem(&text, remedy);
    };
    match facts.state.as_deref() {
        None | Some("available") => {
            let name = facts.name.as_deref();
            subject.good(
                &name.map_or_else(|| format!("{id} exists"), |name| format!("{id} is {name}")),
            )
        }
        Some(state) => subject.problem(&format!("image {id} is {state}"), remedy),
    }
}

/// Why instances of the type cannot boot the image. What EC2 does not say is no reason.
fn misfits(kind: &str, facts: &TypeFacts, id: &str, image: &ImageFacts) -> Vec<String> {
    let pairs = [
        (&image.architecture, &facts.architectures),
        (&image.virtualization, &facts.virtualizations),
    ];
    let misfit = |(is, takes): (&Option<String>, &Vec<String>)| {
        let is = is.as_ref().filter(|is| !takes.is_empty() && !takes.contains(is))?;
        let takes: Vec<&str> = takes.iter().map(String::as_str).collect();
        let takes = listed(&takes);
        Some(format!("{kind} boots images of {takes}, and {id} is {is}"))
    };
    pairs.into_iter().filter_map(misfit).collect()
}
