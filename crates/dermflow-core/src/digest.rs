//! [`Digest`]: 32 bytes of blake3, the only kind of name that content has here.
//!
//! Every use has a *domain* (blake3's `derive_key` context), so that two things of
//! different sorts can't share a digest even where their bytes agree. Only blobs use plain
//! blake3, so that `b3sum` checks them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A blake3 hash, shown and stored as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest whose bytes these are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Plain blake3 of `bytes`: how blobs and source files are named.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// blake3 of `bytes` within a domain. `domain` is a constant of the program that names
    /// one use and its version, such as `dermflow action key v1`.
    pub fn derive(domain: &str, bytes: &[u8]) -> Digest {
        Digest(blake3::derive_key(domain, bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// The first 12 hexadecimal digits: what people see in listings.
    pub fn short(&self) -> String {
        self.hex()[..12].to_string()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotADigest(pub String);

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a digest: 64 hexadecimal digits are expected",
            self.0
        )
    }
}

impl std::error::Error for NotADigest {}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Digest, NotADigest> {
        let refuse = || NotADigest(text.chars().take(80).collect());
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (nibble(pair[0]), nibble(pair[1]));
            *byte = high.zip(low).map(|(h, l)| h << 4 | l).ok_or_else(refuse)?;
        }
        Ok(Digest(bytes))
    }
}

/// Lower case only: one digest has one spelling, so it can name a file.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Texts for people; binary formats, which only indexes are kept in, take the bytes.
        match serializer.is_human_readable() {
            true => serializer.serialize_str(&self.hex()),
            false => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest of 64 hexadecimal digits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                let bytes = bytes.try_into();
                bytes.map(Digest).map_err(|_| E::custom("a digest has 32 bytes"))
            }
        }
        match deserializer.is_human_readable() {
            true => deserializer.deserialize_str(Visitor),
            false => deserializer.deserialize_bytes(Visitor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_other_spellings_are_refused() {
        let digest = Digest::of(b"lesion");
        assert_eq!(digest.hex().parse(), Ok(digest));
        assert!(digest.hex().to_uppercase().parse::<Digest>().is_err());
        assert!(digest.hex()[1..].parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn domains_keep_equal_bytes_apart() {
        assert_ne!(Digest::derive("a", b"x"), Digest::derive("b", b"x"));
        assert_ne!(Digest::derive("a", b"x"), Digest::of(b"x"));
    }
}
