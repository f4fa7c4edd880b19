//! The network's own rules for how work is cut up, which say what is held at a time, asked with
//! numbers that are of 64 bits everywhere.

use crate::network;

/// As a length; beyond what a machine can address, the longest.
fn length(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// See [`network::lanes`].
pub(super) fn lanes(units: u64, places: u64) -> u64 {
    network::lanes(length(units), length(places)) as u64
}

/// See [`network::gated_lanes`].
pub(super) fn gated_lanes(images: u64) -> u64 {
    network::gated_lanes(length(images)) as u64
}

/// See [`network::winograd_groups`].
pub(super) fn winograd_groups(count: u64, size: (usize, usize)) -> u64 {
    network::winograd_groups(length(count), size) as u64
}

/// See [`network::winograd_lanes`].
pub(super) fn winograd_lanes(units: u64, places: u64) -> u64 {
    network::winograd_lanes(length(units), length(places)) as u64
}

/// See [`network::is_one_sum`].
pub(super) fn is_one_sum(rows: u64, inputs: u64, outputs: u64) -> bool {
    network::is_one_sum(length(rows), length(inputs), length(outputs))
}

/// See [`network::tile_rows`].
pub(super) fn tile_rows(numbers_of_row: u64) -> u64 {
    network::tile_rows(length(numbers_of_row)) as u64
}

/// See [`network::images_together`].
pub(super) fn images_together(places: u64, count: u64) -> u64 {
    network::images_together(length(places), length(count)) as u64
}

/// See [`network::idle_threads`].
pub(super) fn idle_threads(threads: u32, groups: u64) -> u64 {
    network::idle_threads(threads as usize, length(groups)) as u64
}

/// See [`network::pieces_of`].
pub(super) fn pieces_of(multiply_adds: u64, most: u64) -> u64 {
    network::pieces_of(length(multiply_adds), length(most)) as u64
}
