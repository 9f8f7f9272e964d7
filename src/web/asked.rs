//! What is asked of the page: how far back, and of which fleet.

use std::time::Duration;

use serde::Deserialize;

use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};

/// How far back the page looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Range {
    #[default]
    Hours6,
    Hours24,
    Days7,
}

impl Range {
    pub(super) const ALL: [Self; 3] = [Self::Hours6, Self::Hours24, Self::Days7];

    /// As it is written in the address of the page.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Hours6 => "6h",
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Hours6 => "6 hours",
            Self::Hours24 => "24 hours",
            Self::Days7 => "7 days",
        }
    }

    fn minutes(self) -> (u64, u64) {
        match self {
            Self::Hours6 => (6 * 60, 2),
            Self::Hours24 => (24 * 60, 5),
            Self::Days7 => (7 * 24 * 60, 30),
        }
    }

    /// The bins of the charts, up to the one that `now` is in.
    pub(super) fn bins(self, now: Timestamp) -> Bins {
        let (whole, width) = self.minutes();
        Bins::up_to(now, Duration::from_mins(whole), Duration::from_mins(width))
    }
}

/// Equal stretches of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bins {
    pub from: Timestamp,
    pub to: Timestamp,
    pub width: Duration,
}

impl Bins {
    /// So many that they make `whole`, and end at the first round instant after `now`.
    fn up_to(now: Timestamp, whole: Duration, width: Duration) -> Self {
        let step = i64::try_from(width.as_secs()).unwrap_or(60).max(1);
        let over = now.as_second().rem_euclid(step);
        let begun = Timestamp::from_second(now.as_second() - over).unwrap_or(now);
        let to = time::after(begun, width);
        Self { from: time::before(to, whole), to, width }
    }

    /// From `now` on.
    pub(super) fn ahead(now: Timestamp, whole: Duration, width: Duration) -> Self {
        Self { from: now, to: time::after(now, whole), width }
    }

    pub(super) fn count(&self) -> usize {
        let whole = time::since(self.to, self.from).as_secs();
        usize::try_from(whole.div_ceil(self.width.as_secs().max(1))).unwrap_or(0)
    }

    /// When each begins.
    pub(super) fn begins(&self) -> impl Iterator<Item = Timestamp> {
        let (from, width) = (self.from, self.width);
        (0..u32::try_from(self.count()).unwrap_or(0)).map(move |n| time::after(from, width * n))
    }
}

/// The query of an address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Query {
    range: Option<String>,
    fleet: Option<String>,
    /// The version of the page that somebody has already.
    pub seen: Option<String>,
}

/// A view of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    pub range: Range,
    /// One fleet alone.
    pub fleet: Option<FleetName>,
}

impl Query {
    /// `Err`: there is no such view.
    pub(super) fn view(&self) -> Result<View, String> {
        let range = match self.range.as_deref() {
            None => Range::default(),
            Some(word) => Range::ALL
                .into_iter()
                .find(|range| range.word() == word)
                .ok_or("the ranges are 6h, 24h and 7d\n")?,
        };
        let fleet = self.fleet.as_deref().map(|name| {
            FleetName::new(name).ok_or_else(|| "there is no fleet of such a name\n".to_owned())
        });
        Ok(View { range, fleet: fleet.transpose()? })
    }
}

impl View {
    /// The same view, as a query.
    pub(super) fn query(&self) -> String {
        let range = self.range.word();
        match &self.fleet {
            Some(fleet) => format!("?range={range}&fleet={fleet}"),
            None => format!("?range={range}"),
        }
    }

    pub(super) fn of(&self, range: Range) -> Self {
        Self { range, ..self.clone() }
    }

    pub(super) fn only(&self, fleet: Option<FleetName>) -> Self {
        Self { fleet, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_end_with_the_one_that_now_is_in() {
        let now: Timestamp = "2026-03-02T14:03:07Z".parse().unwrap();
        for range in Range::ALL {
            let bins = range.bins(now);
            assert!(bins.from < now && now < bins.to, "{bins:?}");
            assert!(time::since(bins.to, now) <= bins.width);
            assert_eq!(bins.begins().count(), bins.count());
            assert_eq!(bins.begins().next(), Some(bins.from));
            assert!((180..=336).contains(&bins.count()), "{bins:?}");
        }
        assert_eq!(Range::Hours6.bins(now).to, "2026-03-02T14:04:00Z".parse().unwrap());
    }

    #[test]
    fn a_view_is_what_its_address_says() {
        let asked = |range: Option<&str>, fleet: Option<&str>| {
            let own = |text: &str| text.to_owned();
            Query { range: range.map(own), fleet: fleet.map(own), seen: None }.view()
        };
        let view = asked(Some("7d"), Some("job-2")).unwrap();
        assert_eq!(view.query(), "?range=7d&fleet=job-2");
        assert_eq!(asked(None, None).unwrap(), View::default());
        assert!(asked(Some("1y"), None).is_err() && asked(None, Some("<b>")).is_err());
    }
}
