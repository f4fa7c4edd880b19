//! Images and geometry: decode, orient, resize, augment, boxes, ellipses, heat maps.
//!
//! This crate must not know of tables, stages, stores or networks: it works on bytes, pixels
//! and numbers.
//!
//! ```
//! use dermflow_vision::placement::{PixelSize, Placement, Rectangle, ResizeMode};
//!
//! let (photo, stored) = (PixelSize::new(400, 300).unwrap(), PixelSize::new(64, 64).unwrap());
//! let placement = Placement::new(photo, stored, ResizeMode::Letterbox);
//! let lesion = placement.stored(Rectangle { x: 0.0, y: 0.0, w: 1.0, h: 1.0 });
//! assert_eq!((lesion.y, lesion.h), (0.125, 0.75));
//! ```

pub mod augment;
pub mod boxes;
pub mod colour;
pub mod components;
pub mod decode;
pub mod ellipse;
pub mod heatmap;
pub mod inpaint;
pub mod limits;
pub mod mask;
pub mod orientation;
pub mod picture;
pub mod placement;
pub mod resize;
pub mod sheet;
pub mod similarity;
pub mod stored_picture;
pub mod synthetic;
pub mod whole_original;
