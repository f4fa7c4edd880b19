//! A process that trains is killed at random moments, again and again, and what comes out in
//! the end is what an undisturbed training gives.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::perceptron::{Blobs, Perceptron};
use super::{bits, everything, in_folder, start, trained};
use crate::training::{Control, Event, train};

const FOLDER: &str = "DERMFLOW_TEST_TRAINING_FOLDER";
const STEP_DONE: &str = "a step is done";

fn as_bytes(bits: &[u64]) -> Vec<u8> {
    bits.iter().flat_map(|bits| bits.to_le_bytes()).collect()
}

/// What the killed process does. By itself it does nothing: only the test below, which runs
/// it as a process of its own, says where.
#[test]
fn train_in_the_folder_that_the_environment_names() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let control = Control {
        // A checkpoint after every step: kills within a write are likely.
        checkpoint_every: Duration::ZERO,
        prefetch_threads: 2,
        events: Box::new(|event| {
            if matches!(event, Event::Step { .. }) {
                eprintln!("{STEP_DONE}");
            }
        }),
        ..in_folder(folder)
    };
    let result = train(
        &everything(),
        start(),
        &Perceptron::default(),
        &Blobs::default(),
        control,
    )
    .unwrap();
    std::fs::write(folder.join("result.unfinished"), as_bytes(&bits(&result))).unwrap();
    std::fs::rename(folder.join("result.unfinished"), folder.join("result")).unwrap();
}

#[test]
fn a_training_killed_at_random_moments_ends_in_the_same_bytes() {
    let whole = as_bytes(&bits(&trained(&everything(), Control::default()).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let child = "training::tests::killed::train_in_the_folder_that_the_environment_names";
    let (mut kills, mut resumed) = (0u64, 0);
    while !folder.path().join("result").exists() {
        assert!(kills < 1000, "it never ends");
        let mut process = Command::new(&program)
            .args(["--exact", child, "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        resumed += u64::from(folder.path().join("checkpoint.safetensors").exists());
        // A few steps, and then the time that a checkpoint or the next step may take.
        let hash = blake3::hash(&kills.to_le_bytes());
        let steps = 1 + usize::from(hash.as_bytes()[0] % 4);
        let said = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut done = said.map_while(Result::ok).filter(|line| line == STEP_DONE);
        if done.by_ref().take(steps).count() == steps {
            std::thread::sleep(Duration::from_micros(u64::from(hash.as_bytes()[1]) * 16));
        }
        // SIGKILL; it may have ended by itself.
        process.kill().unwrap();
        process.wait().unwrap();
        kills += 1;
    }
    assert_eq!(std::fs::read(folder.path().join("result")).unwrap(), whole);
    assert!(
        resumed >= 3,
        "killed {kills} times, but only {resumed} times with a checkpoint"
    );
}
