use super::*;
use crate::architecture::{Flavour, Named, NeckStep, Published, Regressor, Upsampling};
use crate::published_table::published_table;

#[test]
fn every_published_network_has_the_counters_multiply_adds() {
    for row in published_table() {
        let document = row.published.document(row.flavour, 1000);
        assert_eq!(parameters(&document), row.parameters, "{}", row.model);
        assert_eq!(
            multiply_adds(&document, row.size, row.size),
            row.multiply_adds,
            "{}",
            row.model
        );
    }
}

/// The papers' figures, at the precision at which they give them, in millions.
#[test]
fn multiply_adds_are_those_of_the_papers() {
    let figures = [
        (Published::EfficientNetB0, 224, 390.0),
        (Published::EfficientNetB1, 240, 700.0),
        (Published::EfficientNetB7, 600, 37_000.0),
        (Published::EfficientNetV2B0, 224, 720.0),
        (Published::EfficientNetV2S, 384, 8_400.0),
        (Published::EfficientNetV2M, 480, 24_700.0),
    ];
    for (published, size, millions) in figures {
        let document = published.document(Flavour::default(), 1000);
        let counted = multiply_adds(&document, size, size) as f64 / 1e6;
        assert!(
            (counted / millions - 1.0).abs() < 0.025,
            "{}: {counted}",
            published.name()
        );
    }
}

#[test]
fn a_regressors_neck_and_heads_are_counted_by_hand() {
    let step = |upsampling, lateral| NeckStep {
        channels: 8,
        upsampling,
        lateral,
    };
    let neck = vec![step(Upsampling::Learned, false), step(Upsampling::Bilinear, true)];
    let regressor = Regressor {
        neck,
        head_channels: 16,
        classes: 3,
    };
    let with = Named::plain(Published::EfficientNetB0)
        .regressor(regressor.clone())
        .unwrap();
    let bare = Regressor {
        neck: Vec::new(),
        ..regressor
    };
    let bare = Named::plain(Published::EfficientNetB0).regressor(bare).unwrap();
    // 97 x 64 pixels: 4 x 2 places at stride 32, 7 x 4 at 16, 13 x 8 at 8.
    let heads = |channels: u64, places: u64| places * (2 * 9 * channels * 16 + 16 * 3 + 16 * 2);
    let neck = 16 * 320 * 8 * (4 * 2) + 9 * 8 * 8 * (13 * 8) + 40 * 8 * (13 * 8);
    let bare = multiply_adds(&bare, 97, 64) - heads(320, 4 * 2);
    assert_eq!(multiply_adds(&with, 97, 64), bare + neck + heads(8, 13 * 8));
}

/// The gradient and two numbers of AdamW for each parameter; the average and the best weights with their
/// running statistics.
#[test]
fn training_counts_all_that_the_loop_keeps() {
    let document = Published::EfficientNetV2B0.document(Flavour::default(), 7);
    let batch = BatchShape {
        images: 2,
        height: 32,
        width: 32,
    };
    let of = |average, best_weights| {
        let setup = TrainingSetup {
            average,
            best_weights,
            ..TrainingSetup::default()
        };
        training_memory(&document, batch, &setup)
    };
    let bare = of(false, false);
    assert_eq!(bare.training, 3 * 4 * parameters(&document));
    for (average, best_weights, copies) in [(true, false, 1), (false, true, 1), (true, true, 2)] {
        let memory = of(average, best_weights);
        assert_eq!(memory.training, bare.training + copies * bare.weights);
        assert_eq!(memory.total() - bare.total(), copies * bare.weights);
    }
    let usual = training_memory(&document, batch, &TrainingSetup::default());
    assert_eq!(usual, of(true, true));
}

/// What a step keeps is a part of what it takes, and no small one.
#[test]
fn the_least_memory_is_below_the_exact_one_and_near_it() {
    let setup = TrainingSetup::default();
    for published in Published::ALL {
        for (images, height, width) in [(1, 32, 40), (8, 96, 96), (16, 224, 200)] {
            let batch = BatchShape {
                images,
                height,
                width,
            };
            let document = published.document(Flavour::default(), 7);
            let exact = training_memory(&document, batch, &setup);
            let least = training_memory_at_least(&document, batch, &setup);
            let name = published.name();
            assert!(least.total() <= exact.total(), "{name}: {least:?} {exact:?}");
            assert_eq!(least.training, exact.training, "{name}");
            if images == 16 {
                let share = least.activations as f64 / exact.activations as f64;
                assert!(share > 0.5, "{name}: {share}");
            }
        }
    }
    let regressor = Named::plain(Published::EfficientNetV2B0)
        .regressor(Regressor::suggested(4))
        .unwrap();
    let batch = BatchShape {
        images: 8,
        height: 96,
        width: 128,
    };
    let exact = training_memory(&regressor, batch, &setup).total();
    assert!(training_memory_at_least(&regressor, batch, &setup).total() <= exact);
}
