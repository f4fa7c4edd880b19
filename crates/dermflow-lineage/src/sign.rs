//! Signatures: who vouches for a run.
//!
//! What is signed is the newest seal of the chain, which stands for every run before it
//! ([`crate::seal`]). Keys are plain Ed25519 keys in PEM, as `openssl genpkey -algorithm
//! ed25519` and `openssl pkey -pubout` write them, and any program can check a signature: the
//! signed text is [`Signature::text`].

use std::path::Path;

use dermflow_core::{Digest, StageError};
use dermflow_store::{JournalName, Store};
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// A key to sign with.
pub struct PrivateKey(SigningKey);

impl std::fmt::Debug for PrivateKey {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey of {}", hex(self.0.verifying_key().as_bytes()))
    }
}

/// A key to check signatures with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The signature of a journal's seal, as it lies beside the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signature {
    /// The journal.
    pub journal: JournalName,
    /// The number of its seal in the chain, from 1.
    pub number: u64,
    /// The digest in its seal.
    pub seal: Digest,
    /// The public key, 64 hexadecimal digits.
    pub public_key: String,
    /// The signature, 128 hexadecimal digits.
    pub signature: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn read(path: &Path) -> Result<String, StageError> {
    std::fs::read_to_string(path).map_err(|error| StageError::io("reading the key", path, &error))
}

impl PrivateKey {
    /// Reads a PKCS#8 PEM file.
    ///
    /// # Errors
    /// Where it can't be read or holds no Ed25519 private key.
    pub fn read(path: &Path) -> Result<PrivateKey, StageError> {
        let key = SigningKey::from_pkcs8_pem(&read(path)?).map_err(|error| {
            StageError::new(format!(
                "{} holds no Ed25519 private key in PEM: {error}",
                path.display()
            ))
            .with_help("`openssl genpkey -algorithm ed25519 -out key.pem` makes one")
        })?;
        Ok(PrivateKey(key))
    }

    /// The key to check its signatures with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl PublicKey {
    /// Reads a PEM file, or one of 64 hexadecimal digits.
    ///
    /// # Errors
    /// Where it can't be read or holds no Ed25519 public key.
    pub fn read(path: &Path) -> Result<PublicKey, StageError> {
        let text = read(path)?;
        let raw = unhex::<32>(text.trim()).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        if let Some(key) = raw {
            return Ok(PublicKey(key));
        }
        let key = VerifyingKey::from_public_key_pem(&text).map_err(|error| {
            StageError::new(format!(
                "{} holds no Ed25519 public key in PEM: {error}",
                path.display()
            ))
            .with_help("`openssl pkey -in key.pem -pubout -out public.pem` writes it")
        })?;
        Ok(PublicKey(key))
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(self.0.as_bytes())
    }
}

/// Signs the newest seal of a store, and keeps the signature beside its journal.
///
/// # Errors
/// Where nothing is sealed yet, or the store can't be written.
pub fn sign(store: &Store, key: &PrivateKey) -> Result<Signature, StageError> {
    let (journal, number, seal) = store
        .newest_seal()
        .ok_or_else(|| StageError::new("no run of this store is sealed yet, so there is nothing to sign"))?;
    let mut signature = Signature {
        journal,
        number,
        seal,
        public_key: key.public().hex(),
        signature: String::new(),
    };
    signature.signature = hex(&key.0.sign(signature.text().as_bytes()).to_bytes());
    let text = serde_json::to_vec_pretty(&signature).map_err(|error| StageError::new(error.to_string()))?;
    store.put_signature(&signature.journal, &text)?;
    Ok(signature)
}

impl Signature {
    /// The text that is signed: four lines, the last ended as the others.
    pub fn text(&self) -> String {
        format!(
            "dermflow seal v1\n{}\n{}\n{}\n",
            self.journal, self.number, self.seal
        )
    }

    /// Reads one as it lies beside a journal.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(bytes: &[u8]) -> Result<Signature, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("its signature can't be read: {error}"))
    }

    /// Whether it is this key's, of the seal that the journal has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, store: &Store, journal: &JournalName, key: &PublicKey) -> Result<(), String> {
        if self.journal != *journal {
            return Err(format!("its signature is that of the journal {}", self.journal));
        }
        if self.public_key != key.hex() {
            return Err(format!("it is signed with another key, {}", self.public_key));
        }
        let lines = store.read_journal(journal).map_err(|error| error.message())?;
        let seal = lines.last().map(|line| &line["seal"]);
        let is_sealed = seal.is_some_and(|seal| {
            seal["digest"].as_str() == Some(&self.seal.hex()) && seal["number"].as_u64() == Some(self.number)
        });
        if !is_sealed {
            return Err("it has another seal than the one that was signed".to_string());
        }
        let bytes = unhex::<64>(&self.signature).ok_or("its signature is no signature")?;
        let signature = ed25519_dalek::Signature::from_bytes(&bytes);
        let checked = key.0.verify_strict(self.text().as_bytes(), &signature);
        checked.map_err(|_| "its signature is not one of this key".to_string())
    }
}

#[cfg(test)]
mod tests {
    use dermflow_store::Journal;
    use serde_json::Value;

    use super::*;

    /// Made by `openssl genpkey -algorithm ed25519`, for this test alone.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n\
        -----END PRIVATE KEY-----\n";
    const OTHER: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpgroRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_signature_holds_for_its_key_and_its_seal_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let key_of = |name: &str, pem: &str| {
            std::fs::write(folder.path().join(name), pem).unwrap();
            PrivateKey::read(&folder.path().join(name)).unwrap()
        };
        let (key, other) = (key_of("one", KEY), key_of("other", OTHER));
        assert!(sign(&store, &key).is_err());
        Journal::start(&store, Value::Null)
            .unwrap()
            .seal(Value::Null)
            .unwrap();
        let signature = sign(&store, &key).unwrap();
        let read = Signature::read(&store.signature(&signature.journal).unwrap()).unwrap();
        assert_eq!(read, signature);
        let check = |signature: &Signature, key: &PrivateKey| {
            signature.check(&store, &signature.journal, &key.public())
        };
        check(&signature, &key).unwrap();
        assert!(check(&signature, &other).unwrap_err().contains("another key"));
        let forged = Signature {
            public_key: other.public().hex(),
            ..signature.clone()
        };
        assert!(
            check(&forged, &other)
                .unwrap_err()
                .contains("not one of this key")
        );
        let moved = Signature {
            number: 2,
            ..signature.clone()
        };
        assert!(check(&moved, &key).unwrap_err().contains("another seal"));
        assert!(!format!("{key:?}").contains("77076d0a"));
        std::fs::write(folder.path().join("raw"), key.public().hex()).unwrap();
        assert_eq!(PublicKey::read(&folder.path().join("raw")).unwrap(), key.public());
        assert!(PrivateKey::read(&folder.path().join("raw")).is_err());
    }
}
