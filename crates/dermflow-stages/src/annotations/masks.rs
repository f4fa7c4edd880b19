//! Masks as annotations: one picture an image, white where the lesion is.

use dermflow_core::StageError;
use dermflow_vision::components::Component;
use dermflow_vision::mask::Mask;

use super::file::{MaskParameters, MasksPer};
use super::rectangle::{Mark, Size, Unit};
use super::{Annotation, EachFound, ImageName, Refused};

/// Reads a picture's bytes; `file` is its path below the folder.
///
/// # Errors
/// Where `each` fails.
pub fn read(
    bytes: &[u8],
    file: &str,
    parameters: &MaskParameters,
    each: EachFound<'_>,
) -> Result<(), StageError> {
    let Some(image) = image_name(file, &parameters.suffix) else {
        let reason = format!("its name doesn't end with `{}`", parameters.suffix);
        return each(Err(Refused::new(file, reason)));
    };
    let mask = match Mask::decode(bytes, parameters.threshold) {
        Ok(mask) => mask,
        Err(refusal) => return each(Err(Refused::new(file, refusal.to_string()))),
    };
    let stated = Size::new(mask.width as f64, mask.height as f64);
    let smallest = parameters.min_area * (mask.width * mask.height) as f64;
    let found: Vec<Component> = match parameters.per {
        MasksPer::Whole => mask.whole().into_iter().collect(),
        MasksPer::Component => mask.components(),
    };
    let nothing = found.is_empty();
    let large: Vec<Component> = found
        .into_iter()
        .filter(|one| one.area as f64 >= smallest)
        .collect();
    if large.is_empty() {
        let reason = match nothing {
            true => "nothing is marked in it".to_string(),
            false => format!("all that is marked is smaller than `min-area`, {smallest} pixels"),
        };
        return each(Err(Refused::new(file, reason)));
    }
    for (number, component) in large.into_iter().enumerate() {
        let place = match parameters.per {
            MasksPer::Whole => file.to_string(),
            MasksPer::Component => format!("{file} component {}", number + 1),
        };
        let corners = [component.left, component.top, component.right, component.bottom];
        each(Ok(Annotation {
            place,
            image: image.clone(),
            label: None,
            mark: Some(Mark {
                corners: corners.map(|corner| corner as f64),
                unit: Unit::Pixels,
                stated,
            }),
        }))?;
    }
    Ok(())
}

/// The name of the image that a mask is of.
fn image_name(file: &str, suffix: &str) -> Option<ImageName> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    stem.strip_suffix(suffix).map(ImageName::of_stem)
}
