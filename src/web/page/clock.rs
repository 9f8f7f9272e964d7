//! Times for people, as short as they can be without being taken for others.

use std::time::Duration;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use tidegate_engine::model::time::{self, Timestamp};

/// After midnight, yesterday evening is still this night.
const NEAR: Duration = Duration::from_hours(6);

/// The policy's zone, and what day it is there.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub zone: TimeZone,
    pub now: Timestamp,
}

impl Clock {
    /// `14:02` of today or not long ago, `Mon 2 Mar 14:02` of another day, with the year of another
    /// year.
    pub(super) fn short(&self, at: Timestamp) -> String {
        let (at, now) = (at.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let near = time::since(self.now, at.timestamp()) < NEAR && at <= now;
        let format = if near || at.date() == now.date() {
            "%H:%M"
        } else if at.year() == now.year() {
            "%a %-d %b %H:%M"
        } else {
            "%-d %b %Y %H:%M"
        };
        at.strftime(format).to_string()
    }

    /// The same with all there is to know of it.
    pub(super) fn at(&self, at: Timestamp) -> Markup {
        let seconds = at.strftime("%Y-%m-%dT%H:%M:%SZ");
        html! {
            time datetime=(seconds) title=(time::local(at, &self.zone)) { (self.short(at)) }
        }
    }
}
