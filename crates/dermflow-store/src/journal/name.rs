//! What journals are called: `20261123T204502.123Z-1f2e3d4c`.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dermflow_core::Digest;
use serde::{Deserialize, Serialize};

use crate::disk::Disk;

/// A journal's name: when its run started, in UTC, and digits that tell runs apart that
/// started at one moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JournalName(String);

impl JournalName {
    pub(super) fn new(disk: &Disk) -> JournalName {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = Digest::of(disk.unique().as_bytes()).hex();
        JournalName(format!("{}-{}", stamp(since), &id[..8]))
    }

    /// The name that a text is, if it is one. A name holds no path.
    pub fn parse(text: &str) -> Option<JournalName> {
        let pattern = b"dddddddd!dddddd.dddZ-xxxxxxxx";
        let fits = |(expected, found): (&u8, u8)| match expected {
            b'd' => found.is_ascii_digit(),
            b'x' => matches!(found, b'0'..=b'9' | b'a'..=b'f'),
            b'!' => found == b'T',
            other => found == *other,
        };
        let valid = text.len() == pattern.len() && pattern.iter().zip(text.bytes()).all(fits);
        valid.then(|| JournalName(text.to_string()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run started.
    pub fn started(&self) -> SystemTime {
        UNIX_EPOCH + unstamp(&self.0).unwrap_or_default()
    }

    pub(super) fn path(&self, disk: &Disk) -> PathBuf {
        disk.at("runs").join(format!("{}.jsonl", self.0))
    }

    pub(super) fn open_path(&self, disk: &Disk) -> PathBuf {
        disk.at("runs").join(format!("{}.open.jsonl", self.0))
    }

    pub(crate) fn exists_in(&self, disk: &Disk) -> bool {
        self.path(disk).exists() || self.open_path(disk).exists()
    }
}

impl fmt::Display for JournalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for JournalName {
    type Error = String;

    fn try_from(text: String) -> Result<JournalName, String> {
        JournalName::parse(&text).ok_or_else(|| format!("`{text}` is no journal's name"))
    }
}

impl From<JournalName> for String {
    fn from(name: JournalName) -> String {
        name.0
    }
}

/// `20261123T204502.123Z`.
fn stamp(since: Duration) -> String {
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}.{:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a day since 1970-01-01, by eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn unstamp(text: &str) -> Option<Duration> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + part(9, 11)? * 3600 + part(11, 13)? * 60 + part(13, 15)?;
    Some(Duration::new(seconds, part(16, 19)? as u32 * 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them_and_read_back() {
        let times = [
            (0, "19700101T000000.000Z"),
            (951_782_400_000, "20000229T000000.000Z"),
            (1_795_466_702_123, "20261123T204502.123Z"),
            (4_107_542_399_999, "21000228T235959.999Z"),
        ];
        for (milliseconds, text) in times {
            let since = Duration::from_millis(milliseconds);
            assert_eq!(stamp(since), text);
            assert_eq!(unstamp(text), Some(since));
        }
    }

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        assert!(JournalName::parse("20261123T204502.123Z-1f2e3d4c").is_some());
        for text in [
            "",
            "../../etc/passwd",
            "20261123T204502.123Z-1f2e3d4c/",
            "20261123T204502.123Z-../../xx",
        ] {
            assert!(JournalName::parse(text).is_none(), "{text}");
        }
    }
}
