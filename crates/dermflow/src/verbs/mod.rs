//! One file per verb.

pub mod card;
pub mod check;
pub mod compare;
pub mod completions;
pub mod diff;
pub mod exec;
pub mod export;
pub mod export_lineage;
pub mod forget;
pub mod gc;
pub mod graph;
pub mod init;
pub mod lineage;
pub mod ls;
pub mod plan;
pub mod predict;
pub mod remote;
pub mod reproduce;
pub mod run;
pub mod schema;
pub mod show;
pub mod stages;
pub mod trace;
pub mod verify;
pub mod why;
