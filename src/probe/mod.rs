//! Queue readings and health checks. What a body says is plain code over bytes, which fuzzers and
//! tests reach without a network; asking for it over HTTP is the feature `aws`.

pub mod body;
pub mod health;
#[cfg(feature = "aws")]
mod http;
pub mod queue;

#[cfg(feature = "aws")]
pub use self::http::HttpProbe;
