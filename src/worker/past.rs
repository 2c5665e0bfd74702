//! What is known of a job from its earlier deliveries, and what the next one has to know.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::broker::delivery::Delivery;
use crate::broker::intake::Source;
use crate::clock;
use crate::contract::history::History;
use crate::handler::{Learned, Past};
use crate::retry::doubt::Doubt;

/// What is known about earlier attempts. A call of theirs may still be under way, for as long as `settle`, if nobody has
/// noted when it must be over: after a lost session, and when a sender or an operator has sent the job again.
pub(super) fn past(history: &History, redelivered: bool, settle: Duration) -> Past {
    let left = |at: Timestamp| Duration::try_from(at.duration_since(clock::now())).unwrap_or_default();
    let doubt = match (redelivered, history.attempts, history.settled_at.map(left)) {
        (false, None, _) => Doubt::None,
        (false, Some(_), Some(Duration::ZERO)) if history.undone == history.attempts => Doubt::Unlikely,
        (false, Some(_), Some(Duration::ZERO)) => Doubt::Settled,
        (false, Some(_), Some(left)) => Doubt::Open(Instant::now() + left.min(settle)),
        (true, ..) | (false, Some(_), None) => Doubt::Open(Instant::now() + settle),
    };
    Past {
        attempts: history.attempts.unwrap_or_default(),
        first_seen_at: history.first_seen_at,
        since: history.since,
        doubt,
        looked: history.looked && !redelivered,
    }
}

/// What the next delivery of a job has to know. What was noted before stays; but a job that has made a create, and ended no
/// session, has survived its trials. One that has ended a session keeps that in mind until then.
pub(super) fn noted(delivery: &Delivery, began: Timestamp, attempts: u32, learned: Learned) -> History {
    let before = &delivery.history;
    let is_first = !delivery.redelivered && before.attempts.is_none();
    let Learned { unsettled, undone, looked, tried } = learned;
    History {
        attempts: Some(attempts),
        first_seen_at: before.first_seen_at.or(Some(began)),
        since: before.since.or(is_first.then_some(began)),
        settled_at: clock::now().checked_add(unsettled).ok(),
        undone: undone.then_some(attempts),
        looked,
        trials: trials(delivery).filter(|_| !tried),
    }
}

/// The same, if nothing is known of calls that may be under way for as long as `settle`.
pub(super) fn unknown(settle: Duration) -> Learned {
    Learned { unsettled: settle, undone: false, looked: false, tried: true }
}

/// The same, of a job that goes to another queue before it has begun. From then on there may be two copies of it, if the
/// worker ends just then; so whoever comes to a copy looks first. Moves to the overflow are the one exception, because one
/// call more for each job of a flood would double its cost: there the copy is ahead, and what is delivered again goes behind
/// it and looks (see [`is_to_go_behind`]).
pub(super) fn moved(delivery: &Delivery, came: Timestamp, settle: Duration, to: Source) -> History {
    let before = &delivery.history;
    let is_new = !delivery.redelivered && before.attempts.is_none();
    let first_seen_at = before.first_seen_at.or(Some(came));
    if is_new && to == Source::Overflow {
        return History { first_seen_at, ..before.clone() };
    }
    let attempts = before.attempts.unwrap_or_default();
    let since = before.since.or(is_new.then_some(came));
    if delivery.redelivered {
        let settled_at = clock::now().checked_add(settle).ok();
        let attempts = Some(attempts);
        let trials = trials(delivery);
        return History { attempts, first_seen_at, since, settled_at, undone: None, looked: false, trials };
    }
    let settled_at = before.settled_at.or_else(|| is_new.then(clock::now));
    let undone = if is_new { Some(0) } else { before.undone };
    History { attempts: Some(attempts), first_seen_at, since, settled_at, undone, ..before.clone() }
}

/// A job that was delivered before may have a copy in the overflow that knows nothing of it: its worker was moving it when
/// its session ended. The queue keeps the order, so behind that copy it comes second, and looks.
pub(super) fn is_to_go_behind(delivery: &Delivery) -> bool {
    delivery.source != Source::Held && delivery.redelivered && delivery.history.trials.is_none()
}

/// How often the job is known to have ended a session; from the first time on it is kept in mind.
fn trials(delivery: &Delivery) -> Option<u32> {
    delivery.history.trials.or(delivery.redelivered.then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn history(attempts: u32, undone: Option<u32>) -> History {
        let settled_at = Some(Timestamp::now());
        History { attempts: Some(attempts), undone, settled_at, ..History::default() }
    }

    #[test]
    fn only_if_all_attempts_did_nothing_and_no_other_delivery_may_have_there_is_no_serious_doubt() {
        let doubt = |history: History, redelivered| past(&history, redelivered, SETTLE).doubt;
        assert_eq!(doubt(History::default(), false), Doubt::None);
        assert_eq!(doubt(history(2, Some(2)), false), Doubt::Unlikely);
        for (attempts, undone) in [(3, Some(2)), (1, Some(2)), (2, None)] {
            assert_eq!(doubt(history(attempts, undone), false), Doubt::Settled);
        }
        assert!(matches!(doubt(history(2, Some(2)), true), Doubt::Open(_)));
        let unsettled = History { settled_at: None, ..history(2, Some(2)) };
        assert!(matches!(doubt(unsettled, false), Doubt::Open(_)));
    }
}
