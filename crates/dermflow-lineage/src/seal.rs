//! What the seal proves, and what it does not.
//!
//! # How it is made
//! Every run ends its journal with a *seal*: a digest over all lines of the journal and over the
//! digest in the seal before. A line names a stage, its action's key, the artifact at each output
//! and the digest of the action's record. A key is the hash of everything that a result depends
//! on; an artifact's name is the hash of its content; a record's digest covers its figures,
//! times and inputs. So the newest seal stands for every run of the store, in order, with all
//! that went in and all that came out. A signature (`run --sign KEY`) ties that one digest to
//! whoever holds the key.
//!
//! # What it proves
//! With a copy of a seal's digest, or a signature under a public key that you trust, `verify`
//! shows that since then
//! * no journal was changed, removed, renamed or put in another place of the chain, and no line
//!   of one was changed, added or removed;
//! * no record of a stage was changed: parameters, seeds, versions, inputs, outputs, figures;
//! * every blob and every column of every table holds what the records say.
//!
//! # What it does not prove
//! * **That the results are right**, or that the data were what they claim to be. It shows that
//!   nothing was changed afterwards, not that nothing was wrong before.
//! * **Anything without a copy kept elsewhere.** Whoever can write the store can also write it
//!   anew, with a new chain. A digest printed in a paper, a mail or another machine's log, or a
//!   signature with a key that the writer doesn't have, is what ties the chain to a time and a
//!   person.
//! * **The newest end.** Journals after the last seal that you know of can be cut off unseen;
//!   `verify` says how many came after the last signature.
//! * **When it was.** Times come from the clock of the machine that ran.
//! * **That the program was this one.** Records name the version of the program and of each
//!   kind, and whoever lies about one can lie about the other. `reproduce` is the answer: the
//!   same inputs must give the same digests on a machine that you trust.
//! * **Records of partitions.** They stand in no journal; `verify` compares what they gave with
//!   the map that they are partitions of, but not their times.
//! * **What was never in the store**: runs in other stores, and files that people made from
//!   results. Results that were laid out are compared with the store.
//!
//! A *forgetting* is a journal of its own in the same chain. It says that samples and blobs were
//! removed on purpose; nothing before it is changed, so every earlier seal stays valid.
