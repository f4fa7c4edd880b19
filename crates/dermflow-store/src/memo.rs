//! Memos: small files that remember what was worked out from everything else in the store, so
//! that it need not be worked out again.
//!
//! A memo is an index, never the truth: whoever reads one checks that what it was worked out
//! from is still there, and without it the same answer comes later. Knows how memos are kept
//! whole; not what they say.

use std::path::PathBuf;

use dermflow_core::Digest;

use crate::Store;
use crate::disk::Disk;
use crate::error::StoreError;

/// What a memo begins with. The digest of all that follows its own 32 bytes comes next.
const HEADER: &[u8] = b"dermflow memo 1\n";

/// A memo that claims to be larger is none.
const LARGEST: u64 = 1 << 30;

impl Store {
    /// What the memo of this name says; `None` where there is none, or it is damaged.
    pub fn read_memo(&self, name: &Digest) -> Option<Vec<u8>> {
        let path = place(self.disk(), name);
        let (mut file, metadata) = crate::blob::open_regular(&path, false).ok()?;
        if metadata.len() > LARGEST {
            return None;
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
        std::io::Read::read_to_end(&mut file, &mut bytes).ok()?;
        let start = HEADER.len() + 32;
        let (opening, said) = bytes.split_at_checked(start)?;
        let sound = opening.starts_with(HEADER) && opening[HEADER.len()..] == digest(name, said)[..];
        sound.then(|| bytes.split_off(start))
    }

    /// Remembers; what the memo said before is forgotten.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn write_memo(&self, name: &Digest, said: &[u8]) -> Result<(), StoreError> {
        let bytes = [HEADER, &digest(name, said), said].concat();
        self.disk().replace(&place(self.disk(), name), &bytes, 0o644)
    }
}

fn place(disk: &Disk, name: &Digest) -> PathBuf {
    disk.at("memos").join(name.hex())
}

/// Covers the name, so that no memo passes for another.
fn digest(name: &Digest, said: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("dermflow memo v1");
    hasher.update(name.as_bytes());
    hasher.update_rayon(said);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::store;

    #[test]
    fn a_memo_is_read_back_and_the_last_one_counts() {
        let (_folder, store) = store();
        let name = Digest::of(b"a");
        assert_eq!(store.read_memo(&name), None);
        store.write_memo(&name, b"first").unwrap();
        store.write_memo(&name, b"second").unwrap();
        assert_eq!(store.read_memo(&name).as_deref(), Some(&b"second"[..]));
        assert_eq!(store.read_memo(&Digest::of(b"b")), None);
    }

    #[test]
    fn any_damage_leaves_no_memo() {
        let (_folder, store) = store();
        let (name, other) = (Digest::of(b"a"), Digest::of(b"b"));
        store.write_memo(&name, b"said").unwrap();
        let path = place(store.disk(), &name);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for damaged in [&flipped[..], &whole[..at], &[&whole[..], b"x"].concat()] {
                std::fs::write(&path, damaged).unwrap();
                assert_eq!(store.read_memo(&name), None, "byte {at}");
            }
        }
        std::fs::write(place(store.disk(), &other), &whole).unwrap();
        assert_eq!(store.read_memo(&other), None, "the memo of another name");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(place(store.disk(), &other), &path).unwrap();
        assert_eq!(store.read_memo(&name), None, "a link");
    }
}
