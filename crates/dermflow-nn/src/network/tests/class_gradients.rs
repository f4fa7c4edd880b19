//! Gradients of logits with respect to features inside.

use super::*;
use crate::layout::TensorSpec;

/// Each image's class, one of them none.
fn chosen(image: usize, logits: &[f32]) -> Option<usize> {
    (image != 1).then_some(image % logits.len())
}

/// The shift of a projection at a stage's end is added to every place of the stage's output, and
/// reaches the logits through that alone: its gradient is the sum of the features' gradients over
/// places and images. Gradients of shifts are held to central differences in float64 elsewhere.
#[test]
fn gradients_of_features_sum_up_to_those_of_the_shift_that_is_added_to_them() {
    for architecture in [v2(), v1(), lite(), wide()] {
        let case = Case::new(&architecture, (3, 40, 36));
        // Without a projection an activation lies between.
        let stages = &architecture.backbone.stages;
        let projects = |place: &usize| {
            let stage = &stages[*place];
            stage.block == BlockKind::Inverted || stage.expansion > 1
        };
        for stage in (0..stages.len()).filter(projects).map(|place| place + 1) {
            let found = case
                .network
                .class_gradients(case.images(), &case.parameters, &case.statistics, stage, chosen)
                .unwrap();
            let shift = shift_of_last_block(&case, stage);
            let expected = gradient_of_chosen(&case, &found.logits);
            let expected = &expected[shift.range()];
            let channels = found.gradients.channels;
            assert_eq!(expected.len(), channels);
            let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            assert!(largest > 1e-4, "stage {stage} has nothing to compare");
            for (channel, expected) in expected.iter().enumerate() {
                let own = found.gradients.values.iter().skip(channel).step_by(channels);
                let sum: f32 = own.sum();
                assert!(
                    (sum - expected).abs() <= 1e-3 * largest,
                    "stage {stage}, channel {channel}: {sum} and not {expected}"
                );
            }
        }
    }
}

/// The shift of the last norm of a stage's last block: what its output is the sum of ends in it.
fn shift_of_last_block(case: &Case, stage: usize) -> TensorSpec {
    let own = |spec: &&TensorSpec| spec.stage == stage && spec.role == Role::NormShift;
    let specs = case.network.layout().tensors();
    specs.iter().rfind(own).unwrap().clone()
}

/// Plain parameters' gradient of the sum of the chosen logits, by the tape.
fn gradient_of_chosen(case: &Case, logits: &[f32]) -> Vec<f32> {
    let classes = logits.len() / case.shape.0;
    let mut factors = vec![0.0; logits.len()];
    for (image, own) in logits.chunks_exact(classes).enumerate() {
        if let Some(class) = chosen(image, own) {
            factors[image * classes + class] = 1.0;
        }
    }
    let mut statistics = case.statistics.clone();
    let tape = tape_onto(Gradients::leaky());
    let mode = Mode::FrozenStatistics { frozen_stages: 0 };
    let on_tape = case
        .network
        .logits(case.images(), &case.parameters, &mut statistics, mode, tape)
        .unwrap();
    assert_eq!(on_tape.as_vec(), logits, "the same forward pass");
    let factors = Cpu::default().tensor_from_vec(factors, *on_tape.shape());
    let mut gradients = (on_tape * factors).sum().backward();
    case.parameters
        .plain
        .slot()
        .take_gradient(&mut gradients)
        .unwrap()
}

#[test]
fn an_image_without_a_choice_has_no_gradient_and_a_map_is_not_read() {
    let mut architecture = v2();
    architecture.backbone.stem.map = true;
    let mut case = Case::new(&architecture, (3, 24, 24));
    case.pixels = numbers(99, 3 * 24 * 24 * 3);
    let found = case
        .network
        .class_gradients(case.images(), &case.parameters, &case.statistics, 3, chosen)
        .unwrap();
    let of_image = found.gradients.values.len() / 3;
    let images: Vec<&[f32]> = found.gradients.values.chunks_exact(of_image).collect();
    assert!(images[1].iter().all(|value| *value == 0.0));
    assert!(images[0].iter().any(|value| *value != 0.0) && images[2].iter().any(|value| *value != 0.0));
    let inference = case
        .network
        .inference(&case.parameters, &case.statistics)
        .unwrap();
    for (found, expected) in found.logits.iter().zip(inference.logits(case.images()).unwrap()) {
        close(*found, f64::from(expected), 1e-4);
    }
}

#[test]
fn stages_that_are_not_there_and_regressors_are_refused_in_words() {
    let case = Case::new(&v1(), (1, 16, 16));
    for stage in [0, 4] {
        let refused =
            case.network
                .class_gradients(case.images(), &case.parameters, &case.statistics, stage, chosen);
        assert_eq!(
            refused.unwrap_err(),
            NetworkError::NoStage {
                asked: stage,
                stages: 3
            }
        );
    }
    let case = Case::new(&regressor(Upsampling::Learned), (1, 16, 16));
    let refused = case
        .network
        .class_gradients(case.images(), &case.parameters, &case.statistics, 1, chosen);
    assert_eq!(refused.unwrap_err(), NetworkError::NoClassifier);
}
