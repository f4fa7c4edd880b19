//! Seals: how journals are tied together, and how the ties are checked.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};

use dermflow_core::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{JournalName, make_read_only, reading};
use crate::disk::{Disk, with_parent};
use crate::error::StoreError;

const DOMAIN: &str = "dermflow journal seal v1";
/// How a seal's line begins; 64 digits follow, then a comma and the rest that they cover.
const OPENING: &str = "{\"seal\":{\"digest\":\"";

/// What a seal says besides its digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seal {
    name: JournalName,
    /// Seals are counted from 1.
    number: u64,
    previous: Option<Digest>,
    interrupted: bool,
    footer: Value,
}

/// The newest seal: an index, rebuilt from the journals where it is lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    name: JournalName,
    number: u64,
    digest: Digest,
}

/// The lock that all who seal or start hold for a moment.
pub(super) fn lock(disk: &Disk) -> Result<File, StoreError> {
    let path = disk.at("runs").join("lock");
    let open = || {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
    };
    let file = with_parent(&path, open).map_err(|error| StoreError::io("opening", &path, error))?;
    file.lock()
        .map_err(|error| StoreError::io("locking", &path, error))?;
    Ok(file)
}

/// Seals journals whose process is gone.
pub(super) fn seal_the_dead(disk: &Disk) -> Result<(), StoreError> {
    for name in reading::list(disk) {
        let path = name.open_path(disk);
        let Ok(mut file) = OpenOptions::new().read(true).append(true).open(&path) else {
            continue;
        };
        let chain = lock(disk)?;
        finish_naming(disk)?;
        // Another may have sealed it while this process looked.
        if file.try_lock().is_err() || !path.exists() {
            continue;
        }
        mend(&mut file).map_err(|error| StoreError::io("mending", &path, error))?;
        seal_locked(disk, &name, &mut file, Value::Null, true)?;
        drop(chain);
    }
    Ok(())
}

/// Removes what a kill left at the end: half a line, or a seal that never became the newest
/// (one that did has its name by now).
fn mend(file: &mut File) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut keep = &bytes[..whole];
    if read_seal(keep).is_ok() {
        let body = &keep[..whole - 1];
        keep = &keep[..body
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1)];
    }
    file.set_len(keep.len() as u64)
}

/// Writes the seal, and gives the journal its final name.
pub(super) fn seal(
    disk: &Disk,
    name: &JournalName,
    file: &mut File,
    footer: Value,
) -> Result<Digest, StoreError> {
    let _chain = lock(disk)?;
    finish_naming(disk)?;
    seal_locked(disk, name, file, footer, false)
}

/// The order matters: the seal, the index that makes it the newest, the name. A kill before
/// the index voids the seal; a kill after it leaves only the name to be given.
fn seal_locked(
    disk: &Disk,
    name: &JournalName,
    file: &mut File,
    footer: Value,
    interrupted: bool,
) -> Result<Digest, StoreError> {
    let (from, to) = (name.open_path(disk), name.path(disk));
    let wrong = |error| StoreError::io("sealing", &from, error);
    let mut bytes = Vec::new();
    file.rewind().map_err(wrong)?;
    file.read_to_end(&mut bytes).map_err(wrong)?;
    let head = head(disk);
    let seal = Seal {
        name: name.clone(),
        number: head.as_ref().map_or(0, |head| head.number) + 1,
        previous: head.map(|head| head.digest),
        interrupted,
        footer,
    };
    let (digest, line) = seal_line(&bytes, &seal)?;
    file.write_all(&line).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    let head = json!({"name": name, "number": seal.number, "digest": digest});
    disk.replace_durably(&disk.at("runs").join("head"), head.to_string().as_bytes())?;
    fs::rename(&from, &to).map_err(wrong)?;
    make_read_only(&to);
    Ok(digest)
}

fn seal_line(before: &[u8], seal: &Seal) -> Result<(Digest, Vec<u8>), StoreError> {
    let seal = serde_json::to_string(seal)
        .map_err(|error| StoreError::invalid(format!("a journal's footer can't be JSON: {error}")))?;
    // The fields without their opening brace, and the brace of the outer object.
    let rest = format!("{}}}\n", &seal[1..]);
    let digest = digest_of(before, rest.as_bytes());
    let line = format!("{OPENING}{digest}\",{rest}");
    Ok((digest, line.into_bytes()))
}

fn digest_of(before: &[u8], rest: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
    hasher.update(before);
    hasher.update(rest);
    Digest::from(hasher.finalize())
}

/// The seal of a journal and the digest that it claims, or what is wrong with it.
fn read_seal(bytes: &[u8]) -> Result<(Digest, Seal), String> {
    let body = bytes
        .strip_suffix(b"\n")
        .ok_or("it does not end with a whole line")?;
    let start = body
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let (before, line) = bytes.split_at(start);
    let unsealed = || "its last line is no seal".to_string();
    let rest = line.strip_prefix(OPENING.as_bytes()).ok_or_else(unsealed)?;
    let (hex, rest) = rest.split_at_checked(64).ok_or_else(unsealed)?;
    let rest = rest.strip_prefix(b"\",").ok_or_else(unsealed)?;
    let digest: Digest = std::str::from_utf8(hex)
        .ok()
        .and_then(|hex| hex.parse().ok())
        .ok_or_else(unsealed)?;
    if digest_of(before, rest) != digest {
        return Err("a line of it was changed, added or removed".to_string());
    }
    let fields = rest.strip_suffix(b"}\n").ok_or_else(unsealed)?;
    let seal = [b"{", fields].concat();
    let seal: Seal =
        serde_json::from_slice(&seal).map_err(|error| format!("its seal can't be read: {error}"))?;
    Ok((digest, seal))
}

/// Names the newest journal if a kill came between its index and its name. Whoever holds the
/// chain's lock knows that nobody is about to.
fn finish_naming(disk: &Disk) -> Result<(), StoreError> {
    let Some(head) = indexed_head(disk) else {
        return Ok(());
    };
    let (from, to) = (head.name.open_path(disk), head.name.path(disk));
    if to.exists() || !from.exists() {
        return Ok(());
    }
    fs::rename(&from, &to).map_err(|error| StoreError::io("sealing", &from, error))?;
    make_read_only(&to);
    Ok(())
}

/// The newest seal. A journal that vanished is not forgotten: the next seal still names it.
fn head(disk: &Disk) -> Option<Head> {
    indexed_head(disk).or_else(|| {
        let heads = reading::list(disk).into_iter().filter_map(|name| {
            let (digest, seal) = read_seal(&fs::read(name.path(disk)).ok()?).ok()?;
            let number = seal.number;
            Some(Head { name, number, digest })
        });
        heads.max_by_key(|head| head.number)
    })
}

/// The newest seal: its journal, its number and its digest.
pub(super) fn newest(disk: &Disk) -> Option<(JournalName, u64, Digest)> {
    head(disk).map(|head| (head.name, head.number, head.digest))
}

fn indexed_head(disk: &Disk) -> Option<Head> {
    let bytes = fs::read(disk.at("runs").join("head")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether the index of the newest seal is there and can't be read.
pub(super) fn head_is_damaged(disk: &Disk) -> bool {
    disk.at("runs").join("head").exists() && indexed_head(disk).is_none()
}

/// Checks all seals and the chain.
pub(super) fn verify(disk: &Disk) -> Result<Vec<String>, StoreError> {
    // Under the lock no journal is sealed half-way through the look. A store that can't be
    // written has nobody who seals.
    let _chain = lock(disk).ok();
    let mut problems = Vec::new();
    let mut by_digest: BTreeMap<Digest, JournalName> = BTreeMap::new();
    let mut seals: BTreeMap<u64, Vec<(JournalName, Seal)>> = BTreeMap::new();
    for name in reading::list(disk) {
        if !name.path(disk).exists() {
            continue;
        }
        let bytes =
            fs::read(name.path(disk)).map_err(|error| StoreError::io("reading", &name.path(disk), error))?;
        match read_seal(&bytes) {
            Ok((digest, seal)) => {
                if seal.name != name {
                    problems.push(format!(
                        "the journal {name} was called {} when it was sealed",
                        seal.name
                    ));
                }
                by_digest.insert(digest, name.clone());
                seals.entry(seal.number).or_default().push((name, seal));
            }
            Err(reason) => problems.push(format!("the journal {name} was tampered with: {reason}")),
        }
    }
    problems.extend(check_chain(&by_digest, &seals));
    if let Some(head) = indexed_head(disk)
        && !by_digest.contains_key(&head.digest)
    {
        problems.push(format!(
            "the journal {}, number {}, is missing or was changed",
            head.name, head.number
        ));
    }
    Ok(problems)
}

fn check_chain(
    by_digest: &BTreeMap<Digest, JournalName>,
    seals: &BTreeMap<u64, Vec<(JournalName, Seal)>>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, sealed) in seals {
        if let [(one, _), (other, _), ..] = &sealed[..] {
            problems.push(format!(
                "the journals {one} and {other} both claim to be number {number}"
            ));
        }
        for (name, seal) in sealed {
            let Some(previous) = seal.previous else {
                if *number != 1 {
                    problems.push(format!(
                        "the journal {name}, number {number}, names none before it"
                    ));
                }
                continue;
            };
            let before = number.checked_sub(1).and_then(|before| seals.get(&before));
            let found = by_digest.get(&previous);
            let follows =
                before.is_some_and(|before| before.iter().any(|(candidate, _)| Some(candidate) == found));
            if found.is_none() {
                problems.push(format!(
                    "the journal before {name} (seal {}) is missing or was changed",
                    previous.short()
                ));
            } else if !follows {
                problems.push(format!(
                    "the journal {name} does not follow the one that it names"
                ));
            }
        }
    }
    problems
}
