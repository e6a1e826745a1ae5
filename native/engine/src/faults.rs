//! Panics of our threads: caught, and put into words for the owner instead of on stderr.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
    static SAID: Cell<Option<String>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs something to its end, or to a panic, of which it returns what and where.
pub fn catch(work: impl FnOnce()) -> Result<(), String> {
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if IS_OURS.get() {
                SAID.set(Some(panic.to_string()));
            } else {
                others(panic);
            }
        }));
    });
    IS_OURS.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_OURS.set(false);
    outcome.map_err(|_| SAID.take().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        assert_eq!(catch(|| ()), Ok(()));
        let told = catch(|| panic!("at {}", "last")).unwrap_err();
        assert!(told.contains("at last") && told.contains("faults.rs"), "{told}");
    }
}
