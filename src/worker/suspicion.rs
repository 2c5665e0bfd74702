//! Whether a delivery may be one that kills the worker: pure, told what the broker and the job's headers say.
//!
//! A message that ends the process takes everything in hand with it, and all of that comes again, killer and innocent
//! alike; the broker counts them alike, and counts a mere hand-back too (up to RabbitMQ 4.2). So its count only raises a
//! suspicion. A suspect is noted (published anew with a header of ours, then acknowledged) and tried with less and less
//! else in hand, which clears the innocent quickly however many they are; in the end alone. If that ends the session
//! several times over, it is parked. One that survives is a job like any other.

/// So many deliveries that ended badly raise a suspicion (`x-delivery-count`, quorum queues). A job can have a few without
/// being to blame: a restart of the broker or of a neighbour.
const DELIVERIES: u64 = 3;

/// How many jobs may be in hand at each trial. The last ones are alone, and more than one, because a worker that is killed
/// by somebody else takes the blame out on whatever it was trying.
const TRIALS: [u16; 5] = [16, 4, 1, 1, 1];

/// How to treat a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// As any other.
    None,
    /// Note what is known of it before anything else: it comes again with this in its headers.
    Note(u32),
    /// Try it with no more than so many jobs in hand, itself included.
    AtMost(u16),
    /// It has ended the session too often.
    Guilty,
}

/// `trials` is what was noted, `delivery_count` the broker's count since then; a classic queue has none and only tells
/// that a message was delivered before. A count that does not fit that is not the broker's: noting drops it.
pub(super) fn of(trials: Option<u32>, redelivered: bool, delivery_count: Option<u64>) -> Suspicion {
    let Some(trials) = trials else {
        return match (redelivered, delivery_count.unwrap_or(0)) {
            (false, 0) => Suspicion::None,
            (false, _) | (true, 0) => Suspicion::Note(0),
            (true, count) if count >= DELIVERIES => Suspicion::Note(1),
            (true, _) => Suspicion::None,
        };
    };
    let trial = |number: u32| TRIALS.get(usize::try_from(number.checked_sub(1)?).ok()?).copied();
    match (redelivered, trial(trials), trial(trials.saturating_add(1))) {
        (true, _, Some(_)) => Suspicion::Note(trials + 1),
        (true, _, None) => Suspicion::Guilty,
        (false, Some(most), _) => Suspicion::AtMost(most),
        (false, None, _) if trials == 0 => Suspicion::None,
        (false, None, _) => Suspicion::AtMost(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killer_on_a_quorum_queue_is_noted_tried_with_ever_fewer_and_parked() {
        assert_eq!(of(None, false, None), Suspicion::None);
        assert_eq!(of(None, true, Some(1)), Suspicion::None);
        assert_eq!(of(None, true, Some(2)), Suspicion::None);
        assert_eq!(of(None, true, Some(3)), Suspicion::Note(1));
        for (trials, most) in [(1, 16), (2, 4), (3, 1), (4, 1), (5, 1)] {
            assert_eq!(of(Some(trials), false, None), Suspicion::AtMost(most));
            let next = if trials < 5 { Suspicion::Note(trials + 1) } else { Suspicion::Guilty };
            assert_eq!(of(Some(trials), true, Some(1)), next);
        }
    }

    #[test]
    fn on_a_classic_queue_the_first_redelivery_is_noted_too() {
        assert_eq!(of(None, true, None), Suspicion::Note(0));
        assert_eq!(of(Some(0), false, None), Suspicion::None);
        assert_eq!(of(Some(0), true, None), Suspicion::Note(1));
        assert_eq!(of(Some(1), false, None), Suspicion::AtMost(16));
        assert_eq!(of(Some(5), true, None), Suspicion::Guilty);
    }

    #[test]
    fn a_count_that_is_not_the_brokers_is_not_believed() {
        assert_eq!(of(None, false, Some(7)), Suspicion::Note(0));
        assert_eq!(of(None, true, Some(0)), Suspicion::Note(0));
        assert_eq!(of(None, false, Some(0)), Suspicion::None);
    }

    #[test]
    fn what_a_sender_writes_there_is_only_one_more_trial() {
        assert_eq!(of(Some(u32::MAX), false, None), Suspicion::AtMost(1));
        assert_eq!(of(Some(u32::MAX), true, None), Suspicion::Guilty);
    }
}
