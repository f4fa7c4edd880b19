//! [`Finished`]: the result of an action. One that a memo knows is read only if somebody asks
//! what it is: most results of an unchanged graph are never asked for.

use std::sync::OnceLock;

use dermflow_core::{Artifact, BlobRef, Cause, Key, Record, StageError};
use dermflow_store::Store;

use crate::history::Sealed;
use crate::memo::KnownAction;

/// A result: the record of an action, under its key.
#[derive(Debug)]
pub struct Finished {
    /// The action.
    pub key: Key,
    record: OnceLock<Record>,
    unread: Option<Box<Unread>>,
}

/// Where a record is that was not read yet, and what is known of it.
#[derive(Debug)]
struct Unread {
    store: Store,
    known: KnownAction,
}

impl Finished {
    /// A result whose record is at hand.
    pub fn new(key: Key, record: Record) -> Finished {
        Finished {
            key,
            record: OnceLock::from(record),
            unread: None,
        }
    }

    /// A result that was seen to be in the store as a memo knows it.
    pub(crate) fn remembered(store: &Store, known: KnownAction) -> Finished {
        let store = store.clone();
        Finished {
            key: known.key,
            record: OnceLock::new(),
            unread: Some(Box::new(Unread { store, known })),
        }
    }

    /// What a memo knows of it, if that is where it comes from.
    pub(crate) fn known(&self) -> Option<&KnownAction> {
        self.unread.as_ref().map(|unread| &unread.known)
    }

    /// What it gave.
    ///
    /// # Errors
    /// Where the record was taken away since it was seen; the action runs again then.
    pub fn record(&self) -> Result<&Record, StageError> {
        if let Some(record) = self.record.get() {
            return Ok(record);
        }
        let read = match &self.unread {
            Some(unread) => unread.store.get_record(&self.key)?,
            None => None,
        };
        let record = read.ok_or_else(|| {
            StageError::new(format!("the record {} is no longer in the store", self.key))
                .with_cause(Cause::DamagedBlob(self.key.digest()))
        })?;
        Ok(self.record.get_or_init(|| record))
    }

    /// The artifact at an output port.
    ///
    /// # Errors
    /// Where a record from disk lacks a port that its kind promises, or as [`Finished::record`].
    pub fn output(&self, port: &str) -> Result<&Artifact, StageError> {
        let found = self.record()?.outputs.get(port);
        found.ok_or_else(|| StageError::new(format!("the record {} has no output `{port}`", self.key)))
    }

    /// What its journal line says.
    ///
    /// # Errors
    /// As [`Finished::record`].
    pub fn sealed(&self) -> Result<Sealed, StageError> {
        match self.known() {
            Some(known) => Ok(known.sealed.clone()),
            None => Ok(Sealed::of(self.record()?)),
        }
    }

    /// The blobs of all outputs.
    pub fn blobs(&self) -> Vec<BlobRef> {
        match (self.record.get(), self.known()) {
            (Some(record), _) => record
                .outputs
                .values()
                .flat_map(|artifact| artifact.blobs())
                .collect(),
            (None, Some(known)) => known.blobs.clone(),
            (None, None) => Vec::new(),
        }
    }
}
