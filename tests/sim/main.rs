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

use self::explore::{can_be_seen, family, is_repeatable};
use self::scenario::{
    blocked, broker_loss, brown_out, calm, checks_fail, copies, credentials, doubt, few_calls, flapping,
    flood, held_doubt, held_up, hopeless, ims_down, kills, long_flood, lost_answers, moved, one_ill_part,
    one_refusal, outage, publish_loss, quiet_crowd, reads_or_writes, refusals, retry_after, retry_budget,
    scaling, scarce, slow_parts, suspects, throttling, two_ill_parts, windows,
};

#[test]
fn blocked_publishers_begin_nothing() {
    family("blocked", blocked::plan);
}

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
fn copies_of_a_job_share_one_connection() {
    family("copies", copies::plan);
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
fn few_calls_at_a_time_are_all_made() {
    family("few_calls", few_calls::plan);
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
fn held_doubt_is_not_forgotten() {
    family("held_doubt", held_doubt::plan);
}

#[test]
fn held_up_replies_bound_what_is_in_flight() {
    family("held_up", held_up::plan);
}

#[test]
fn hopeless_jobs_are_given_up_after_their_attempts() {
    family("hopeless", hopeless::plan);
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
fn long_flood_leaves_room_for_others() {
    family("long_flood", long_flood::plan);
}

#[test]
fn lost_answers_are_looked_up_at_once() {
    family("lost_answers", lost_answers::plan);
}

#[test]
fn moved_jobs_are_taken_back_by_others() {
    family("moved", moved::plan);
}

#[test]
fn one_ill_part_leaves_the_others_alone() {
    family("one_ill_part", one_ill_part::plan);
}

#[test]
fn one_refusal_concerns_nobody_else() {
    family("one_refusal", one_refusal::plan);
}

#[test]
fn outage_is_met_with_few_calls() {
    family("outage", outage::plan);
}

#[test]
fn publish_loss_alone_loses_nothing() {
    family("publish_loss", publish_loss::plan);
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
fn retry_after_is_waited_for() {
    family("retry_after", retry_after::plan);
}

#[test]
fn retry_budget_bounds_what_is_repeated() {
    family("retry_budget", retry_budget::plan);
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
fn two_ill_parts_recover_each_in_its_time() {
    family("two_ill_parts", two_ill_parts::plan);
}

/// By the other families, that it is in no other case.
#[test]
fn windows_let_a_second_connection_through() {
    can_be_seen("windows_late_effect", windows::late_effect);
    can_be_seen("windows_lagging_list", windows::lagging_list);
    can_be_seen("windows_no_marker", windows::no_marker);
    can_be_seen("windows_published_twice", windows::published_twice);
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
