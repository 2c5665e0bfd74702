//! Whole histories, simulated: the real worker with its protection, over a broker and a Flow Service in memory, in virtual
//! time. The same seed gives the same history. `make sim` runs a thousand of them, `make sim SEED=… FAMILY=…` one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod bounds;
mod broker;
mod explore;
mod flow;
mod job;
mod ledger;
mod life;
mod parts;
mod plan;
mod scenario;
mod trace;
mod world;

use self::explore::{family, is_repeatable};
use self::scenario::{
    broker_loss, brown_out, calm, checks_fail, credentials, doubt, flapping, flood, held_up, ims_down, kills,
    lost_answers, one_ill_part, outage, quiet_crowd, reads_or_writes, refusals, scaling, scarce, slow_parts,
    suspects, throttling,
};

#[test]
fn broker_loss_loses_no_job_and_creates_none_twice() {
    family("broker_loss", broker_loss::plan);
}

#[test]
fn brown_out_is_met_with_few_repeated_calls() {
    family("brown_out", brown_out::plan);
}

#[test]
fn calm_days_cost_one_call_a_job() {
    family("calm", calm::plan);
}

#[test]
fn checks_fail_and_jobs_are_answered_unverified() {
    family("checks_fail", checks_fail::plan);
}

#[test]
fn credentials_revoked_and_renewed_move_nothing_about() {
    family("credentials", credentials::plan);
}

#[test]
fn doubt_stays_with_every_copy() {
    family("doubt", doubt::plan);
}

#[test]
fn flapping_parts_leave_the_others_alone() {
    family("flapping", flapping::plan);
}

#[test]
fn flood_leaves_room_for_others() {
    family("flood", flood::plan);
}

#[test]
fn held_up_replies_bound_what_is_in_flight() {
    family("held_up", held_up::plan);
}

#[test]
fn ims_down_leaves_fixed_tokens_alone() {
    family("ims_down", ims_down::plan);
}

#[test]
fn kills_lose_no_job_and_create_none_twice() {
    family("kills", kills::plan);
}

#[test]
fn lost_answers_are_looked_up_at_once() {
    family("lost_answers", lost_answers::plan);
}

#[test]
fn one_ill_part_leaves_the_others_alone() {
    family("one_ill_part", one_ill_part::plan);
}

#[test]
fn outage_is_met_with_few_calls() {
    family("outage", outage::plan);
}

#[test]
fn quiet_crowd_leaves_the_slots_to_the_busy() {
    family("quiet_crowd", quiet_crowd::plan);
}

#[test]
fn reads_or_writes_alone_decide_about_themselves() {
    family("reads_or_writes", reads_or_writes::plan);
}

#[test]
fn refusals_now_and_then_are_no_revocation() {
    family("refusals", refusals::plan);
}

#[test]
fn scaling_out_and_in_loses_nothing() {
    family("scaling", scaling::plan);
}

#[test]
fn scarce_calls_end_jobs_that_have_begun() {
    family("scarce", scarce::plan);
}

#[test]
fn slow_parts_leave_the_others_alone() {
    family("slow_parts", slow_parts::plan);
}

#[test]
fn suspects_keep_the_others_waiting_briefly() {
    family("suspects", suspects::plan);
}

#[test]
fn throttling_is_met_with_the_capacity_in_use() {
    family("throttling", throttling::plan);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1..=2 {
        is_repeatable("one_ill_part", one_ill_part::plan, seed);
        is_repeatable("broker_loss", broker_loss::plan, seed);
        is_repeatable("kills", kills::plan, seed);
        is_repeatable("quiet_crowd", quiet_crowd::plan, seed);
    }
}
