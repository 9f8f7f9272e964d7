//! `tidegate status --watch`: the same, as long as one looks.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::text;
use crate::admin::view::StatusView;
use crate::admin::words::Teller;
use crate::cli::canvas::{Canvas, bold, dim, fold};
use crate::cli::out::{counted, say};
use crate::cli::{Failure, check};
use crate::settings::Settings;
use tidegate_engine::model::time::{self, Timestamp};

/// How long a picture stands. The daemon ticks once a minute at most, and hands out what it has.
const EVERY: Duration = Duration::from_secs(2);

/// A daemon that has not answered by then is said to be away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ticks are a minute apart at most and have an end, and systemd restarts a daemon after three.
const TICK_IS_LATE: Duration = Duration::from_mins(3);

/// Until Ctrl-C. A daemon that is not there at the start is an error; one that goes away while it is
/// looked at is told, and waited for.
pub(super) async fn run(
    fleet: Option<&str>,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let mut view = super::ask(fleet, settings).await?;
    let mut away = None;
    let mut canvas = Canvas::default();
    let mut told = None;
    loop {
        if json {
            if told != Some(view.last_tick) {
                say!("{}", serde_json::to_string(&view).map_err(anyhow::Error::new)?)?;
                told = Some(view.last_tick);
            }
        } else {
            let (width, height) = Canvas::size();
            let lines = Picture { view: &view, away: away.as_deref(), now: check::now() };
            canvas.draw(&lines.within(width, height.saturating_sub(1)))?;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = tokio::signal::ctrl_c() => return canvas.leave(),
        }
        let answer = tokio::time::timeout(PATIENCE, super::ask(fleet, settings));
        let answer = tokio::select! {
            answer = answer => answer,
            _ = tokio::signal::ctrl_c() => return canvas.leave(),
        };
        let was_away = away.is_some();
        away = match answer {
            Ok(Ok(fresh)) => {
                view = fresh;
                None
            }
            Ok(Err(Failure::Error(_, why))) => Some(format!("{why:#}")),
            Ok(Err(told)) => return Err(told),
            Err(_) => Some(format!("no answer within {}", time::text(PATIENCE))),
        };
        // A reader of lines would wait in silence.
        if let Some(why) = away.as_ref().filter(|_| json && !was_away) {
            eprintln!("{why}; tried again every {}", time::text(EVERY));
        }
    }
}

/// What is drawn: what the daemon said last, and whether it still does.
struct Picture<'a> {
    view: &'a StatusView,
    /// Why there is no fresher one.
    away: Option<&'a str>,
    now: Timestamp,
}

impl Picture<'_> {
    /// As many lines as there is room for: what is wrong first, then every fleet in full, its reasons
    /// too, or where there are too many, each in a line or two.
    fn within(&self, width: usize, room: usize) -> Vec<String> {
        let zone = self.view.zone();
        let mut lines = self.head(&zone);
        lines.extend(self.problems(&zone, width, room.div_euclid(3)));
        let left = room.saturating_sub(lines.len());
        let (whole, cut) = (self.full(&zone, Some(width)), self.full(&zone, None));
        let full = [whole, cut].into_iter().find(|full| full.len() <= left);
        lines.extend(full.unwrap_or_else(|| self.brief(&zone, left)));
        lines
    }

    fn head(&self, zone: &TimeZone) -> Vec<String> {
        let StatusView { version, policy, .. } = self.view;
        let age = time::since(self.now, self.view.last_tick);
        let clock = self.now.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string();
        let ago = time::text(Duration::from_secs(age.as_secs()));
        let mut lines = vec![format!(
            "{}   {}",
            bold(&format!("{clock}   tidegate {version}   policy {policy}   last tick {ago} ago")),
            dim("Ctrl-C ends")
        )];
        if let Some(why) = self.away {
            let tried = time::text(EVERY);
            lines
                .push(bold(&format!("STALE  {why}. Tried again every {tried}; below is the last")));
        } else if age > TICK_IS_LATE {
            lines.push(bold(&format!("LATE  the last tick was {ago} ago: journalctl -u tidegate")));
        }
        lines
    }

    fn problems(&self, zone: &TimeZone, width: usize, room: usize) -> Vec<String> {
        let problems = &self.view.problems;
        let whole = problems.iter().flat_map(|one| fold(&text::problem(one, zone), width));
        let whole: Vec<String> = whole.map(|line| bold(&line)).collect();
        if whole.len() <= room {
            return whole;
        }
        let shown = if problems.len() <= room { problems.len() } else { room.saturating_sub(1) };
        let lines = problems.iter().take(shown);
        let mut lines: Vec<_> = lines.map(|one| bold(&text::problem(one, zone))).collect();
        let more = problems.len().saturating_sub(shown);
        if more > 0 {
            lines.push(bold(&format!("{} more: tidegate status", counted(more, "problem"))));
        }
        lines
    }

    /// `width`: folded at it.
    fn full(&self, zone: &TimeZone, width: Option<usize>) -> Vec<String> {
        let mut lines = Vec::new();
        for fleet in &self.view.fleets {
            lines.push(String::new());
            let told = text::fleet(fleet, zone);
            lines.extend(told.iter().take(1).map(|head| bold(head)));
            let rest = told.into_iter().skip(1);
            lines.extend(rest.flat_map(|line| match width {
                Some(width) => fold(&line, width),
                None => vec![line],
            }));
        }
        lines
    }

    /// Two lines for each fleet, one where that is too much, and then those that there is room for.
    fn brief(&self, zone: &TimeZone, room: usize) -> Vec<String> {
        let fleets = &self.view.fleets;
        let teller = Teller { zone: zone.clone(), now: Some(self.view.last_tick) };
        let why = fleets.len().saturating_mul(2).saturating_add(1) <= room;
        let each = if why { 2 } else { 1 };
        let shown = if fleets.len().saturating_mul(each) < room {
            fleets.len()
        } else {
            room.saturating_sub(2)
        };
        let mut lines = vec![String::new()];
        for fleet in fleets.iter().take(shown) {
            lines.push(teller.headline(fleet));
            let because = fleet.because.first().filter(|_| why);
            lines.extend(because.map(|reason| dim(&format!("  {}", reason.text))));
        }
        let more = fleets.len().saturating_sub(shown);
        if more > 0 {
            let more = counted(more, "fleet");
            lines.push(dim(&format!("{more} more: tidegate status FLEET --watch")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(fleets: usize, problems: usize) -> StatusView {
        let fleet = |n: usize| {
            let instance = json!({ "id": format!("i-{n}"), "phase": "in_service" });
            json!({
                "name": format!("fleet-{n}"), "mode": "act", "min": 1, "max": 3, "capacity": 2,
                "in_service": 2, "wanted": 2, "desired": 2, "reading": null,
                "because": [{ "rule": "minimum", "text": "the minimum of 1" }],
                "instances": [instance.clone(), instance],
            })
        };
        let problem = |n: usize| json!({ "fleet": "fleet-0", "since": "2026-03-02T08:00:00Z", "text": format!("wrong {n}") });
        serde_json::from_value(json!({
            "format_version": 1, "version": "0.1.0", "policy": "abc", "timezone": "UTC",
            "last_tick": "2026-03-02T08:00:00Z",
            "fleets": (0..fleets).map(fleet).collect::<Vec<_>>(),
            "problems": (0..problems).map(problem).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    fn drawn(view: &StatusView, room: usize) -> Vec<String> {
        let now = "2026-03-02T08:00:04Z".parse().unwrap();
        Picture { view, away: None, now }.within(80, room)
    }

    #[test]
    fn all_is_shown_where_there_is_room_and_what_is_wrong_stands_first() {
        let lines = drawn(&view(2, 1), 40);
        assert!(lines[0].contains("08:00:04") && lines[0].contains("last tick 4s ago"));
        assert!(lines[1].contains("PROBLEM") && lines[1].contains("wrong 0"), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("i-")).count(), 4);
        assert!(lines.iter().all(|line| !line.contains("more")), "{lines:?}");
    }

    #[test]
    fn a_reason_longer_than_the_terminal_is_told_whole_where_there_is_room() {
        let mut view = view(2, 1);
        let reason = "309 jobs waiting, over 20: add 2; 6 asked for, min 1 and max 4 allow 4; and more to say";
        view.fleets[0].because[0].text = reason.to_owned();
        view.problems[0].text = reason.to_owned();
        let words = |lines: &[String]| {
            let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
            words.join(" ").matches("and more to say").count()
        };
        let lines = drawn(&view, 40);
        assert_eq!(words(&lines), 2, "{lines:#?}");
        assert!(lines.iter().skip(1).all(|line| line.len() < 90), "{lines:#?}");
        let tight = drawn(&view, 12);
        assert!(tight.len() <= 12, "{tight:#?}");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_nothing_runs_over() {
        for (fleets, problems) in [(1, 0), (3, 50), (8, 1), (50, 0), (300, 300)] {
            let view = view(fleets, problems);
            for room in [6, 10, 23, 60] {
                let lines = drawn(&view, room);
                assert!(lines.len() <= room, "{fleets} {problems} {room}: {lines:#?}");
                let named = lines
                    .iter()
                    .filter(|line| line.contains("fleet-") && !line.contains("PROBLEM"));
                let named = named.count();
                let told = lines.iter().find_map(|line| {
                    let (n, _) = line.strip_prefix("\u{1b}[2m")?.split_once(" fleet")?;
                    n.parse::<usize>().ok()
                });
                assert_eq!(named + told.unwrap_or(0), fleets, "{room}: {lines:#?}");
            }
        }
        let lines = drawn(&view(3, 50), 30);
        assert!(lines.iter().any(|line| line.contains("41 problems more")), "{lines:#?}");
    }

    #[test]
    fn a_daemon_that_went_away_or_does_not_tick_is_told_over_what_it_said_last() {
        let view = view(1, 0);
        let now = "2026-03-02T08:00:09Z".parse().unwrap();
        let lines = Picture { view: &view, away: Some("no daemon listens"), now }.within(80, 30);
        assert!(lines[1].contains("STALE  no daemon listens"), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("fleet-0")));
        let now = "2026-03-02T08:04:09Z".parse().unwrap();
        let lines = Picture { view: &view, away: None, now }.within(80, 30);
        assert!(lines[1].contains("LATE  the last tick was 4m9s ago"), "{lines:?}");
    }
}
