//! CreateTags and DeleteTags, of the tag that tells a server to drain.

use super::ec2::document;
use super::form::Form;
use super::refusal::Refusal;
use crate::sim::world::{self, World};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::tag;

/// CreateTags: sets `tidegate:drain` of one instance.
pub(super) fn create(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    let instance = resource(world, form)?;
    if form.flag("DryRun") {
        world.admit("CreateTags")?;
        return Err(Refusal::dry_run());
    }
    world.tag_drain(&instance, form.get("Tag.1.Value").unwrap_or_default())?;
    Ok(done("CreateTags", id))
}

/// DeleteTags: removes `tidegate:drain` of one instance. A tag that goes with a value, an empty one
/// too, is removed only where it has that value.
pub(super) fn delete(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    let instance = resource(world, form)?;
    if form.flag("DryRun") {
        world.admit("DeleteTags")?;
        return Err(Refusal::dry_run());
    }
    let only = form.has("Tag.1.Value").then(|| form.get("Tag.1.Value").unwrap_or_default());
    let known = world.machine(&instance).and_then(|machine| machine.tags().get(tag::DRAIN));
    let other = only.is_some_and(|only| known.is_some_and(|value| value != only));
    if other {
        world.admit("DeleteTags")?;
    } else {
        world.untag_drain(&instance)?;
    }
    Ok(done("DeleteTags", id))
}

/// Returns the one instance that the request names, and refuses whatever it asks beside the tag.
fn resource(world: &World, form: &Form) -> Result<InstanceId, Refusal> {
    form.need("ResourceId.1")?;
    form.need("Tag.1.Key")?;
    let keys = form.groups("Tag").map(|name| form.get(&format!("{name}.Key")));
    let resources = form.list("ResourceId");
    let ([instance], true) = (resources.as_slice(), keys.eq([Some(tag::DRAIN)])) else {
        let message = format!("The simulated cloud changes {} of one instance.", tag::DRAIN);
        return Err(Refusal::new("InvalidParameterValue", &message));
    };
    let instance = InstanceId::new(instance);
    if world.machine(&instance).is_none() {
        return Err(world::unknown(&instance).into());
    }
    Ok(instance)
}

fn done(call: &str, id: &str) -> String {
    document(call, id, |xml| {
        xml.text("return", true);
    })
}
