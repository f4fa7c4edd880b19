//! Inference beside the float64 network.

use super::*;

/// Compares it for so many images of a height and width.
fn agrees(architecture: &Architecture, shape: (usize, usize, usize)) {
    let case = Case::new(architecture, shape);
    let (mut reference, images) = case.reference();
    let manner = Manner {
        draws: None,
        of_batch: false,
        frozen_stages: 0,
    };
    let expected = reference.forward(&images, manner);
    let inference = case
        .network
        .inference(&case.parameters, &case.statistics)
        .unwrap();
    let found = if architecture.classifier().is_some() {
        [inference.logits(case.images()).unwrap(), Vec::new()]
    } else {
        inference.maps(case.images()).unwrap().map(|grids| grids.values)
    };
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.len(), expected.len());
        found
            .iter()
            .zip(expected)
            .for_each(|(found, expected)| close(*found, *expected, 1e-4));
    }
}

#[test]
fn inference_agrees_with_the_float64_network() {
    for architecture in all() {
        agrees(&architecture, (3, 33, 25));
    }
}

#[test]
fn pictures_that_are_a_single_place_in_the_end_are_no_exception() {
    for architecture in all() {
        for shape in [(2, 1, 1), (1, 3, 4), (3, 5, 2)] {
            agrees(&architecture, shape);
        }
    }
}

#[test]
fn features_times_the_last_layer_give_the_logits() {
    let case = Case::new(&v2(), (2, 40, 40));
    let inference = case
        .network
        .inference(&case.parameters, &case.statistics)
        .unwrap();
    let (logits, features) = inference.logits_and_features(case.images()).unwrap();
    assert_eq!(
        (features.count, features.height, features.width, features.channels),
        (2, 5, 5, 18)
    );
    let layout = case.network.layout();
    let weight = &case.parameters.decayed.values()[layout.find("classifier.weight").unwrap().range()];
    let bias = &case.parameters.plain.values()[layout.find("classifier.bias").unwrap().range()];
    for (at, logit) in logits.iter().enumerate() {
        let (image, class) = (at / 3, at % 3);
        let map = features.values[image * 25 * 18..(image + 1) * 25 * 18].chunks_exact(18);
        let sum: f64 = map
            .map(|place| {
                let products = place.iter().zip(&weight[class * 18..]);
                products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            })
            .sum();
        close(*logit, sum / 25.0 + f64::from(bias[class]), 1e-4);
    }
}
