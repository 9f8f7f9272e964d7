//! Queue readings and health checks. What a body says is plain code over bytes, which fuzzers and
//! tests reach without a network; asking for it over HTTP is the feature `net`.

pub mod body;
pub mod health;
#[cfg(feature = "net")]
pub mod http;
pub mod queue;

#[cfg(feature = "net")]
pub use self::http::HttpProbe;
