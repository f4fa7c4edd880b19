//! Times as people and other programs read them.

use chrono::{DateTime, SecondsFormat};

/// Seconds since 1970 as `2026-11-27T15:31:15.125Z` (RFC 3339, UTC).
pub fn utc(seconds: f64) -> String {
    // Times from a record may be anything; what no calendar has is told as its start.
    let milliseconds = (seconds * 1e3).clamp(0.0, 8e15) as i64;
    let time = DateTime::from_timestamp_millis(milliseconds).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `0.03 s`, `4 min 10 s`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_told_in_utc_whatever_they_are() {
        assert_eq!(super::utc(1_795_793_475.125), "2026-11-27T15:31:15.125Z");
        for odd in [f64::NAN, -1.0, f64::INFINITY, 1e300] {
            assert!(super::utc(odd).ends_with('Z'), "{odd}");
        }
        assert_eq!(super::seconds(250.0), "4 min 10 s");
    }
}
