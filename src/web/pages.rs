//! The page as it is now, drawn once for everybody who looks: however many watch, a tick costs one
//! drawing for each view that somebody has open.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::asked::{Range, View};
use super::page::{self, Facts};
use super::past::{Known, Past};
use crate::admin::Picture;
use crate::metrics::Meter;
use tidegate_engine::model::fault::visible;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};

/// More views at a time nobody has open; the one that was drawn first is forgotten.
const VIEWS_AT_MOST: usize = 32;

/// A page may be so old, also where no tick tells anything new: that is news of its own.
const LASTS: Duration = Duration::from_secs(30);

/// A part of the page that changes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The element's id.
    pub id: String,
    /// Unlike that of any other content.
    pub mark: String,
    pub html: String,
}

impl Part {
    pub(super) fn new(id: String, html: &str) -> Self {
        // In HTML too, a format character reorders what stands around it.
        let html = visible(html).into_owned();
        let mark = digest(&html);
        Self { id, mark, html }
    }
}

/// A view, drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Unlike that of any other state of it.
    pub version: String,
    pub parts: Vec<Part>,
    pub whole: String,
    picture: Picture,
    at: Timestamp,
}

fn digest(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Why there is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// No such fleet.
    Fleet(FleetName),
    /// Drawing it failed.
    Broken,
}

#[derive(Debug, Default)]
struct Drawings {
    views: BTreeMap<View, Arc<Drawn>>,
    pasts: BTreeMap<Range, Past>,
    known: Known,
}

/// Where pages are drawn and kept.
pub(super) struct Pages {
    pub picture: watch::Receiver<Picture>,
    pub journal: PathBuf,
    pub meter: Arc<Meter>,
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    drawings: Arc<Mutex<Drawings>>,
}

impl Pages {
    pub(super) fn new(
        picture: watch::Receiver<Picture>,
        journal: PathBuf,
        meter: Arc<Meter>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { picture, journal, meter, now, drawings: Arc::default() }
    }

    /// The view as it is now.
    pub(super) async fn drawn(&self, view: &View) -> Result<Arc<Drawn>, Missing> {
        let picture = self.picture.borrow().clone();
        if let (Some(fleet), Some(status)) = (&view.fleet, &picture)
            && status.fleets.iter().all(|known| known.name != fleet.as_str())
        {
            return Err(Missing::Fleet(fleet.clone()));
        }
        // One at a time: drawing takes a core, and the loop needs one too.
        let mut drawings = self.drawings.clone().lock_owned().await;
        let now = (self.now)();
        if let Some(drawn) = drawings.views.get(view).filter(|drawn| drawn.holds(&picture, now)) {
            return Ok(drawn.clone());
        }
        let (journal, view) = (self.journal.clone(), view.clone());
        let last = self.meter.last_tick();
        let drawing = tokio::task::spawn_blocking(move || {
            let facts = drawings.facts(&journal, picture.as_deref(), view.range, now);
            let parts = page::parts(&view, &facts, picture.as_deref(), (now, last));
            let marks: String = parts.iter().map(|part| part.mark.as_str()).collect();
            let version = digest(&marks);
            let whole = page::whole(&view, &parts, &version);
            let drawn = Arc::new(Drawn { version, parts, whole, picture, at: now });
            drawings.keep(view, &drawn);
            drawn
        });
        drawing.await.map_err(|_| Missing::Broken)
    }
}

impl Drawn {
    fn holds(&self, picture: &Picture, now: Timestamp) -> bool {
        let same = match (&self.picture, picture) {
            (Some(drawn), Some(picture)) => Arc::ptr_eq(drawn, picture),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same && now >= self.at && time::since(now, self.at) < LASTS
    }
}

impl Drawings {
    /// What the journal says of the view's span, read anew when it has grown old.
    fn facts(
        &mut self,
        journal: &std::path::Path,
        status: Option<&crate::admin::view::StatusView>,
        range: Range,
        now: Timestamp,
    ) -> Facts<'_> {
        let Some(status) = status else { return Facts::Unread("no tick is done yet".to_owned()) };
        let policy = |past: &Past| past.policy().map(|policy| policy.digest.clone());
        let bad = |past: &Past| {
            past.is_stale(now) || policy(past).is_some_and(|digest| digest != status.policy)
        };
        if self.pasts.get(&range).is_none_or(bad) {
            let names = status.fleets.iter().filter_map(|fleet| FleetName::new(&fleet.name));
            let names: Vec<FleetName> = names.collect();
            match Past::read(journal, &names, (range, now), &mut self.known) {
                Ok(past) => self.pasts.insert(range, past),
                Err(why) => return Facts::Unread(why),
            };
        }
        self.pasts.get(&range).map_or_else(|| Facts::Unread("it is gone".to_owned()), Facts::Read)
    }

    fn keep(&mut self, view: View, drawn: &Arc<Drawn>) {
        self.views.insert(view, drawn.clone());
        while self.views.len() > VIEWS_AT_MOST {
            let oldest = self.views.iter().min_by_key(|(_, drawn)| drawn.at);
            let Some(oldest) = oldest.map(|(view, _)| view.clone()) else { break };
            self.views.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_reach_no_page() {
        let part = Part::new("x".to_owned(), "<p>a\u{61c}b\u{2029}c\u{200b}</p>");
        assert_eq!(part.html, "<p>a\\u061cb\\u2029c\\u200b</p>");
    }
}
