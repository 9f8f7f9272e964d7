//! A chart over time as SVG that needs no script: shapes are stretched to the width there is, words
//! and lines keep their size, so that it reads on a phone as on a wall.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::axis::{Scale, times};
use crate::model::time::{self, Timestamp};
use crate::sim::backtest::series::{Bin, Series};

/// Of the plot, in CSS pixels.
const HEIGHT: f64 = 170.0;

/// From here on, in percent, a word does not fit to the right of its place.
const RIGHT: f64 = 70.0;

/// Under the plot: times, and what they are.
const FOOT: f64 = 40.0;

/// The stretch of time that all charts of a page show.
#[derive(Debug, Clone)]
pub(super) struct Frame<'a> {
    pub from: Timestamp,
    pub to: Timestamp,
    pub series: &'a Series,
    pub zone: &'a TimeZone,
}

impl Frame<'_> {
    /// Where an instant is, in percent from the left.
    pub(super) fn percent(&self, at: Timestamp) -> f64 {
        let whole = time::since(self.to, self.from).as_secs_f64().max(1.0);
        (time::since(at, self.from).as_secs_f64() / whole * 100.0).min(100.0)
    }

    /// In bins: where the frame begins, and how wide it is.
    fn in_bins(&self) -> (f64, f64) {
        let width = self.series.width.as_secs_f64();
        let begins = time::since(self.from, self.series.origin).as_secs_f64() / width;
        (begins, time::since(self.to, self.from).as_secs_f64().max(1.0) / width)
    }
}

/// One shape: from where to where it reaches in each bin, if anywhere.
pub(super) struct Layer {
    /// What it looks like, by the style sheet.
    pub class: &'static str,
    pub label: String,
    pub is_line: bool,
    pub reach: Vec<Option<(f64, f64)>>,
}

impl Layer {
    pub(super) fn area(
        class: &'static str,
        label: &str,
        reach: impl Iterator<Item = (f64, f64)>,
    ) -> Self {
        let reach = reach.map(|(low, high)| (high > low).then_some((low, high))).collect();
        Self { class, label: label.to_owned(), is_line: false, reach }
    }

    pub(super) fn line(
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
    fn path(&self, top: f64) -> String {
        let y = |value: f64| rounded(HEIGHT * (1.0 - value / top));
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
pub(super) struct Rule {
    pub class: &'static str,
    pub label: String,
    pub value: f64,
}

pub(super) struct Chart<'a> {
    /// Unlike any other of the page.
    pub id: String,
    pub title: &'static str,
    /// What is on the upright axis.
    pub unit: &'static str,
    /// What a reader without the picture should know.
    pub tells: String,
    pub scale: &'a Scale,
    pub layers: Vec<Layer>,
    pub rules: Vec<Rule>,
    /// A moment to look at.
    pub flag: Option<(Timestamp, &'static str)>,
}

/// A stretch of time with its figures, shown under the pointer.
pub(super) struct Slice {
    pub from: Timestamp,
    pub to: Timestamp,
    pub bin: Bin,
    pub text: String,
}

impl Chart<'_> {
    pub(super) fn draw(&self, frame: &Frame<'_>, slices: &[Slice]) -> Markup {
        let title = format!("{}-title", self.id);
        let told = format!("{}-desc", self.id);
        let (begins, width) = frame.in_bins();
        html! {
            figure id=(self.id) {
                figcaption {
                    h3 { (self.title) }
                    p { (self.tells) }
                    (self.legend())
                }
                div.plot {
                    svg role="img" aria-labelledby={ (title) " " (told) } width="100%" height=(HEIGHT + FOOT) {
                        title id=(title) { (self.title) }
                        desc id=(told) { (self.tells) }
                        (self.upright())
                        (times_along(frame))
                        svg.shapes width="100%" height=(HEIGHT) preserveAspectRatio="none"
                            viewBox={ (rounded(begins)) " 0 " (format!("{width:.2}")) " " (HEIGHT) } {
                            @for layer in &self.layers {
                                path class=(layer.class) d=(layer.path(self.scale.top)) {}
                            }
                        }
                        @let flagged = self.flag.map(|(at, word)| (frame.percent(at), word));
                        @let taken = flagged.is_some_and(|(at, _)| at > RIGHT);
                        @for rule in &self.rules { (self.rule(rule, taken)) }
                        @if let Some((at, word)) = flagged { (flag(at, word)) }
                        @for slice in slices.iter().filter(|slice| slice.from < frame.to) {
                            @let from = frame.percent(slice.from);
                            @let wide = frame.percent(slice.to) - from;
                            rect.slice x={ (format!("{from:.2}")) "%" } width={ (format!("{wide:.2}")) "%" }
                                y="0" height=(HEIGHT) { title { (slice.text) } }
                        }
                    }
                }
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
            }
        }
    }

    fn upright(&self) -> Markup {
        let y = |value: f64| rounded(HEIGHT * (1.0 - value / self.scale.top));
        html! {
            text.figure x="-7" y="-14" { (self.unit) }
            @for (value, label) in &self.scale.ticks {
                line.grid x1="0" x2="100%" y1=(y(*value)) y2=(y(*value)) {}
                text.figure x="-7" y=(y(*value)) dy="0.32em" { (label) }
            }
        }
    }

    /// With its word at the right, unless that place is taken.
    fn rule(&self, rule: &Rule, taken: bool) -> Markup {
        let y = HEIGHT * (1.0 - rule.value / self.scale.top);
        let (x, dx, side) = if taken { ("0", "4", "first") } else { ("100%", "-4", "last") };
        html! {
            line class={ "rule " (rule.class) } x1="0" x2="100%" y1=(rounded(y)) y2=(rounded(y)) {}
            text class={ "word " (side) } x=(x) dx=(dx) y=(rounded(y - 5.0)) { (rule.label) }
        }
    }
}

fn times_along(frame: &Frame<'_>) -> Markup {
    let begins = frame.from.to_zoned(frame.zone.clone()).strftime("%a %-d %b %Y").to_string();
    let zone = frame.zone.iana_name().unwrap_or("the policy's zone");
    let foot = HEIGHT + 19.0;
    html! {
        @for tick in times(frame.from, frame.to, frame.zone) {
            @let at = frame.percent(tick.at);
            @let side = if at < 6.0 { "first" } else if at > 94.0 { "last" } else { "mid" };
            @let spare = if tick.spare { " spare" } else { "" };
            @let x = format!("{at:.2}%");
            line class={ "tick" (spare) } x1=(x) x2=(x) y1="0" y2=(HEIGHT + 5.0) {}
            text class={ "time " (side) (spare) } x=(x) y=(foot) { (tick.label) }
        }
        text.zone x="0" y=(HEIGHT + 37.0) { "Time in " (zone) ", from " (begins) }
    }
}

fn flag(percent: f64, word: &str) -> Markup {
    let x = format!("{percent:.2}%");
    let (dx, side) = if percent > RIGHT { ("-8", "last") } else { ("8", "first") };
    html! {
        line.flag x1=(x) x2=(x) y1="0" y2=(HEIGHT) {}
        text class="word mid" x=(x) y="0" dy="-2" { "▼" }
        text class={ "word " (side) } x=(x) dx=(dx) y="-2" { (word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_go_in_steps_and_leave_gaps() {
        let area =
            Layer::area("busy", "", [(0.0, 5.0), (0.0, 5.0), (0.0, 0.0), (5.0, 10.0)].into_iter());
        assert_eq!(area.path(10.0), "M0 85H2V170H0ZM3 0H4V85H3Z");
        let line = Layer::line("own", "", [Some(0.0), Some(10.0), None, Some(2.5)].into_iter());
        assert_eq!(line.path(10.0), "M0 170H1V0H2M3 127.5H4");
    }
}
