//! Changes of files for tests: what a reader must stand.

use proptest::prelude::*;

/// Where, how many bytes, which byte, and how.
pub type Change = (usize, usize, u8, u8);

/// Some changes.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>(), any::<u8>()), 1..6)
}

/// So many tries of a test; `PROPTEST_CASES` tries more often.
pub fn tries(usual: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(usual),
    }
}

/// Changes that keep much of a file: a byte set, a part cut out, a part doubled.
pub fn mutated(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (at, length, byte, how) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        let end = (at + length % 40).min(bytes.len());
        match how % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                // Another number, sign or exponent in place of a digit.
                let digits = bytes.iter().position(|byte| byte.is_ascii_digit());
                if let Some(first) = digits {
                    let put = [
                        &b"-1e308"[..],
                        b"NaN",
                        b"9999999999999999999999",
                        b"-0",
                        b"1e-320",
                    ];
                    let put = put[usize::from(*byte) % put.len()].to_vec();
                    let at = (first + at) % bytes.len();
                    bytes.splice(at..at, put);
                }
            }
        }
    }
    bytes
}
