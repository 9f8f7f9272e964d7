//! A chart over time as SVG that needs no script: shapes are stretched to the width there is, words
//! and lines keep their size, so that it reads on a phone as on a wall. The page of a backtest and
//! the daemon's page draw with it.

pub mod axis;

use std::time::Duration;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use self::axis::{Scale, times};
use tidegate_engine::model::time::{self, Timestamp};

/// Colours, light and dark, and what shapes and words of a chart look like.
pub const STYLE: &str = include_str!("chart.css");

/// A plot of the usual height, in CSS pixels.
pub const HEIGHT: f64 = 170.0;

/// Two words on a chart need so much, from line to line.
const LINE: f64 = 15.0;

/// From here on, in percent, a word does not fit to the right of its place.
const RIGHT: f64 = 70.0;

/// Under the plot: times, marks, and what is to be said.
const FOOT: f64 = 22.0;
const MARK: f64 = 12.0;
const NOTE: f64 = 18.0;

/// As wide as a plot on a phone is at the least, and a letter with its share of the space between
/// words.
const PHONE: f64 = 270.0;
const LETTER: f64 = 7.0;

/// Where a word at a place along the axis reaches from there: never over the edge.
fn side(percent: f64) -> &'static str {
    match percent {
        ..6.0 => "first",
        94.0.. => "last",
        _ => "mid",
    }
}

/// From where to where a word reaches on a phone, in CSS pixels.
fn on_a_phone(percent: f64, word: &str) -> (f64, f64) {
    let letters = u32::try_from(word.chars().count()).map_or(0.0, f64::from);
    let (at, wide) = (percent / 100.0 * PHONE, letters * LETTER);
    let left = match side(percent) {
        "first" => at,
        "last" => at - wide,
        _ => at - wide / 2.0,
    };
    (left, left + wide)
}

/// The stretch of time that all charts of a page show.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    pub from: Timestamp,
    pub to: Timestamp,
    /// When the first bin begins, and how long each is.
    pub origin: Timestamp,
    pub width: Duration,
    pub zone: &'a TimeZone,
    /// What is to be said under each chart; empty: it is said elsewhere.
    pub note: String,
}

impl Frame<'_> {
    /// Where an instant is, in percent from the left.
    pub fn percent(&self, at: Timestamp) -> f64 {
        let whole = time::since(self.to, self.from).as_secs_f64().max(1.0);
        (time::since(at, self.from).as_secs_f64() / whole * 100.0).min(100.0)
    }

    /// In bins: where the frame begins, and how wide it is.
    fn in_bins(&self) -> (f64, f64) {
        let width = self.width.as_secs_f64();
        let begins = time::since(self.from, self.origin).as_secs_f64() / width;
        (begins, time::since(self.to, self.from).as_secs_f64().max(1.0) / width)
    }
}

/// One shape: from where to where it reaches in each bin, if anywhere.
#[derive(Debug)]
pub struct Layer {
    /// What it looks like, by the style sheet.
    pub class: &'static str,
    pub label: String,
    pub is_line: bool,
    pub reach: Vec<Option<(f64, f64)>>,
}

impl Layer {
    pub fn area(class: &'static str, label: &str, reach: impl Iterator<Item = (f64, f64)>) -> Self {
        let reach = reach.map(|(low, high)| (high > low).then_some((low, high))).collect();
        Self { class, label: label.to_owned(), is_line: false, reach }
    }

    pub fn line(
        class: &'static str,
        label: &str,
        points: impl Iterator<Item = Option<f64>>,
    ) -> Self {
        let reach = points.map(|point| point.map(|value| (0.0, value))).collect();
        Self { class, label: label.to_owned(), is_line: true, reach }
    }

    /// Whether the legend has it: it has a name, and is somewhere to be seen.
    fn is_told(&self) -> bool {
        !self.label.is_empty() && self.reach.iter().any(Option::is_some)
    }

    /// The outline, in steps; a bin is one wide, and `top` is at 0.
    fn path(&self, top: f64, height: f64) -> String {
        let y = |value: f64| rounded(height * (1.0 - value / top));
        let mut out = String::new();
        let mut at = 0;
        for run in self.reach.chunk_by(|a, b| a.is_some() == b.is_some()) {
            let (from, to) = (at, at + run.len());
            at = to;
            let (low, high): (Vec<String>, Vec<String>) =
                run.iter().flatten().map(|(low, high)| (y(*low), y(*high))).unzip();
            let Some(first) = high.first() else { continue };
            out.push_str(&format!("M{from} {first}"));
            steps(&mut out, from, &high, 1);
            if !self.is_line {
                let back: Vec<String> = low.into_iter().rev().collect();
                out.push_str(&format!("V{}", back.first().map_or("0", String::as_str)));
                steps(&mut out, to, &back, -1);
                out.push('Z');
            }
        }
        out
    }
}

/// Along the heights, one to the right or to the left for each; as long as it is level, in one go.
fn steps(out: &mut String, from: usize, heights: &[String], by: isize) {
    let mut at = from;
    let mut level: Option<&String> = None;
    for height in heights {
        if level.is_some_and(|level| level != height) {
            out.push_str(&format!("H{at}V{height}"));
        }
        level = Some(height);
        at = at.saturating_add_signed(by);
    }
    out.push_str(&format!("H{at}"));
}

/// A tenth of a pixel is enough.
fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A level that is held against: the goal, a bound.
#[derive(Debug)]
pub struct Rule {
    pub class: &'static str,
    pub label: String,
    pub value: f64,
}

/// A moment at which something was decided, under the plot; it leads to its story.
#[derive(Debug)]
pub struct Mark {
    pub at: Timestamp,
    pub href: String,
    pub text: String,
}

/// A picture of some figures over time.
#[derive(Debug)]
pub struct Chart<'a> {
    /// Unlike any other of the page.
    pub id: String,
    pub title: &'static str,
    /// What is on the upright axis.
    pub unit: &'static str,
    /// Of the plot, in CSS pixels.
    pub height: f64,
    /// What a reader without the picture should know.
    pub tells: String,
    pub scale: &'a Scale,
    pub layers: Vec<Layer>,
    pub rules: Vec<Rule>,
    /// A moment to look at.
    pub flag: Option<(Timestamp, &'static str)>,
    pub marks: Vec<Mark>,
}

/// A stretch of time with its figures, shown under the pointer.
#[derive(Debug, Clone)]
pub struct Slice {
    pub from: Timestamp,
    pub to: Timestamp,
    pub text: String,
}

impl Chart<'_> {
    /// With its title, what it tells, and what its shapes mean.
    pub fn draw(&self, frame: &Frame<'_>, slices: &[Slice]) -> Markup {
        html! {
            figure id=(self.id) {
                figcaption {
                    h3 { (self.title) }
                    p { (self.tells) }
                    (self.legend())
                }
                div.plot { (self.picture(frame, slices)) }
            }
        }
    }

    /// The picture alone.
    pub fn picture(&self, frame: &Frame<'_>, slices: &[Slice]) -> Markup {
        let title = format!("{}-title", self.id);
        let told = format!("{}-desc", self.id);
        let (begins, width) = frame.in_bins();
        let note = if frame.note.is_empty() { 0.0 } else { NOTE };
        let height = self.height + self.foot() + note;
        let flagged = self.flag.map(|(at, word)| (frame.percent(at), word));
        html! {
            svg role="img" aria-labelledby={ (title) " " (told) } width="100%" height=(height) {
                title id=(title) { (self.title) }
                desc id=(told) { (self.tells) }
                (self.upright())
                (self.times_along(frame))
                svg.shapes width="100%" height=(self.height) preserveAspectRatio="none"
                    viewBox={ (rounded(begins)) " 0 " (format!("{width:.2}")) " " (self.height) } {
                    @for layer in &self.layers {
                        path class=(layer.class) d=(layer.path(self.scale.top, self.height)) {}
                    }
                }
                (self.rules(flagged.is_some_and(|(at, _)| at > RIGHT)))
                @if let Some((at, word)) = flagged { (self.flag(at, word)) }
                @for slice in slices.iter().filter(|slice| slice.from < frame.to) {
                    @let from = frame.percent(slice.from);
                    @let wide = frame.percent(slice.to) - from;
                    rect.slice x={ (format!("{from:.2}")) "%" } width={ (format!("{wide:.2}")) "%" }
                        y="0" height=(self.height) { title { (slice.text) } }
                }
                @for mark in &self.marks { (self.mark(mark, frame)) }
            }
        }
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                // The uppermost of a stack first, as one sees it.
                @for layer in self.layers.iter().rev().filter(|layer| layer.is_told()) {
                    li {
                        svg.key width="18" height="12" aria-hidden="true" {
                            @if layer.is_line { path class=(layer.class) d="M0 6H18" {} }
                            @else { path class=(layer.class) d="M1 1H17V11H1Z" {} }
                        }
                        (layer.label)
                    }
                }
                @if !self.marks.is_empty() {
                    li { span.mark-key aria-hidden="true" { "▲" } "decision" }
                }
            }
        }
    }

    /// Under the plot: marks, if there are any, and times.
    fn foot(&self) -> f64 {
        FOOT + if self.marks.is_empty() { 0.0 } else { MARK }
    }

    fn y(&self, value: f64) -> f64 {
        self.height * (1.0 - value / self.scale.top)
    }

    fn upright(&self) -> Markup {
        html! {
            text.figure x="-7" y="-14" { (self.unit) }
            @for (value, label) in &self.scale.ticks {
                @let y = rounded(self.y(*value));
                line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                text.figure x="-7" y=(y) dy="0.32em" { (label) }
            }
        }
    }

    /// Each with its word at the right, unless that place is taken.
    fn rules(&self, taken: bool) -> Markup {
        let mut at_right: Vec<f64> = Vec::new();
        let mut fits_right = |y: f64| {
            let fits = !taken && at_right.iter().all(|other| (other - y).abs() >= LINE);
            if fits {
                at_right.push(y);
            }
            fits
        };
        let placed = self.rules.iter().map(|rule| {
            let y = self.y(rule.value);
            (rule, y, fits_right(y))
        });
        let placed: Vec<_> = placed.collect();
        html! {
            @for (rule, y, right) in placed {
                @let (x, dx, side) = if right { ("100%", "-4", "last") } else { ("0", "4", "first") };
                line class={ "rule " (rule.class) } x1="0" x2="100%" y1=(rounded(y)) y2=(rounded(y)) {}
                text class={ "word " (side) } x=(x) dx=(dx) y=(rounded(y - 5.0)) { (rule.label) }
            }
        }
    }

    fn times_along(&self, frame: &Frame<'_>) -> Markup {
        let foot = self.height + self.foot();
        let ticks = times(frame.from, frame.to, frame.zone);
        let places: Vec<(f64, f64)> =
            ticks.iter().map(|tick| on_a_phone(frame.percent(tick.at), &tick.label)).collect();
        // A day's name is worth more than an hour beside it.
        let days: Vec<(f64, f64)> = ticks
            .iter()
            .zip(&places)
            .filter(|(tick, _)| tick.label.contains(' '))
            .map(|(_, place)| *place)
            .collect();
        let crowds = |(left, right): (f64, f64)| {
            days.iter().any(|day| *day != (left, right) && left < day.1 && day.0 < right)
        };
        html! {
            @for (tick, place) in ticks.iter().zip(&places) {
                @let at = frame.percent(tick.at);
                @let side = side(at);
                @let spare = if tick.spare || crowds(*place) { " spare" } else { "" };
                @let x = format!("{at:.2}%");
                line class={ "tick" (spare) } x1=(x) x2=(x) y1="0" y2=(self.height + 5.0) {}
                text class={ "time " (side) (spare) } x=(x) y=(foot - 3.0) { (tick.label) }
            }
            @if !frame.note.is_empty() {
                text.zone x="0" y=(foot + 15.0) { (frame.note) }
            }
        }
    }

    /// No stop for the keyboard: there may be many, and each is in a list beside the chart too.
    fn mark(&self, mark: &Mark, frame: &Frame<'_>) -> Markup {
        let x = format!("{:.2}%", frame.percent(mark.at));
        html! {
            a.mark href=(mark.href) tabindex="-1" {
                title { (mark.text) }
                line x1=(x) x2=(x) y1="0" y2=(self.height) {}
                // As wide as a finger is sure of.
                rect x=(x) y=(self.height) width="12" height="20" {}
                text.mid x=(x) y=(self.height + 12.0) { "▲" }
            }
        }
    }

    fn flag(&self, percent: f64, word: &str) -> Markup {
        let x = format!("{percent:.2}%");
        let (dx, side) = if percent > RIGHT { ("-8", "last") } else { ("8", "first") };
        html! {
            line.flag x1=(x) x2=(x) y1="0" y2=(self.height) {}
            text class="word mid" x=(x) y="0" dy="-2" { "▼" }
            text class={ "word " (side) } x=(x) dx=(dx) y="-2" { (word) }
        }
    }
}

/// What the zone of a chart's times is, and the day of the first.
pub fn zone_note(from: Timestamp, zone: &TimeZone) -> String {
    let begins = from.to_zoned(zone.clone()).strftime("%a %-d %b %Y");
    format!("Time in {}, from {begins}", zone.iana_name().unwrap_or("the policy's zone"))
}

/// Stripes and bars tell booting and draining apart without colour. They run along the two
/// directions that survive stretching. Once a page.
pub fn patterns() -> Markup {
    html! {
        svg.none aria-hidden="true" {
            defs {
                pattern id="stripes" width="4" height="5" patternUnits="userSpaceOnUse" {
                    rect class="booting-ink tint" width="4" height="5" {}
                    rect class="booting-ink" width="4" height="2" {}
                }
                pattern id="bars" width="4" height="2.5" patternUnits="userSpaceOnUse" {
                    rect class="draining-ink tint" width="4" height="2.5" {}
                    rect class="draining-ink" width="4" height="1.5" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_go_in_steps_and_leave_gaps() {
        let area =
            Layer::area("busy", "", [(0.0, 5.0), (0.0, 5.0), (0.0, 0.0), (5.0, 10.0)].into_iter());
        assert_eq!(area.path(10.0, HEIGHT), "M0 85H2V170H0ZM3 0H4V85H3Z");
        let line = Layer::line("own", "", [Some(0.0), Some(10.0), None, Some(2.5)].into_iter());
        assert_eq!(line.path(10.0, HEIGHT), "M0 170H1V0H2M3 127.5H4");
    }
}
