//! What is wrong with the form of a file of tests, and what to write.

use serde_yaml::Error;

use tidegate_engine::model::fault::printable;

const FORM: &str = "`tidegate test --help` has an example";

/// Returns line and column, what is wrong there and what to do.
pub(super) fn text(error: &Error, text: &str) -> String {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let error = error.without_snippet();
    let syntax = matches!(error, Error::Message { .. } | Error::ExternalMessage { .. })
        && !error.to_string().contains("variant");
    let what = if let Error::SerdeUnknownField { field, expected, .. } = error {
        unknown(field, expected)
    } else if let Error::SerdeMissingField { field, .. } = error {
        format!("`{field}` is missing: add `{field}: …`; {FORM}")
    } else if let Error::DuplicateMappingKey { key, .. } = error {
        format!(
            "`{}` is there twice: keep one of them",
            printable(key.as_deref().unwrap_or("a key"), 60)
        )
    } else if syntax {
        "not valid YAML: check indentation, brackets and quotes here and in the line above"
            .to_owned()
    } else {
        let written =
            usize::try_from(line).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
        let written = printable(written.unwrap_or_default().trim(), 60);
        format!("`{written}` has a value of the wrong kind: {FORM}")
    };
    format!("{line}:{column}: {what}")
}

fn unknown(field: &str, expected: &[&str]) -> String {
    let near = |known: &&&str| strsim::damerau_levenshtein(field, known);
    let nearest = expected.iter().filter(|known| near(known) <= 2).min_by_key(near);
    let meant = nearest.map_or_else(String::new, |known| format!("did you mean `{known}`? "));
    format!("unknown key `{}`: {meant}known are {}", printable(field, 60), expected.join(", "))
}
