//! End-to-end tests through the program, one module per promise.

mod audit;
mod caching;
mod classifying;
mod columns_and_rows;
mod comparing;
mod concurrency;
mod damage;
mod data_edits;
mod determinism;
mod full_disk;
mod heatmaps;
mod hostile;
mod kills;
mod labelling;
mod pictures;
mod planned;
mod predicting;
mod project;
mod readme;
mod running;
mod shared_store;
mod sources;
mod unchanged;
mod values;
mod variants;
mod verbs;
