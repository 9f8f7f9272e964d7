//! The results as JUnit's XML, which every CI reads.

use maud::{PreEscaped, html};

use super::Ran;

pub(super) fn document(file: &str, ran: &[Ran]) -> String {
    let failed = ran.iter().filter(|ran| !ran.misses.is_empty()).count();
    // Elements are written as in XML: all of them have an end, none is one of HTML's.
    let body = html! {
        testsuites {
            testsuite name=(file) tests=(ran.len()) failures=(failed) {
                @for ran in ran {
                    testcase classname=(file) name=(ran.name) {
                        @if !ran.misses.is_empty() {
                            failure message=(format!("{} not as expected", ran.misses.len())) {
                                @for miss in &ran.misses { (format!("{}: {}\n", miss.place, miss.text)) }
                            }
                        }
                    }
                }
            }
        }
    };
    let head = PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    html! { (head) (body) }.into_string()
}
