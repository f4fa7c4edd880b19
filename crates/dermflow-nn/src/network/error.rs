//! What a network refuses.

use std::fmt;

use crate::layout::Group;

/// Why a network doesn't run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Images of other numbers than their shape says, or none.
    WrongImages {
        /// How many numbers there are.
        found: usize,
        /// How many images.
        count: usize,
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
        /// Numbers of a pixel.
        channels: usize,
    },
    /// Weights of another network.
    WrongWeights {
        /// Which buffer.
        group: Group,
        /// How many numbers it has.
        found: usize,
        /// How many the network has.
        expected: usize,
    },
    /// Logits were asked of a network that is no classifier.
    NoClassifier,
    /// Maps were asked of a network that is no regressor.
    NoRegressor,
    /// A layer was asked for that the network doesn't have.
    NoLayer,
    /// A stage of blocks was asked for that the network doesn't have.
    NoStage {
        /// Which one.
        asked: usize,
        /// How many there are.
        stages: usize,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::WrongImages {
                found,
                count,
                height,
                width,
                channels,
            } => write!(
                f,
                "{count} images of {height} × {width} pixels were announced, and {found} numbers given; \
                 a batch has at least one image of at least one pixel, with {channels} numbers a pixel"
            ),
            NetworkError::WrongWeights {
                group,
                found,
                expected,
            } => write!(
                f,
                "the {group:?} buffer has {found} numbers, and the network {expected}: these are the weights of another architecture"
            ),
            NetworkError::NoClassifier => {
                f.write_str("the network is a regressor and gives maps, not logits")
            }
            NetworkError::NoRegressor => {
                f.write_str("the network is a classifier and gives logits, not maps")
            }
            NetworkError::NoLayer => f.write_str("the network has no such layer: blocks count from 0"),
            NetworkError::NoStage { asked, stages } => write!(
                f,
                "the network has {stages} stages of blocks, counted from 1, and no stage {asked}"
            ),
        }
    }
}

impl std::error::Error for NetworkError {}
