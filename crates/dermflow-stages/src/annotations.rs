//! Annotations as tools and people write them, on their way to samples: what the importers of
//! labels and boxes share.
//!
//! A reader of a format gives [`Annotation`]s, or reasons why something is none; [`Images`]
//! tells which sample is meant; [`Rules`] tell which boxes are sound. Must not know what
//! becomes of the annotations.

mod coco;
mod cvat;
mod file;
mod images;
mod label_studio;
mod masks;
mod pascal_voc;
mod rectangle;
mod table;
#[cfg(test)]
mod tests;
mod xml;
mod yolo;

use dermflow_core::StageError;

pub use file::{AnnotationFile, AnnotationFormat, MaskParameters, YoloParameters};
pub use images::{Image, ImageName, Images, MatchBy};
pub use rectangle::{Mark, Outside, Rules, Size, Turned, Unit};

pub use table::{ForeignRow, TableLayout, read_table};

/// One thing that somebody said of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Where it stands, for people: `boxes.json annotation 12`.
    pub place: String,
    /// The image that is meant.
    pub image: ImageName,
    /// The class, where one is given.
    pub label: Option<String>,
    /// Where in the image; none where the whole image is meant.
    pub mark: Option<Mark>,
}

/// Something in a file that is no annotation, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Where it stands.
    pub place: String,
    /// The reason.
    pub reason: String,
}

impl Refused {
    /// At a place, for a reason.
    pub fn new(place: impl Into<String>, reason: impl Into<String>) -> Refused {
        Refused {
            place: place.into(),
            reason: reason.into(),
        }
    }
}

/// Takes what a reader finds.
pub type EachFound<'a> = &'a mut dyn FnMut(Result<Annotation, Refused>) -> Result<(), StageError>;
