//! Messages to one queue that are under way together on one channel, and which of them came back.
//!
//! lapin hands a returned message to whichever confirm comes next, not to its own (measured: with 60 under way, up to 16 %
//! of returned messages were reported on another publish). But it hands out each, and a message is returned before it is
//! confirmed. So once *every* message of a batch is confirmed, all that were returned are known, whoever was told; which
//! ones they are, their ids say. Until then nobody learns that theirs was sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapin::types::ShortString;
use tokio_util::sync::CancellationToken;

/// The `message_id` of a message. Two of the same id in one batch share their fate: both are said to be returned if one
/// is.
pub(super) type Id = Option<ShortString>;

/// What is known of the messages on one channel.
#[derive(Debug)]
pub(super) struct Batch {
    state: Mutex<State>,
    /// Cancelled when there is nothing more to wait for.
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    joined: usize,
    under_way: usize,
    /// The first confirm has come: nobody joins any more, so that there is an end.
    closed: bool,
    broken: bool,
    /// The broker did not take one of them.
    refused: bool,
    returned: Vec<Id>,
}

/// One message's part in a batch. Dropped before its confirm has come, it breaks the batch.
#[derive(Debug)]
pub(super) struct Member {
    batch: Arc<Batch>,
    confirmed: bool,
}

/// How a batch ended for one of its messages that the broker has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A queue has it.
    Routed,
    /// No queue took it.
    Returned,
    /// Another message of the batch did not end well, so nobody knows.
    Unknown,
}

/// What becomes of the channel of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Other messages are under way on it, or it broke.
    Nothing,
    /// It can carry another batch.
    Reuse,
    /// It is to be closed.
    Close,
}

impl Batch {
    /// A new batch, and the part of its first message.
    pub(super) fn open() -> (Arc<Self>, Member) {
        let state = State { joined: 1, under_way: 1, ..State::default() };
        let batch = Arc::new(Self { state: Mutex::new(state), ended: CancellationToken::new() });
        (Arc::clone(&batch), Member { batch, confirmed: false })
    }

    /// A part in the batch, if it is still open.
    pub(super) fn join(self: &Arc<Self>) -> Option<Member> {
        let mut state = self.state();
        if state.closed || state.broken {
            return None;
        }
        state.joined += 1;
        state.under_way += 1;
        Some(Member { batch: Arc::clone(self), confirmed: false })
    }

    /// Whether more than one message has been part of it.
    pub(super) fn is_shared(&self) -> bool {
        self.state().joined > 1
    }

    /// Waits until there is nothing more to wait for.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// The broker's word has come, whether it took the message, and with it perhaps a returned one: anybody's. The last one
    /// of a batch learns what becomes of its channel.
    ///
    /// One on which a message was refused is not used again: RabbitMQ keeps in it which members a quorum queue had, and if the
    /// first of them is down when the channel first publishes, refuses every further message there too (seen on 3.10).
    pub(super) fn confirmed(&mut self, taken: bool, returned: Option<Id>) -> After {
        self.confirmed = true;
        let mut state = self.batch.state();
        state.closed = true;
        state.under_way -= 1;
        state.refused |= !taken;
        state.returned.extend(returned);
        if state.under_way == 0 {
            self.batch.ended.cancel();
        }
        match (state.under_way, state.broken, state.refused) {
            (0, false, false) => After::Reuse,
            (0, false, true) => After::Close,
            _ => After::Nothing,
        }
    }

    /// Waits until every message of the batch is confirmed; then it is known what came of the one with this id.
    pub(super) async fn fate(&self, id: &Id) -> Fate {
        self.batch.ended().await;
        let state = self.batch.state();
        match (state.under_way, state.broken) {
            (0, false) if state.returned.contains(id) => Fate::Returned,
            (0, false) => Fate::Routed,
            _ => Fate::Unknown,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.confirmed {
            self.batch.state().broken = true;
            self.batch.ended.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as it stands in properties")]
    fn id(number: usize) -> Id {
        Some(number.to_string().into())
    }

    fn fate(member: &Member, number: usize) -> Option<Fate> {
        member.fate(&id(number)).now_or_never()
    }

    #[test]
    fn a_message_alone_knows_its_fate_with_its_confirm() {
        let (batch, mut member) = Batch::open();
        assert_eq!(fate(&member, 1), None);
        assert_eq!((member.confirmed(true, None), batch.is_shared()), (After::Reuse, false));
        assert_eq!(fate(&member, 1), Some(Fate::Routed));
    }

    #[test]
    fn nobody_joins_after_the_first_confirm_so_that_there_is_an_end() {
        let (batch, mut first) = Batch::open();
        let mut second = batch.join().unwrap();
        assert_eq!(first.confirmed(true, None), After::Nothing);
        assert!(batch.join().is_none() && batch.is_shared());
        assert_eq!(fate(&first, 1), None, "the other may have been told of its return");
        assert_eq!(second.confirmed(true, Some(id(1))), After::Reuse);
        assert_eq!((fate(&first, 1), fate(&second, 2)), (Some(Fate::Returned), Some(Fate::Routed)));
    }

    #[test]
    fn a_message_that_does_not_end_well_leaves_the_others_in_doubt_at_once() {
        let (batch, mut first) = Batch::open();
        let (second, mut third) = (batch.join().unwrap(), batch.join().unwrap());
        assert_eq!(first.confirmed(true, None), After::Nothing);
        drop(second);
        assert_eq!(fate(&first, 1), Some(Fate::Unknown));
        assert_eq!((third.confirmed(true, None), batch.join().is_none()), (After::Nothing, true));
        assert_eq!(fate(&third, 3), Some(Fate::Unknown));
    }

    #[test]
    fn a_refused_message_leaves_the_others_fate_clear_but_not_the_channel() {
        let (batch, mut first) = Batch::open();
        let mut second = batch.join().unwrap();
        assert_eq!(first.confirmed(false, None), After::Nothing);
        assert_eq!(second.confirmed(true, None), After::Close);
        assert_eq!(fate(&second, 2), Some(Fate::Routed));
    }

    proptest! {
        /// lapin as it is: confirms come in any order, and each takes along whichever return has been waiting longest.
        #[test]
        fn every_return_finds_its_message_whoever_was_told(
            messages in proptest::collection::vec((any::<bool>(), any::<u32>()), 1..40),
        ) {
            let (batch, first) = Batch::open();
            let mut order: Vec<_> = (0..messages.len()).collect();
            order.sort_by_key(|number| messages[*number].1);
            let mut members = vec![first];
            members.resize_with(messages.len(), || batch.join().unwrap());
            // The broker returns at once, and confirms when a queue has written the message.
            let mut waiting = (0..messages.len()).filter(|number| messages[*number].0);
            for number in order {
                members[number].confirmed(true, waiting.next().map(id));
            }
            for (number, member) in members.iter().enumerate() {
                let expected = if messages[number].0 { Fate::Returned } else { Fate::Routed };
                prop_assert_eq!(fate(member, number), Some(expected));
            }
        }
    }
}
