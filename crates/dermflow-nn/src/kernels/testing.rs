//! Numbers for tests, and how near results must be.

/// Numbers between -1 and 1 that look random and are the same for a seed.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Fails unless the two differ by at most `tolerance`, or that share of `expected`.
#[track_caller]
pub(crate) fn close(found: f32, expected: f64, tolerance: f64) {
    let bound = tolerance * expected.abs().max(1.0);
    assert!(
        (f64::from(found) - expected).abs() <= bound,
        "{found} is not near {expected}"
    );
}
