//! End to end: the real `belt`, real components, real files.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod belt;
mod live;

mod address_space;
mod anew;
mod barrier;
mod examples;
mod grants;
mod held_up;
mod owner;
mod pages;
mod readme;
mod removal;
mod rerun;
mod room;
mod runs;
mod terminal;

mod cancel;
mod crash;
mod crash_checks;
mod crash_config;
mod crash_lost;
mod documents;
mod documents_harmless;
mod documents_lint;
mod documents_taken;
mod documents_together;
mod state;
mod state_damage;
mod state_disk;

mod compile_child;
mod compile_limits;
mod compile_made;
mod compiled;
mod component;
mod crowd;
mod driver_files;
mod driver_files_inspect;
mod driver_files_made;
mod driver_files_manifest;
mod hostile;
mod hostile_files;
mod hostile_holders;
mod hostile_limits;
mod hostile_log;
mod ledger;
mod sandbox;
mod sandbox_files;
mod sandbox_log;
mod sandbox_network;

mod http;
mod up;
mod up_bounds;
mod up_catalog;
mod up_docs;
mod up_drivers;
mod up_events;
mod up_found;
mod up_guard;
mod up_hostile;
mod up_killed;
mod up_kinds;
mod up_load;
mod up_logs;
mod up_metrics;
mod up_moves;
mod up_one;
mod up_out;
mod up_renewed;
mod up_repeats;
mod up_resources;
mod up_resync;
mod up_runs;
mod up_slow;
mod up_token;

mod conveyor;
mod native;
mod native_answers;
mod native_broker;
mod native_faults;
mod native_killed;
mod native_login;
mod native_programs;
mod native_registered;
mod nats;
mod program;
mod proxy;
mod wire_doc;
