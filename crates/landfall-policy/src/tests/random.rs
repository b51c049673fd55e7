//! Numbers that look random and are the same on every run.

/// xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound
    }

    pub(super) fn one_of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }

    /// A pattern with wildcards.
    pub(super) fn glob(&mut self, letters: &[char], length_max: usize) -> String {
        let length = self.below(length_max + 1);
        (0..length)
            .map(|_| match self.below(5) {
                0 | 1 => '*',
                2 => '?',
                _ => *self.one_of(letters),
            })
            .collect()
    }
}

/// How many cases a property is tried on: `LANDFALL_CASES`, or 100 000.
pub(super) fn case_count() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test is its own edge")]
    let wanted = std::env::var("LANDFALL_CASES");
    wanted.ok().and_then(|count| count.parse().ok()).unwrap_or(100_000)
}
