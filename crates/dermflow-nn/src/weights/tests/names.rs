//! Every name and shape is the one that timm or torchvision has.

use std::collections::BTreeSet;
use std::path::Path;

use crate::architecture::{Flavour, Published};
use crate::layout::Layout;
use crate::published_table::published_table;
use crate::weights::Convention;
use crate::weights::convention::Names;
use crate::weights::order::foreign_shape;

/// Name and shape of every tensor of a file.
fn names_and_shapes(published: Published, convention: Convention) -> Vec<(String, Vec<usize>)> {
    let layout = Layout::of(&published.document(Flavour::default(), 1000)).unwrap();
    let names = Names::of(&layout, convention);
    let mut all = Vec::new();
    for spec in layout.tensors() {
        all.push((names.name(spec), foreign_shape(spec, convention)));
        all.extend(names.batches(spec).map(|name| (name, vec![])));
    }
    all
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |value, byte| {
        (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn names_and_shapes_of_every_published_network_are_the_librarys() {
    for row in published_table() {
        let all = names_and_shapes(row.published, row.library);
        assert_eq!(all.len(), row.tensors, "{}", row.model);
        let mut lines: Vec<String> = all
            .iter()
            .map(|(name, shape)| format!("{name} {shape:?}\n"))
            .collect();
        lines.sort();
        assert_eq!(
            format!("{:016x}", fnv(&lines.concat())),
            row.names,
            "{}",
            row.model
        );
    }
}

/// The same of complete lists, where they lie beside the checkout: these say which name is wrong.
#[test]
fn names_and_shapes_are_those_of_the_lists_beside_the_checkout() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/facts/keys");
    if !Path::new(folder).exists() {
        eprintln!("skipped: no lists of names beside the checkout");
        return;
    }
    let lists = [
        ("timm_efficientnet_b0", Published::EfficientNetB0),
        ("timm_tf_efficientnetv2_b0", Published::EfficientNetV2B0),
        ("timm_tf_efficientnetv2_b3", Published::EfficientNetV2B3),
        ("timm_tf_efficientnetv2_s", Published::EfficientNetV2S),
        ("torchvision_efficientnet_b0", Published::EfficientNetB0),
        ("torchvision_efficientnet_v2_s", Published::EfficientNetV2S),
        ("torchvision_efficientnet_v2_m", Published::EfficientNetV2M),
        ("torchvision_efficientnet_v2_l", Published::EfficientNetV2L),
    ];
    for (list, published) in lists {
        let text = std::fs::read_to_string(format!("{folder}/{list}.txt")).unwrap();
        let expected: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        let convention = if list.starts_with("timm") {
            Convention::Timm
        } else {
            Convention::Torchvision
        };
        let found = names_and_shapes(published, convention)
            .into_iter()
            .map(|(name, shape)| {
                let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
                let comma = if shape.len() == 1 { "," } else { "" };
                let number = if shape.is_empty() { "int64" } else { "float32" };
                format!("{name}\t({}{comma})\t{number}", extents.join(", "))
            });
        assert_eq!(found.collect::<BTreeSet<_>>(), expected, "{list}");
    }
}
