//! Where the TCP door is. It must never stop the scaling: a port that is taken is a problem to be
//! told, and the daemon goes on without a door.

use std::net::SocketAddr;
use std::str::FromStr;

use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::web::{self, Shown, Site};

/// `--listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        local.as_deref().unwrap_or(text).parse().map(Self::At).map_err(|_| {
            "write an address and a port, 127.0.0.1:8490 say, or `off` for none".to_owned()
        })
    }
}

/// Opens the door, and says where; or why there is none.
pub(super) async fn open(listen: Listen, shown: Shown) -> Result<Option<SocketAddr>, String> {
    let Listen::At(address) = listen else { return Ok(None) };
    let opened = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, address))
    };
    let (listener, address) = opened.await.map_err(|error| {
        format!(
            "no page and no metrics: failed to listen on {address}: {error}; `tidegate run --listen` \
             takes another address, or `off`"
        )
    })?;
    if !address.ip().is_loopback() {
        warn!(
            "whoever reaches {address} can read the page: put a proxy in front of it that asks who \
             it is"
        );
    }
    info!("the page and the metrics are at http://{address}/");
    tokio::spawn(web::serve(listener, Site::new(address, shown)));
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_its_port_or_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        let at = |address: &str| Ok(Listen::At(address.parse().unwrap()));
        assert_eq!("127.0.0.1:8490".parse(), at("127.0.0.1:8490"));
        assert_eq!("localhost:1".parse(), at("127.0.0.1:1"));
        assert_eq!("[::1]:8490".parse(), at("[::1]:8490"));
        for wrong in ["", "8490", ":8490", "127.0.0.1", "ops.example:8490", "localhost:x"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
