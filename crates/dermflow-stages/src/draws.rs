//! Seeded draws that belong to a sample: each hangs on the seed, what it is for and the
//! sample's id alone, so that other samples, threads and order never move it.
//!
//! Must not know what is drawn.

/// The draws of one kind for one purpose.
pub struct Draws([u8; 32]);

impl Draws {
    /// `purpose` names the kind, the use and a version, and is never changed again.
    pub fn new(purpose: &str, seed: u64) -> Draws {
        Draws(blake3::derive_key(purpose, &seed.to_le_bytes()))
    }

    /// The draw of these bytes, evenly from all of `u64`.
    pub fn of(&self, id: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.0, id);
        // The first 8 of 32 bytes, so the conversion can't fail.
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default())
    }

    /// The draw for the row number `row` of a sample, evenly from 0 up to, without, 1.
    pub fn unit(&self, id: &[u8], row: u64) -> f64 {
        let mut bytes = Vec::with_capacity(id.len() + 8);
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&row.to_le_bytes());
        // 53 bits are what an f64 holds exactly.
        (self.of(&bytes) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_even_and_hang_on_purpose_seed_id_and_row() {
        let draws = Draws::new("dermflow test v1", 3);
        let units: Vec<f64> = (0..4000_u32).map(|id| draws.unit(&id.to_le_bytes(), 0)).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let first = draws.unit(b"a", 0);
        assert_ne!(first, draws.unit(b"a", 1));
        assert_ne!(first, draws.unit(b"b", 0));
        assert_ne!(first, Draws::new("dermflow test v1", 4).unit(b"a", 0));
        assert_ne!(first, Draws::new("dermflow test v2", 3).unit(b"a", 0));
    }
}
