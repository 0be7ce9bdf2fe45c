//! Chance that can be repeated.
//!
//! Invariant: the same seed, the same throws, on every machine.

/// A small generator.
#[derive(Debug, Clone)]
pub struct Dice(u64);

/// Spreads a number over all bits, so that neighbouring seeds have nothing in common.
pub fn mix(seed: u64) -> u64 {
    // splitmix64
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed).max(1))
    }

    /// From what the machine has to offer; the seed is told for a repetition.
    pub fn seed() -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().0 >> 16
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below the limit.
    pub fn roll(&mut self, below: u64) -> u64 {
        (self.next() >> 11) % below.max(1)
    }

    /// True once in so many throws.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.roll(many) == 0
    }

    /// Dice of their own for somebody else.
    pub fn child(&mut self) -> Self {
        Self::new(self.next())
    }
}
