//! `retry-plan`: what the settings of trying again come to, and what each failure leads to.
//!
//! Decides nothing: it asks the code that does.

mod outcomes;

use std::io::{self, Write};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use self::outcomes::{answers, failures};
use super::{Exit, print};
use crate::config::{PlanConfig, PlanOptions};
use crate::handler::Rules;
use crate::retry::plan::{Place, Plan};
use crate::retry::policy::Wait;

/// Options of `retry-plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct RetryPlanOptions {
    /// Print one JSON object; times in seconds
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub plan: PlanOptions,
}

/// What the settings come to.
struct Sums {
    plan: Plan,
    rules: Rules,
    call: Duration,
}

/// Prints the plan.
pub fn run(config: PlanConfig, json: bool) -> Exit {
    let PlanConfig { rules, call } = config;
    let sums = Sums { plan: Plan::of(&rules.policy), rules, call };
    print(|out| if json { writeln!(out, "{:#}", sums.as_json()) } else { sums.write(out) })
}

/// Such as `1h 5m 30s`.
fn words(time: Duration) -> String {
    // Among more than a few seconds a fraction of one is noise.
    let seconds = time.as_secs();
    let rounded = if seconds >= 5 { Duration::from_secs(seconds) } else { time };
    SignedDuration::try_from(rounded).map_or_else(|_| format!("{time:?}"), |time| format!("{time:#}"))
}

impl Sums {
    /// Creates for one job.
    fn creates(&self) -> u32 {
        self.plan.attempts()
    }

    /// Look-ups for one job, if every create leaves a doubt.
    fn lookups(&self) -> u32 {
        self.rules.lookups.most(self.creates())
    }

    /// How long one attempt can take by itself: a create up to its deadline, and what is to be done before the next one.
    fn attempt(&self) -> Duration {
        let lookups = &self.rules.lookups;
        self.call + 2 * lookups.longest(self.call) + lookups.settle
    }

    fn as_json(&self) -> Value {
        let policy = &self.rules.policy;
        let steps: Vec<Value> = self
            .plan
            .steps
            .iter()
            .map(|step| {
                let place = |Place { wait, share }: &Place| json!({ "place": wait.place(), "share": share });
                json!({
                    "afterAttempt": step.attempt,
                    "ceiling": step.ceiling.as_secs_f64(),
                    "places": step.places.iter().map(place).collect::<Vec<_>>(),
                    "nextStartsOnAverage": step.mean.as_secs_f64(),
                    "nextStartsAtTheLatest": step.latest.as_secs_f64(),
                })
            })
            .collect();
        json!({
            "attempts": self.creates(),
            "endedBy": self.plan.limit.as_str(),
            "deadline": policy.deadline.as_secs_f64(),
            "retryAfterMax": policy.max_retry_after.as_secs_f64(),
            "creates": self.creates(),
            "lookups": self.lookups(),
            "longestAttempt": self.attempt().as_secs_f64(),
            "waits": steps,
            "failures": failures().iter().map(outcomes::Failure::as_json).collect::<Vec<_>>(),
            "answers": answers().iter().map(outcomes::answer_as_json).collect::<Vec<_>>(),
        })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_waits(out)?;
        writeln!(out)?;
        self.write_sums(out)?;
        writeln!(out, "\nWhat a failed call leads to:\n")?;
        outcomes::write_failures(out)?;
        writeln!(
            out,
            "\nWhich failure an answer of Flow Service is, by its status, and by its code where that matters:\n"
        )?;
        outcomes::write_answers(out)
    }

    fn write_waits(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{:<14} {:<11} {:<16} {:<13} wait spent",
            "after attempt", "wait up to", "next on average", "at the latest"
        )?;
        for step in &self.plan.steps {
            let likely = step.places.iter().filter(|place| place.share >= 0.005);
            let places: Vec<String> = likely.map(spent).collect();
            let (attempt, ceiling, spent) = (step.attempt, words(step.ceiling), places.join(", "));
            let (mean, latest) = (words(step.mean), words(step.latest));
            writeln!(out, "{attempt:<14} {ceiling:<11} {mean:<16} {latest:<13} {spent}")?;
        }
        Ok(())
    }

    fn write_sums(&self, out: &mut dyn Write) -> io::Result<()> {
        let policy = &self.rules.policy;
        let (creates, lookups) = (self.creates(), self.lookups());
        writeln!(
            out,
            "At the most {creates} attempts for one job; what ends them: {}.",
            self.plan.limit.as_str()
        )?;
        writeln!(
            out,
            "No attempt starts later than {} after the first (RETRY_DEADLINE).",
            words(policy.deadline)
        )?;
        writeln!(
            out,
            "A Retry-After comes before the wait that is drawn, up to {} each time (RETRY_AFTER_MAX).",
            words(policy.max_retry_after)
        )?;
        writeln!(
            out,
            "Calls for one job: at the most {creates} creates, and {lookups} look-ups if each leaves a doubt."
        )?;
        writeln!(
            out,
            "Besides its wait an attempt can take {}, if every call takes as long as it may.",
            words(self.attempt())
        )
    }
}

/// Where a wait is spent, and how likely that is.
fn spent(Place { wait, share }: &Place) -> String {
    let place = match wait {
        Wait::Held(_) => "in hand".to_owned(),
        Wait::Queued(tier) => format!("retry.{}", tier.as_str()),
    };
    if *share > 0.995 { place } else { format!("{place} {:.0} %", share * 100.0) }
}
