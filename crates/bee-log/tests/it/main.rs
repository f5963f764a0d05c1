//! Tests of the log through its public API, in one binary.

mod behaviour;
mod damage;
mod full_disk;
mod kill;
mod model_fs;
mod simulation;
mod support;
