//! The page as it is now, drawn once for everybody who looks: however many watch, a tick costs one
//! drawing for each view that somebody has open.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::asked::{Range, View};
use super::page::{self, Facts};
use super::past::{Known, Past, Read};
use crate::admin::{Picture, Present};
use crate::metrics::{LastTick, Meter};
use crate::ports::History;
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
    /// What was read for a span and is not in `pasts` yet.
    read: Option<(Range, Read)>,
    known: Known,
}

/// Where pages are drawn and kept.
pub(super) struct Pages {
    pub picture: watch::Receiver<Picture>,
    pub history: Arc<dyn History>,
    pub meter: Arc<Meter>,
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    drawings: Arc<Mutex<Drawings>>,
}

impl Pages {
    pub(super) fn new(
        picture: watch::Receiver<Picture>,
        history: Arc<dyn History>,
        meter: Arc<Meter>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { picture, history, meter, now, drawings: Arc::default() }
    }

    /// The view as it is now.
    pub(super) async fn drawn(&self, view: &View) -> Result<Arc<Drawn>, Missing> {
        let picture = self.picture.borrow().clone();
        if let (Some(fleet), Some(present)) = (&view.fleet, &picture)
            && present.status.fleets.iter().all(|known| known.name != *fleet)
        {
            return Err(Missing::Fleet(fleet.clone()));
        }
        // One at a time: drawing takes a core, and the loop needs one too.
        let mut drawings = self.drawings.clone().lock_owned().await;
        let now = (self.now)();
        if let Some(drawn) = drawings.views.get(view).filter(|drawn| drawn.holds(&picture, now)) {
            return Ok(drawn.clone());
        }
        let (history, view) = (self.history.clone(), view.clone());
        let last = self.meter.last_tick();
        // A task of its own: a client that goes away must not let the next one begin beside it.
        let drawing = tokio::spawn(async move {
            let unread = drawings.refresh(&*history, picture.as_deref(), view.range, now).await;
            tokio::task::spawn_blocking(move || drawings.draw(view, picture, unread, (now, last)))
                .await
        });
        drawing.await.map_err(|_| Missing::Broken)?.map_err(|_| Missing::Broken)
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
    /// Reads the journal anew where what is known of the span has grown old. Returns why it cannot be
    /// read.
    async fn refresh(
        &mut self,
        history: &dyn History,
        present: Option<&Present>,
        range: Range,
        now: Timestamp,
    ) -> Option<String> {
        let Some(Present { status, policy }) = present else {
            return Some("no tick is done yet".to_owned());
        };
        let old = |past: &Past| past.is_stale(now) || past.is_before(policy);
        if !self.pasts.get(&range).is_none_or(old) {
            return None;
        }
        let names: Vec<FleetName> = status.fleets.iter().map(|fleet| fleet.name.clone()).collect();
        match Read::journal(history, &names, (range, now)).await {
            Ok(read) => self.read = Some((range, read)),
            Err(fault) => return Some(fault.to_string()),
        }
        None
    }

    /// Draws a view with what is known.
    fn draw(
        &mut self,
        view: View,
        picture: Picture,
        unread: Option<String>,
        (now, last): (Timestamp, Option<LastTick>),
    ) -> Arc<Drawn> {
        if let (Some((range, read)), Some(present)) = (self.read.take(), &picture) {
            self.pasts.insert(range, Past::of(read, &present.policy, &mut self.known));
        }
        let gone = || Facts::Unread("it is gone".to_owned());
        let facts = match unread {
            Some(why) => Facts::Unread(why),
            None => self.pasts.get(&view.range).map_or_else(gone, Facts::Read),
        };
        let parts = page::parts(&view, &facts, picture.as_deref(), (now, last));
        let marks: String = parts.iter().map(|part| part.mark.as_str()).collect();
        let version = digest(&marks);
        let whole = page::whole(&view, &parts, &version);
        let drawn = Arc::new(Drawn { version, parts, whole, picture, at: now });
        self.keep(view, &drawn);
        drawn
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
