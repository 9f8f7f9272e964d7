//! Sums of money that admit what they do not know.

use std::collections::BTreeSet;
use std::fmt;

use super::PriceList;

/// What some servers cost, as far as their prices are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cost {
    /// Of the servers with a price.
    dollars: f64,
    priced: bool,
    unpriced: BTreeSet<Unpriced>,
}

/// An instance type without a price.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unpriced {
    Type(String),
    /// The launch template names the type, and the policy does not.
    OfTemplate,
}

impl Unpriced {
    /// Returns the type, where the policy names it.
    pub fn instance_type(&self) -> Option<&str> {
        match self {
            Self::Type(name) => Some(name),
            Self::OfTemplate => None,
        }
    }
}

impl fmt::Display for Unpriced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.instance_type().unwrap_or("launch template"))
    }
}

impl Cost {
    /// Adds a server of this type that was paid for so many hours.
    pub fn add(&mut self, instance_type: Option<&str>, hours: f64, prices: &PriceList) {
        match instance_type.map(|name| (name, prices.per_hour(name))) {
            Some((_, Some(price))) => {
                self.dollars += hours * price;
                self.priced = true;
            }
            Some((name, None)) => {
                self.unpriced.insert(Unpriced::Type(name.to_owned()));
            }
            None => {
                self.unpriced.insert(Unpriced::OfTemplate);
            }
        }
    }

    /// Adds what others cost.
    pub fn join(&mut self, other: &Self) {
        self.dollars += other.dollars;
        self.priced |= other.priced;
        self.unpriced.extend(other.unpriced.iter().cloned());
    }

    /// Returns the dollars, if the price of every server is known.
    pub fn whole(&self) -> Option<f64> {
        self.unpriced.is_empty().then_some(self.dollars)
    }

    /// Returns the dollars of the servers whose price is known; `None` if there are only others.
    pub fn known_part(&self) -> Option<f64> {
        (self.priced || self.unpriced.is_empty()).then_some(self.dollars)
    }

    /// Returns the types without a price.
    pub fn unpriced(&self) -> &BTreeSet<Unpriced> {
        &self.unpriced
    }
}

/// `$1.23`, `$1.23 without 2 types of unknown price`, `no price known`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(dollars) = self.known_part() else { return f.write_str("no price known") };
        write!(f, "${dollars:.2}")?;
        match self.unpriced.len() {
            0 => Ok(()),
            1 => f.write_str(" without 1 type of unknown price"),
            n => write!(f, " without {n} types of unknown price"),
        }
    }
}
