//! Numbers of servers. Arithmetic saturates: a capacity is never negative and never wraps.

/// A number of servers.
pub type Capacity = u32;

/// Minimum and maximum capacity of a fleet; minimum never above maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    min: Capacity,
    max: Capacity,
}

impl Bounds {
    /// `None` when `min` is above `max`.
    pub fn new(min: Capacity, max: Capacity) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    pub fn min(self) -> Capacity {
        self.min
    }

    pub fn max(self) -> Capacity {
        self.max
    }

    pub fn clamp(self, capacity: Capacity) -> Capacity {
        capacity.clamp(self.min, self.max)
    }
}

/// How many things there are, as a capacity; held at the largest capacity.
pub fn count<T>(things: impl IntoIterator<Item = T>) -> Capacity {
    Capacity::try_from(things.into_iter().count()).unwrap_or(Capacity::MAX)
}

/// Half of `n`, rounded down.
pub(crate) fn half_floor(n: Capacity) -> Capacity {
    n >> 1
}

/// Fewer servers than this are not worth a question.
const FEW: Capacity = 2;

/// Returns whether a change ends more than half of a fleet, and two servers or more: a digit too few is
/// the most likely way to lose a fleet.
pub fn is_large_cut(from: Capacity, to: Capacity) -> bool {
    from.saturating_sub(to) >= FEW && to.saturating_mul(2) < from
}
