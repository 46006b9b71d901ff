//! Waiting until something is as it should be, without missing the notice of it.

use std::pin::pin;

use tokio::sync::Notify;

/// Waits until `look` finds something, and looks whenever `notice` is given: to all who wait, after
/// what is looked at has changed.
pub(crate) async fn until<T>(notice: &Notify, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        let mut noticed = pin!(notice.notified());
        // From here on no notice is missed, so what is looked at is not too old.
        noticed.as_mut().enable();
        if let Some(found) = look() {
            return found;
        }
        noticed.await;
    }
}
