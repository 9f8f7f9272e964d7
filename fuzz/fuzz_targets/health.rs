//! Any bytes as a page. The first line is the text that the policy expects; the rest is the page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::probe::body::Body;
use tidegate::probe::health::{SEARCHED, says};
use tidegate_fuzz::{first_line, is_harmless};

fuzz_target!(|data: &[u8]| {
    let (expect, page) = first_line(data);
    let Ok(expect) = std::str::from_utf8(expect) else { return };

    let said = says(page, expect);
    assert_eq!(said, says(page, expect));
    if let Err(why) = &said {
        assert!(why.len() < 1000 && is_harmless(why), "{why:?}");
        assert!(!page.windows(expect.len().max(1)).any(|part| part == expect.as_bytes()));
    }
    // Where it stands on the page makes no difference, nor what stands around it.
    let half = page.len() / 2;
    let with = [&page[..half], expect.as_bytes(), &page[half..]].concat();
    let ascii = expect.is_ascii();
    assert!(says(&with, expect).is_ok(), "{expect:?} in {with:?}");
    if ascii {
        let loud = [&page[..half], expect.to_ascii_uppercase().as_bytes(), &page[half..]].concat();
        assert!(says(&loud, expect).is_ok(), "{expect:?} in {loud:?}");
    }
    // Nor how the page is cut on its way; and what comes too late is not looked at.
    let mut whole = Body::at_most(SEARCHED);
    let mut pieces = Body::at_most(SEARCHED);
    whole.take(&with);
    with.chunks(5).all(|piece| pieces.take(piece));
    assert_eq!(whole, pieces);
    let mut late = Body::at_most(SEARCHED);
    if late.take(&vec![b'.'; SEARCHED]) {
        late.take(&with);
    }
    assert_eq!(late.beginning().len(), SEARCHED);
    assert!(late.beginning().iter().all(|byte| *byte == b'.'));
});
