//! What the file system says of a file, and when that can be trusted.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use dermflow_core::Digest;

const SECOND: i64 = 1_000_000_000;

/// Clocks that stamp files tick every few milliseconds: a change can carry a time that much
/// before it was made.
const TICK: i64 = SECOND / 20;

/// Some file systems keep whole seconds or pairs of them.
const COARSE_TICK: i64 = 2 * SECOND + TICK;

/// Everything that changes when a file does. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: i64,
    pub(super) changed: i64,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Stat {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(SECOND).saturating_add(rest);
        Stat {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A digest, and what the file was when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stat: Stat,
    /// When reading began.
    pub(super) recorded: i64,
    pub(super) digest: Digest,
}

impl Entry {
    /// Whether a file that looks like `stat` has this digest for certain.
    pub(super) fn holds_for(&self, stat: &Stat) -> bool {
        let coarse = self.stat.changed % SECOND == 0;
        let tick = if coarse { COARSE_TICK } else { TICK };
        let settled = self.recorded.saturating_sub(tick);
        self.stat == *stat && stat.modified < settled && stat.changed < settled
    }
}

/// Nanoseconds since 1970; 0 before that, which trusts nothing.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
