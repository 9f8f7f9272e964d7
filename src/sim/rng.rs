//! Randomness from one seed: each purpose has a generator of its own, so that a new fault leaves the
//! load as it was.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and good enough to imagine a world with.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let digest = Sha256::digest(format!("{seed}\n{purpose}").as_bytes());
        let state =
            digest.iter().take(8).fold(0_u64, |state, byte| (state << 8) | u64::from(*byte));
        Self(state)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`, from the 53 bits that a float holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float's mantissa")]
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform from 0 to `last`, both included.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "the product is below `last + 1`, and small"
    )]
    pub fn up_to(&mut self, last: usize) -> usize {
        ((self.unit() * (last as f64 + 1.0)) as usize).min(last)
    }

    /// Uniform between the two.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.unit())
    }

    /// Exponentially distributed with this mean: the gap to the next of many independent arrivals.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        // `1 - unit` is never zero, so the logarithm is finite.
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_purpose_give_the_same_draws() {
        let draws = |seed, purpose: &str| {
            let mut rng = Rng::new(seed, purpose);
            (0..4).map(|_| rng.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(7, "load"), draws(7, "load"));
        assert_ne!(draws(7, "load"), draws(7, "boots"));
        assert_ne!(draws(7, "load"), draws(8, "load"));
    }

    #[test]
    fn exponential_gaps_have_their_mean() {
        let mut rng = Rng::new(1, "gaps");
        let mean = Duration::from_secs(10);
        let total: Duration = (0..20_000).map(|_| rng.exponential(mean)).sum();
        let measured = total.as_secs_f64() / 20_000.0;
        assert!((9.5..10.5).contains(&measured), "{measured}");
    }
}
