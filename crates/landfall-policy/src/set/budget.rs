//! What one question may cost, so that a hostile one gets its answer, or the limit, within a second.

use std::cell::Cell;

use super::{Measure, TooLarge};

/// The most steps of one question, all of it together: less than a second of an optimised build (`cargo bench --bench
/// sets` measures it). A trust policy of one repository takes a thousandth of it. A step is a word of positions that a
/// walk looks at, or what takes as long.
pub const STEPS_MAX: usize = 300_000_000;

/// The steps that are left to a question. Everything that it leads to draws on the same ones.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<usize>,
}

impl Budget {
    /// A question's.
    pub(crate) fn new() -> Self {
        Self { left: Cell::new(STEPS_MAX) }
    }

    /// Takes what something is about to cost.
    ///
    /// # Errors
    /// When there is less; and from then on always.
    pub(crate) fn spend(&self, steps: usize) -> Result<(), TooLarge> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                let count = (STEPS_MAX - self.left.replace(0)).saturating_add(steps);
                Err(TooLarge { count, limit: STEPS_MAX, measure: Measure::Steps })
            }
        }
    }
}
