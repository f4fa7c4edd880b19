//! Trainings whose program is killed: the next run goes on from the last epoch that is saved, and in
//! the end there is what an undisturbed training makes, byte by byte.

use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::time::Duration;

use dermflow_tests::Project;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::kills::draw;
use crate::project::{digests, empty};

/// Three trainings of networks so small that an epoch takes less than a second. One keeps its best
/// weights, one goes by its loss on other pictures, one keeps the last and reads a fourth channel.
const PIPELINE: &str = "\
name: trainings
seed: 5
params: {epochs: 6}
stages:
  made: {kind: synthesize, with: {images: 60, width: 48, height: 48, classes: 3}}
  folds:
    kind: split
    in: {samples: made.truth}
    with: {shares: {train: 0.8, valid: 0.2}, exact: true}
  heatmaps: {kind: box-to-heatmap, in: {samples: made.samples, boxes: made.boxes}}
  maps: {kind: box-to-heatmap, in: {samples: made.samples, boxes: made.boxes}, with: {stride: 8}}
  classifier:
    kind: classifier-train
    in: {samples: made.samples, labels: made.truth, splits: folds.splits}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}
      side: 48
      batches: {size: 8, sampling: balanced, augmentation: {horizontal-flip: 0.5, mix: {mixup: 0.2}}}
      training: {epochs: '${epochs}', schedule: {learning-rate: 0.003}}
  regressor:
    kind: regressor-train
    in: {samples: made.samples, heatmaps: heatmaps.heatmaps, splits: folds.splits}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}
      side: 48
      head-channels: 8
      neck: [{channels: 16}, {channels: 16}, {channels: 8, lateral: true}]
      batches: {size: 8}
      training: {epochs: '${epochs}', schedule: {learning-rate: 0.003}}
  retrained:
    kind: joint-retrain
    in: {samples: made.samples, labels: made.truth, foreground: maps.heatmaps}
    with:
      classifier:
        architecture: {published: {name: efficientnet-b0, width: 0.15, depth: 0.1}}
        side: 48
        keep: last
        batches: {size: 8, augmentation: {horizontal-flip: 0.5}}
        training: {epochs: '${epochs}', schedule: {learning-rate: 0.003}}
      foreground: {probability: 0.5, apply: extra-channel}
outputs:
  classifier: classifier.model
  regressor: regressor.model
  retrained: retrained.model
";

/// How many epochs a training has; one that ends before its kill is tried again with twice as many.
const EPOCHS: u64 = 6;

/// How often it is tried.
const ATTEMPTS: u32 = 5;

/// When a training is killed. Epochs are counted from 1.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The first step of this epoch is done: the one before it is saved.
    Begun(u64),
    /// Half of the steps of this epoch are done.
    Half(u64),
    /// This epoch is told: it is about to be saved, or is being saved.
    Told(u64),
    /// At a step of the first half of the training that is drawn with this number, and a while
    /// after it.
    Drawn(usize),
}

impl Moment {
    /// Whether it has come with this event of a training of so many epochs.
    fn has_come(self, event: &Value, epochs: u64) -> bool {
        match (self, progress(event, epochs)) {
            (Moment::Told(epoch), _) => epoch_told(event).is_some_and(|told| told >= epoch),
            (_, None) => false,
            (Moment::Begun(epoch), Some(now)) => now.steps > (epoch - 1) * now.batches,
            (Moment::Half(epoch), Some(now)) => now.steps >= (epoch - 1) * now.batches + now.batches / 2,
            (Moment::Drawn(number), Some(now)) => now.steps > draw(number) % (epochs * now.batches / 2),
        }
    }

    /// How long after that event it is.
    fn delay(self) -> Duration {
        match self {
            Moment::Drawn(number) => Duration::from_micros(draw(number + 1_000) % 8_000),
            _ => Duration::ZERO,
        }
    }
}

/// How far a training is.
#[derive(Clone, Copy)]
struct Progress {
    /// Steps done, of all epochs.
    steps: u64,
    /// Steps of an epoch.
    batches: u64,
}

fn progress(event: &Value, epochs: u64) -> Option<Progress> {
    if event["event"] != "stage-progress" {
        return None;
    }
    Some(Progress {
        steps: event["done"].as_u64()?,
        batches: event["total"].as_u64()? / epochs,
    })
}

/// The number between two words of a line that the stage logs.
fn logged(event: &Value, before: &str, behind: char) -> Option<u64> {
    let line = event["line"].as_str()?.strip_prefix(before)?;
    line.split_once(behind)?.0.parse().ok()
}

/// Which epoch is over, where the event tells of one.
fn epoch_told(event: &Value) -> Option<u64> {
    logged(event, "epoch ", ':')
}

/// In which epoch the training goes on, where the event tells of a checkpoint.
fn epoch_resumed(event: &Value) -> Option<u64> {
    logged(event, "goes on from a checkpoint at epoch ", ',')
}

/// What is killed: a stage of the pipeline, and so many epochs.
struct Training {
    stage: &'static str,
    epochs: u64,
}

impl Training {
    /// The arguments of its run.
    fn arguments(&self) -> Vec<String> {
        let words = ["run", "--until", self.stage, "--set"];
        let mut arguments = Vec::from(words.map(str::to_string));
        arguments.push(format!("epochs={}", self.epochs));
        arguments
    }

    /// Runs it to its end; gives what the stage told.
    fn run(&self, project: &Project) -> Vec<Value> {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let told = project.run(&arguments).all.into_iter();
        told.filter(|event| event["stage"] == self.stage).collect()
    }

    /// Runs it and kills it at a moment, with all processes of its group; gives what the stage
    /// told. `None` where the training was through by then.
    fn kill(&self, project: &Project, moment: Moment) -> Option<Vec<Value>> {
        let mut arguments = self.arguments();
        arguments.push("--json".to_string());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = project.command(&arguments);
        let mut child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Whoever is killed may leave half a line.
        let events = lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let mut events = events.filter(|event| event["stage"] == self.stage);
        let mut told = Vec::new();
        for event in events.by_ref() {
            let now = moment.has_come(&event, self.epochs);
            told.push(event);
            if now {
                break;
            }
        }
        std::thread::sleep(moment.delay());
        // It is not waited for yet, so the group is still its own. Whether it was there to be
        // killed its status tells.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        told.extend(events);
        let status = child.wait().unwrap();
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        assert!(killed || status.success(), "{status}: {told:#?}");
        let steps = self.steps(&told);
        (killed && steps.is_some_and(|last| last.steps < self.epochs * last.batches)).then_some(told)
    }

    /// How far it came.
    fn steps(&self, told: &[Value]) -> Option<Progress> {
        let mut steps = told.iter().filter_map(|event| progress(event, self.epochs));
        steps.next_back()
    }

    /// How many epochs a killed run has saved, by what it told: an epoch is saved between its last
    /// step and the first of the next.
    fn saved(&self, told: &[Value]) -> RangeInclusive<u64> {
        let Progress { steps, batches } = self.steps(told).expect("it was killed after a step");
        (steps - 1) / batches..=steps / batches
    }

    /// A run went on from where the one before it had saved, told so, and did no epoch again.
    fn went_on(&self, told: &[Value], saved: &RangeInclusive<u64>) {
        let stage = self.stage;
        // Without a checkpoint it begins with the first.
        let from = told.iter().find_map(epoch_resumed).unwrap_or(1);
        assert!(
            saved.contains(&(from - 1)),
            "{stage} went on at epoch {from}, but {saved:?} were saved: {told:#?}"
        );
        let first = told.iter().find_map(|event| progress(event, self.epochs));
        let first = first.expect("there were steps left to do");
        assert!(first.steps > (from - 1) * first.batches, "{stage}: {told:#?}");
        let epoch = told.iter().find_map(epoch_told);
        assert!(epoch.is_none_or(|epoch| epoch == from), "{stage}: {told:#?}");
    }
}

/// Trains a stage, and kills it at each of these moments in turn before it may end. False where it
/// was through before one of them.
fn ends_as_undisturbed(training: &Training, moments: &[Moment], reference: &Project) -> bool {
    let project = pipeline();
    let mut saved = None;
    for moment in moments {
        let Some(told) = training.kill(&project, *moment) else {
            return false;
        };
        if let Some(saved) = &saved {
            training.went_on(&told, saved);
        }
        saved = Some(training.saved(&told));
    }
    let told = training.run(&project);
    let saved = saved.expect("it is killed once at least");
    training.went_on(&told, &saved);
    let last = told.iter().filter_map(epoch_told).next_back();
    assert_eq!(last, Some(training.epochs), "{}", training.stage);
    training.run(reference);
    assert_eq!(
        digests(&project),
        digests(reference),
        "{} killed at {moments:?}",
        training.stage
    );
    let again = training.run(&project);
    let sorts: Vec<&Value> = again.iter().map(|event| &event["event"]).collect();
    assert_eq!(sorts, ["stage-hit"], "{}", training.stage);
    true
}

fn pipeline() -> Project {
    let project = empty();
    project.write("dermflow.yaml", PIPELINE);
    project
}

/// Trains a stage once for each list of moments to be killed at.
fn any_kill_ends_as_undisturbed(stage: &'static str, kills: &[&[Moment]]) {
    let reference = pipeline();
    for moments in kills {
        let done = (0..ATTEMPTS).any(|attempt| {
            let epochs = EPOCHS << attempt;
            ends_as_undisturbed(&Training { stage, epochs }, moments, &reference)
        });
        assert!(
            done,
            "{stage} was always through before it was killed at {moments:?}"
        );
    }
}

#[test]
fn a_killed_classifier_training_goes_on_to_the_same_bytes() {
    any_kill_ends_as_undisturbed(
        "classifier",
        &[
            &[Moment::Begun(2)],
            &[Moment::Half(3)],
            &[Moment::Told(1), Moment::Half(3), Moment::Told(3)],
            &[Moment::Drawn(1)],
        ],
    );
}

#[test]
fn a_killed_regressor_training_goes_on_to_the_same_bytes() {
    any_kill_ends_as_undisturbed(
        "regressor",
        &[&[Moment::Begun(2), Moment::Half(4)], &[Moment::Drawn(2)]],
    );
}

#[test]
fn a_killed_joint_retraining_goes_on_to_the_same_bytes() {
    any_kill_ends_as_undisturbed(
        "retrained",
        &[&[Moment::Told(2), Moment::Half(4)], &[Moment::Drawn(3)]],
    );
}
