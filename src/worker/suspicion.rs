//! Whether a delivery may be one that kills the worker: pure, told what the broker and the job's headers say.
//!
//! A message that ends the process takes everything in hand with it, and all of that comes again, killer and innocent
//! alike; the broker counts them alike, and counts a mere hand-back too (up to RabbitMQ 4.2). So its count only raises a
//! suspicion. A suspect is noted (published anew with a header of ours, then acknowledged), tried with nothing else in
//! hand, and parked when that ended the session several times over. One that survives is a job like any other.

/// So many deliveries that ended badly raise a suspicion (`x-delivery-count`, quorum queues). A job can have a few without
/// being to blame: a restart of the broker or of a neighbour.
const DELIVERIES: u64 = 3;

/// So many times it is tried alone. High, because a worker that is killed by somebody else takes the blame out on whatever
/// it was trying.
const TRIALS: u32 = 5;

/// How to treat a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// As any other.
    None,
    /// Note what is known of it before anything else: it comes again with this in its headers.
    Note(u32),
    /// Try it with nothing else in hand.
    Alone,
    /// It has ended the session too often.
    Guilty,
}

/// `trials` is what was noted, `delivery_count` the broker's count since then; a classic queue has none and only tells
/// that a message was delivered before.
pub(super) fn of(trials: Option<u32>, redelivered: bool, delivery_count: Option<u64>) -> Suspicion {
    match (trials, delivery_count) {
        (None, Some(count)) if count >= DELIVERIES => Suspicion::Note(1),
        (None, Some(_)) => Suspicion::None,
        (None, None) if redelivered => Suspicion::Note(0),
        (None | Some(0), _) if !redelivered => Suspicion::None,
        (Some(trials), _) if redelivered && trials >= TRIALS => Suspicion::Guilty,
        (Some(trials), _) if redelivered => Suspicion::Note(trials + 1),
        (Some(_), _) => Suspicion::Alone,
        (None, None) => Suspicion::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killer_on_a_quorum_queue_is_noted_tried_alone_and_parked() {
        assert_eq!(of(None, false, None), Suspicion::None, "RabbitMQ sends no count with a first delivery");
        assert_eq!(of(None, true, Some(1)), Suspicion::None);
        assert_eq!(of(None, true, Some(2)), Suspicion::None);
        assert_eq!(of(None, true, Some(3)), Suspicion::Note(1));
        assert_eq!(of(Some(1), false, None), Suspicion::Alone);
        assert_eq!(of(Some(1), true, Some(1)), Suspicion::Note(2));
        assert_eq!(of(Some(5), false, None), Suspicion::Alone);
        assert_eq!(of(Some(5), true, Some(1)), Suspicion::Guilty);
    }

    #[test]
    fn on_a_classic_queue_the_first_redelivery_is_noted_too() {
        assert_eq!(of(None, true, None), Suspicion::Note(0));
        assert_eq!(of(Some(0), false, None), Suspicion::None);
        assert_eq!(of(Some(0), true, None), Suspicion::Note(1));
        assert_eq!(of(Some(1), false, None), Suspicion::Alone);
        assert_eq!(of(Some(2), true, None), Suspicion::Note(3));
        assert_eq!(of(Some(5), true, None), Suspicion::Guilty);
    }

    #[test]
    fn what_comes_for_the_first_time_is_never_suspected() {
        for trials in [None, Some(0)] {
            assert_eq!(of(trials, false, None), Suspicion::None);
        }
    }
}
