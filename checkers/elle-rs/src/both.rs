//! Two things at once, where that pays.

/// Work below this many steps is sooner done than a thread is started.
const WORTH_A_THREAD: usize = 100_000;

/// Both results; `steps` says about how much work it is. The first is done by this thread.
pub fn both<A, B: Send>(
    steps: usize,
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    if steps < WORTH_A_THREAD {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        match second.join() {
            Ok(second) => (first, second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
