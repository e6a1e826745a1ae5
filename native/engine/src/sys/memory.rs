//! Bytes at a fixed place, for as long as anybody has a part in them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::slice::from_raw_parts;

/// Zeroed bytes. Whoever gives their place to the kernel keeps a part in them until it has given it back.
pub struct Memory {
    pointer: *mut u8,
    layout: Layout,
}

// It is written to by the kernel alone, at times that its users know.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Memory {
    /// At least one byte, at a multiple of `align`, a power of two.
    pub fn zeroed(length: usize, align: usize) -> Self {
        let layout =
            Layout::from_size_align(length.max(1), align).unwrap_or_else(|_| unreachable!("{align} aligns nothing"));
        // SAFETY: the layout has a size.
        let pointer = unsafe { alloc_zeroed(layout) };
        if pointer.is_null() {
            handle_alloc_error(layout);
        }
        Memory { pointer, layout }
    }

    /// Where it begins.
    pub fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes were allocated there, and zeroed. The kernel writes to none that we read, see Ring.
        unsafe { from_raw_parts(self.pointer, self.layout.size()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.pointer, self.layout) };
    }
}
