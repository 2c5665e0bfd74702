//! Whether every job since the start was refused with the same code: then it may be the configuration that is wrong. Pure.

use std::collections::HashSet;

use crate::contract::ids::JobId;
use crate::flow::Failure;
use crate::retry::verdict::Verdict;

/// So many different jobs have to be.
const JOBS: usize = 50;

/// What the creates since the start have come to.
#[derive(Debug)]
pub(super) enum FirstAnswers {
    /// These were refused with this code, and none was created.
    Refused { code: Option<String>, jobs: HashSet<JobId> },
    /// They are enough to ask whether it is the configuration.
    Suspicious { code: Option<String> },
    /// It is not: one was created, or refused for another reason.
    Ordinary,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It may be the configuration.
    Suspicion,
    /// It was not, or it is right now.
    AllClear,
}

impl FirstAnswers {
    pub(super) fn new() -> Self {
        Self::Refused { code: None, jobs: HashSet::new() }
    }

    /// A create of this job has ended; gives what is to be told now. A failure that is no refusal says nothing.
    pub(super) fn seen(&mut self, job: &JobId, failure: Option<&Failure>) -> Option<Told> {
        if failure.is_some_and(|failure| failure.kind.verdict() != Verdict::Fail) {
            return None;
        }
        let refused = failure.and_then(|failure| failure.flow_code.clone());
        match self {
            Self::Refused { code, jobs } if refused.is_some() && (code.is_none() || *code == refused) => {
                jobs.insert(job.clone());
                *code = refused;
                if jobs.len() < JOBS {
                    return None;
                }
                *self = Self::Suspicious { code: code.take() };
                Some(Told::Suspicion)
            }
            Self::Suspicious { code } if *code == refused => None,
            Self::Suspicious { .. } => {
                *self = Self::Ordinary;
                Some(Told::AllClear)
            }
            Self::Refused { .. } | Self::Ordinary => {
                *self = Self::Ordinary;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FailureKind;

    fn job(number: usize) -> JobId {
        JobId::parse(&format!("job-{number}")).unwrap()
    }

    fn refusal(code: &str) -> Failure {
        let flow_code = Some(code.to_owned());
        Failure { flow_code, ..Failure::new(FailureKind::Refused, "as told".to_owned()) }
    }

    #[test]
    fn fifty_jobs_with_the_same_refusal_and_no_other_are_told_of_once() {
        let mut first = FirstAnswers::new();
        let refusal = refusal("2103-404");
        for number in 0..49 {
            assert_eq!(first.seen(&job(number), Some(&refusal)), None);
        }
        assert_eq!(first.seen(&job(0), Some(&refusal)), None, "a job that comes again");
        let passing = Failure::new(FailureKind::Unavailable, "as told".to_owned());
        assert_eq!(first.seen(&job(99), Some(&passing)), None);
        assert_eq!(first.seen(&job(50), Some(&refusal)), Some(Told::Suspicion));
        assert_eq!(first.seen(&job(51), Some(&refusal)), None);
        assert_eq!(first.seen(&job(52), None), Some(Told::AllClear));
        assert_eq!(first.seen(&job(53), None), None);
    }

    #[test]
    fn another_refusal_clears_the_suspicion() {
        let mut first = FirstAnswers::new();
        let told = (0..60).filter_map(|number| first.seen(&job(number), Some(&refusal("2103-404"))));
        assert_eq!(told.collect::<Vec<_>>(), [Told::Suspicion]);
        assert_eq!(first.seen(&job(61), Some(&refusal("1415-400"))), Some(Told::AllClear));
    }

    #[test]
    fn a_created_job_or_another_refusal_ends_it() {
        for other in [None, Some(refusal("1415-400"))] {
            let mut first = FirstAnswers::new();
            first.seen(&job(100), Some(&refusal("2103-404")));
            assert_eq!(first.seen(&job(101), other.as_ref()), None);
            for number in 0..100 {
                assert_eq!(first.seen(&job(number), Some(&refusal("2103-404"))), None);
            }
        }
    }
}
