//! A panic as a value, so that what it ended can be begun again and whoever waits for it is told.
//!
//! Invariant: what panicked is not polled again. What it had in hand goes when it is dropped, which is the caller's
//! moment to choose.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// What comes of some work; `None` when it panicked. The panic itself was told by the process's hook.
pub async fn caught<F: Future>(mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        // Nothing of the work is looked at after a panic, so nothing broken is seen.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
