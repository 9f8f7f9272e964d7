//! OpenMetrics as the older text format of Prometheus, which `promtool`, `curl` and older collectors
//! read: the same samples, under headings of other names.

use std::collections::BTreeMap;

/// In OpenMetrics a heading names the family, in the older format the samples.
pub(super) fn plain(open: &str) -> String {
    let kinds: BTreeMap<&str, &str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let renamed = |name: &str| match kinds.get(name) {
        Some(&"counter") => format!("{name}_total"),
        Some(&"info") => format!("{name}_info"),
        Some(_) | None => name.to_owned(),
    };
    let mut out = String::with_capacity(open.len());
    for line in open.lines() {
        if let Some((name, help)) =
            line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            out.push_str(&format!("# HELP {} {help}\n", renamed(name)));
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let kind = match kind {
                "info" => "gauge",
                "unknown" => "untyped",
                same => same,
            };
            out.push_str(&format!("# TYPE {} {kind}\n", renamed(name)));
        } else if !line.starts_with('#') {
            // No labels at all are left out.
            match line.split_once("{} ").filter(|(name, _)| !name.contains('"')) {
                Some((name, value)) => out.push_str(&format!("{name} {value}\n")),
                None => out.push_str(&format!("{line}\n")),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn headings_are_named_like_their_samples() {
        let open = "# HELP a_b Text of it.\n# TYPE a_b counter\na_b_total{c=\"{} d\"} 1\n\
                    # HELP e What.\n# TYPE e info\ne_info{v=\"1\"} 1\n\
                    # HELP g Now.\n# TYPE g gauge\n# UNIT g seconds\ng{} 2\n# EOF\n";
        let plain = "# HELP a_b_total Text of it.\n# TYPE a_b_total counter\n\
                     a_b_total{c=\"{} d\"} 1\n# HELP e_info What.\n# TYPE e_info gauge\n\
                     e_info{v=\"1\"} 1\n# HELP g Now.\n# TYPE g gauge\ng 2\n";
        assert_eq!(super::plain(open), plain);
    }
}
