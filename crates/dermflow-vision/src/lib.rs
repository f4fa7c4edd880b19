//! Images and geometry: decode, orient, resize, augment, boxes, ellipses, heat maps.
//!
//! This crate must not know of tables, stages, stores or networks: it works on bytes, pixels
//! and numbers.
