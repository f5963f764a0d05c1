//! Many nodes against one Core, under every fault the link promises to survive.
//!
//! `BEE_LINK_SEED=<n>` runs one seed, as printed by a failure; `BEE_LINK_SEEDS=<n>` runs so many
//! from 0 on (300 without it).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a simulation that meets the unexpected has to stop, and its helpers are not test functions"
)]

mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_event_is_stored_once_or_counted_as_dropped_and_every_command_ends() {
    let seeds = match setting("BEE_LINK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("BEE_LINK_SEEDS").unwrap_or(300),
    };
    let mut total = sim::Tally::default();
    for seed in seeds.clone() {
        match catch_unwind(AssertUnwindSafe(|| sim::run(seed))) {
            Ok(tally) => total.add(&tally),
            Err(panic) => {
                eprintln!("seed {seed} failed; repeat it with BEE_LINK_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    eprintln!("{total:?}");
    if seeds.end - seeds.start >= 100 {
        total.assert_faults_happened();
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    assert_eq!(sim::run(7), sim::run(7));
}
