//! A body as it comes in, piece by piece, and never more of it than is wanted.

/// The beginning of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
    most: usize,
    more: bool,
}

impl Body {
    /// Nothing yet, and `most` bytes at the most.
    pub fn at_most(most: usize) -> Self {
        Self { bytes: Vec::new(), most, more: false }
    }

    /// Takes the next piece; whether another one is wanted.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        let room = self.most.saturating_sub(self.bytes.len());
        self.bytes.extend(piece.iter().take(room));
        self.more |= piece.len() > room;
        !self.more
    }

    /// The whole of it; `None`: there was more.
    pub fn whole(&self) -> Option<&[u8]> {
        (!self.more).then_some(self.bytes.as_slice())
    }

    /// As much as was taken.
    pub fn beginning(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pieces: &[&[u8]]) -> (Body, bool) {
        let mut body = Body::at_most(4);
        let wanted = pieces.iter().all(|piece| body.take(piece));
        (body, wanted)
    }

    #[test]
    fn no_more_is_taken_than_is_wanted_and_what_is_cut_is_not_whole() {
        let (all, wanted) = taken(&[b"12", b"", b"34"]);
        assert_eq!((all.whole(), wanted), (Some(b"1234".as_slice()), true));
        for pieces in [[b"12".as_slice(), b"345"], [b"1234", b"5"], [b"", b"12345"]] {
            let (cut, wanted) = taken(&pieces);
            assert_eq!((cut.whole(), cut.beginning(), wanted), (None, b"1234".as_slice(), false));
        }
    }
}
