//! How often messages are moved about.

use std::collections::BTreeMap;

use super::{Broken, Ledger, broken};
use crate::bounds::{MOVES_A_SECOND, MOVES_OF_A_JOB};
use crate::broker::ledger::Move;
use crate::job::id;

impl Ledger {
    pub(super) fn moves_are_bounded(&self) -> Result<(), Broken> {
        const WINDOW: u32 = 30_000;
        let workers = self.seen.unsettled.len().max(1);
        let moves = &self.seen.moves;
        let (mut of_job, mut first): (BTreeMap<u32, usize>, usize) = (BTreeMap::new(), 0);
        for (index, next) in moves.iter().enumerate() {
            let often = of_job.entry(next.job).or_default();
            *often += 1;
            // A lost link may leave a copy behind, which is moved as well.
            if *often > MOVES_OF_A_JOB + self.seen.links_lost {
                let queues = self.queues(moves[first..=index].iter().filter(|one| one.job == next.job));
                let text = format!("{} was moved {often} times in 30 s: {queues}", id(next.job));
                return broken("6 bounds", Some(next.job), text);
            }
            while moves[first].at + WINDOW < next.at {
                let old = moves[first].job;
                first += 1;
                if let Some(often) = of_job.get_mut(&old) {
                    *often -= 1;
                    if *often == 0 {
                        of_job.remove(&old);
                    }
                }
            }
            let (often, most) = (index + 1 - first, workers * 30 * MOVES_A_SECOND + of_job.len());
            if often > most {
                let queues = self.queues(moves[first..=index].iter());
                let text = format!("{often} messages were moved about in 30 s, at most {most}: {queues}");
                return broken("6 bounds", None, text);
            }
        }
        Ok(())
    }

    /// How many messages were moved to which queue.
    fn queues<'a>(&self, moves: impl Iterator<Item = &'a Move>) -> String {
        let mut often: BTreeMap<usize, usize> = BTreeMap::new();
        for one in moves {
            *often.entry(one.queue).or_default() += 1;
        }
        let each = often.iter().map(|(queue, often)| format!("{often} to {}", self.queue_names[*queue]));
        each.collect::<Vec<_>>().join(", ")
    }
}
