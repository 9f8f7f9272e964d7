//! Cost against lateness, as an SVG.

use std::fmt::Write as _;

/// A point: a rule at a setting.
pub(crate) struct Point {
    pub rule: String,
    /// Geometric mean over the traces.
    pub cost: f64,
    /// Of the worst trace.
    pub late: f64,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 56.0;
const COST: (f64, f64) = (1.0, 5.0);
/// Shares of late jobs, on a scale of roots, so that the small ones are apart.
const LATE_AT_MOST: f64 = 0.6;

const COLOURS: [&str; 9] = [
    "#0b7285", "#868e96", "#e8590c", "#f08c00", "#5f3dc4", "#2b8a3e", "#1971c2", "#c2255c",
    "#495057",
];

pub(crate) fn draw(title: &str, points: &[Point]) -> String {
    let x = |cost: f64| {
        MARGIN
            + (cost.clamp(COST.0, COST.1) - COST.0) / (COST.1 - COST.0)
                * (WIDTH - 2.0 * MARGIN - 120.0)
    };
    let y = |late: f64| {
        HEIGHT - MARGIN - (late.min(LATE_AT_MOST) / LATE_AT_MOST).sqrt() * (HEIGHT - 2.0 * MARGIN)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{MARGIN}\" y=\"24\" font-size=\"15\">{title}</text>\n"
    );
    let limit = y(0.05);
    writeln!(out, "<rect x=\"{MARGIN}\" y=\"{limit:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#ebfbee\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#2b8a3e\">goal kept</text>", x(COST.1) - MARGIN, y(0.0) - limit, x(COST.1) - 62.0, y(0.0) - 6.0).ok();
    for late in [0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6] {
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            MARGIN - 8.0,
            y(late) + 4.0,
            late * 100.0
        )
        .ok();
    }
    for cost in [1.0, 2.0, 3.0, 4.0, 5.0] {
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{cost:.0}</text>",
            x(cost),
            HEIGHT - MARGIN + 18.0
        )
        .ok();
    }
    writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">cost, in multiples of the work itself</text>", x(3.0), HEIGHT - 12.0).ok();
    let mut rules: Vec<&str> = Vec::new();
    for point in points {
        if !rules.contains(&point.rule.as_str()) {
            rules.push(&point.rule);
        }
        let nth = rules.iter().position(|rule| *rule == point.rule).unwrap_or(0);
        let colour = COLOURS[nth % COLOURS.len()];
        let radius = if nth == 0 { 6 } else { 4 };
        writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"0.8\"/>", x(point.cost), y(point.late)).ok();
    }
    for (nth, rule) in rules.iter().enumerate() {
        let at = 60.0 + 20.0 * f64::from(u32::try_from(nth).unwrap_or(0));
        writeln!(out, "<circle cx=\"{:.1}\" cy=\"{at:.1}\" r=\"5\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{rule}</text>", WIDTH - 150.0, COLOURS[nth % COLOURS.len()], WIDTH - 138.0, at + 4.0).ok();
    }
    out.push_str("</svg>\n");
    out
}
