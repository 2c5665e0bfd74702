//! Where a reply goes: pure, told the queue that the sender asked for.

use wildmatch::WildMatch;

use crate::broker::intake::Source;
use crate::broker::topology::Queues;
use crate::retry::tier::Tier;

/// The rule for `reply_to`, which any sender can set to anything.
#[derive(Debug, Clone)]
pub struct ReplyRoutes {
    queues: Queues,
    allow: Vec<WildMatch>,
}

/// The queue of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// The one that the sender asked for.
    Requested(&'a str),
    /// The configured one, because the sender asked for none.
    Default(&'a str),
    /// The configured one, because what the sender asked for is not allowed.
    Overruled(&'a str),
}

impl<'a> Route<'a> {
    /// The queue's name.
    pub fn queue(self) -> &'a str {
        match self {
            Self::Requested(queue) | Self::Default(queue) | Self::Overruled(queue) => queue,
        }
    }
}

impl ReplyRoutes {
    /// `allow` holds patterns in which `*` stands for any text and `?` for any character.
    pub fn new(queues: Queues, allow: &[String]) -> Self {
        Self { queues, allow: allow.iter().map(|pattern| WildMatch::new(pattern)).collect() }
    }

    /// Where the reply to a job goes. Never to a queue of the worker's own: a reply there would be taken for a job.
    pub fn route<'a>(&'a self, reply_to: Option<&'a str>) -> Route<'a> {
        match reply_to {
            None => Route::Default(&self.queues.replies),
            Some(asked) if self.allows(asked) => Route::Requested(asked),
            Some(_) => Route::Overruled(&self.queues.replies),
        }
    }

    /// Whether a sender may have its replies there.
    pub fn allows(&self, queue: &str) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(queue)) && !self.queues.is_own(queue)
    }

    /// Where replies go that no queue would take.
    pub fn undeliverable(&self) -> String {
        self.queues.undeliverable()
    }

    /// Where jobs come from.
    pub fn jobs(&self) -> &str {
        &self.queues.jobs
    }

    /// A queue that the worker takes jobs from.
    pub fn source(&self, source: Source) -> String {
        match source {
            Source::Jobs => self.queues.jobs.clone(),
            Source::Overflow => self.queues.overflow(),
            Source::Held => self.queues.held(),
        }
    }

    /// Where jobs wait to be tried again.
    pub fn retry(&self, tier: Tier) -> String {
        self.queues.retry(tier)
    }

    /// Where parked messages go.
    pub fn dead(&self) -> String {
        self.queues.dead()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(allow: &[&str]) -> ReplyRoutes {
        let queues = Queues { jobs: "jobs".to_owned(), replies: "replies".to_owned() };
        ReplyRoutes::new(queues, &allow.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_reply_goes_where_the_sender_asked_if_that_is_allowed() {
        let routes = routes(&["crm.*", "amq.rabbitmq.reply-to.*"]);
        for asked in ["crm.replies", "amq.rabbitmq.reply-to.g1h2AA=="] {
            assert_eq!(routes.route(Some(asked)), Route::Requested(asked));
        }
        assert_eq!(routes.route(Some("other")), Route::Overruled("replies"));
        assert_eq!(routes.route(None), Route::Default("replies"));
    }

    #[test]
    fn a_reply_never_goes_to_a_queue_of_the_workers_own() {
        let routes = routes(&["*"]);
        for own in ["jobs", "jobs.dead", "jobs.undeliverable", "jobs.retry.10s"] {
            assert_eq!(routes.route(Some(own)), Route::Overruled("replies"), "{own}");
        }
        assert_eq!(routes.route(Some("replies")), Route::Requested("replies"));
    }
}
