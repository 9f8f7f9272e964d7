//! Who is at the other end of the socket, by the kernel's word: what a request says of its owner is
//! only what somebody typed.

use std::time::Duration;

use nix::unistd::{Uid, User};
use tokio::net::UnixStream;
use tokio::net::unix::uid_t;

use tidegate_engine::model::fault::printable;

/// Names may come from a directory on the network, which may be away; the number is known anyhow.
const NAMED_WITHIN: Duration = Duration::from_secs(2);

/// The user of the process that connected; `None`: the kernel does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller(Option<uid_t>);

impl Caller {
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self(stream.peer_cred().ok().map(|peer| peer.uid()))
    }

    /// The owner of an order, as the record has it: `owner` as it was said, and the user beside it
    /// where that is another.
    pub(super) async fn signs(self, owner: &str) -> String {
        let Self(Some(uid)) = self else { return format!("{owner} (user unknown)") };
        let asked = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
        let named = match tokio::time::timeout(NAMED_WITHIN, asked).await {
            Ok(Ok(Ok(user))) => user.map(|user| printable(&user.name, 32)),
            Ok(_) | Err(_) => None,
        };
        match named {
            Some(name) if name == owner => name,
            Some(name) => format!("{owner} (user {name})"),
            None => format!("{owner} (uid {uid})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_is_signed_by_who_gave_it_whatever_it_says() {
        let root = Caller(Some(0));
        assert_eq!(root.signs("root").await, "root");
        assert_eq!(root.signs("ann").await, "ann (user root)");
        // No host has given this number to anybody.
        assert_eq!(Caller(Some(4_000_000_123)).signs("ann").await, "ann (uid 4000000123)");
        assert_eq!(Caller(None).signs("ann").await, "ann (user unknown)");
    }
}
