//! What the file system says of a file, and when that can be trusted.
//!
//! Must not know what the file holds: whoever learnt that keeps it beside the [`Stat`].

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;

/// Clocks that stamp files tick every few milliseconds: a change can carry a time that much
/// before it was made.
const TICK: i64 = SECOND / 20;

/// Some file systems keep whole seconds or pairs of them.
const COARSE_TICK: i64 = 2 * SECOND + TICK;

/// Everything that changes when a file does. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) modified: i64,
    pub(crate) changed: i64,
}

impl Stat {
    /// What `stat` said of a file.
    pub fn of(metadata: &Metadata) -> Stat {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(SECOND).saturating_add(rest);
        Stat {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a file that was read at `recorded` ([`now`], before the reading began) and still
    /// looks so is unchanged for certain: git's rule for racy times.
    pub fn is_settled(&self, recorded: i64) -> bool {
        let coarse = self.changed % SECOND == 0;
        let tick = if coarse { COARSE_TICK } else { TICK };
        let settled = recorded.saturating_sub(tick);
        self.modified < settled && self.changed < settled
    }
}

/// Nanoseconds since 1970; 0 before that, which trusts nothing.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
