//! Bytes as a source of decisions.

/// What is left of an input; at its end every decision is 0.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// At most so many bytes.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::from(self.byte()) % among.len()]
    }

    /// A length: mostly a short one, sometimes one at the edge of what a datagram holds.
    pub fn length(&mut self) -> usize {
        match self.byte() {
            short @ 0..=239 => usize::from(short),
            long => 65_535 - usize::from(self.byte()) * usize::from(long - 239),
        }
    }
}
