//! Where the TCP door is. It must never stop the scaling: a port that is taken is a problem to be
//! told, and the daemon goes on without a door.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cli::check;
use crate::metrics::Meter;
use crate::web::{self, Site};

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

/// Opens the door, or says why there is none.
pub(super) async fn open(listen: Listen, meter: &Arc<Meter>) -> Result<(), String> {
    let Listen::At(address) = listen else { return Ok(()) };
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
    info!("metrics are at http://{address}/metrics");
    let site = Site { address, meter: meter.clone(), now: Arc::new(check::now) };
    tokio::spawn(web::serve(listener, site));
    Ok(())
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
