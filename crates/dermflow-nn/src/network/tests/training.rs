//! Training beside the float64 network, and what it leaves behind.

use super::*;

/// Outputs, statistics and gradients (by central differences) against the float64 network.
fn check(architecture: &Architecture, shape: (usize, usize, usize), mode: Mode<'_>, picks: usize) {
    let case = Case::new(architecture, shape);
    let (outputs, gradients, statistics) = case.step(mode);
    let (mut reference, images) = case.reference();
    let before = reference.buffers[2].clone();
    let expected = reference.forward(&images, manner(mode));
    for (found, expected) in outputs.iter().zip(&expected) {
        assert_eq!(found.len(), expected.len());
        found
            .iter()
            .zip(expected)
            .for_each(|(found, expected)| close(*found, *expected, 2e-4));
    }
    statistics
        .iter()
        .zip(&reference.buffers[2])
        .for_each(|(found, expected)| close(*found, *expected, 1e-4));
    let (frozen, layout) = (manner(mode).frozen_stages, Arc::clone(case.network.layout()));
    for spec in layout
        .tensors()
        .iter()
        .filter(|spec| spec.group != Group::Statistics)
    {
        let own = &gradients[spec.group as usize][spec.range()];
        let largest = own.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        if spec.stage < frozen {
            assert_eq!(largest, 0.0, "{} is not trained", spec.name);
            continue;
        }
        let checked = picks.min(spec.len());
        for pick in 0..checked {
            let at = (pick * 7919 + spec.len() / 2) % spec.len();
            let mut difference = [0.0; 2];
            for (side, step) in [1e-5, -1e-5].into_iter().enumerate() {
                reference.buffers[2].clone_from(&before);
                reference.buffers[spec.group as usize][spec.offset + at] += step;
                difference[side] = loss(&reference.forward(&images, manner(mode)));
                reference.buffers[spec.group as usize][spec.offset + at] -= step;
            }
            let expected = (difference[0] - difference[1]) / 2e-5;
            let bound = 1e-3 * f64::from(largest) + 2e-4 * expected.abs() + 1e-5;
            assert!(
                (f64::from(own[at]) - expected).abs() <= bound,
                "{}[{at}]: {} and not {expected}; largest {largest}",
                spec.name,
                own[at]
            );
        }
    }
}

#[test]
fn training_agrees_with_the_float64_network_in_outputs_statistics_and_gradients() {
    for architecture in all() {
        check(&architecture, (3, 21, 15), Mode::Train(draw(0)), 2);
    }
}

#[test]
fn running_statistics_with_a_tape_give_gradients_and_stay_as_they_are() {
    for architecture in all() {
        check(
            &architecture,
            (2, 12, 16),
            Mode::FrozenStatistics { frozen_stages: 0 },
            1,
        );
        let case = Case::new(&architecture, (2, 20, 24));
        let (_, _, after) = case.step(Mode::FrozenStatistics { frozen_stages: 0 });
        assert_eq!(after, case.statistics);
    }
}

#[test]
fn frozen_stages_have_no_gradients_and_keep_their_statistics() {
    for (architecture, frozen) in [
        (v2(), 1),
        (v2(), 3),
        (v1(), 2),
        (regressor(Upsampling::Learned), 2),
    ] {
        check(&architecture, (2, 13, 16), Mode::Train(draw(frozen)), 1);
    }
    let stages = Case::new(&v2(), (1, 8, 8)).network.layout().stages();
    check(&v2(), (2, 13, 16), Mode::Train(draw(stages - 1)), 1);
}

#[test]
fn one_value_a_channel_is_normalised_to_the_shift_and_leaves_the_variance() {
    // One image that shrinks to a single place: the last norms see one value a channel.
    let case = Case::new(&v2(), (1, 8, 8));
    let (outputs, gradients, statistics) = case.step(Mode::Train(draw(0)));
    assert!(outputs[0].iter().all(|value| value.is_finite()));
    assert!(gradients.iter().flatten().all(|value| value.is_finite()));
    let layout = case.network.layout();
    let variance = layout.find("head.norm.variance").unwrap().range();
    assert_eq!(statistics[variance.clone()], case.statistics[variance]);
    let mean = layout.find("head.norm.mean").unwrap().range();
    assert_ne!(statistics[mean.clone()], case.statistics[mean]);
    check(&v2(), (1, 8, 8), Mode::Train(draw(0)), 1);
}

#[test]
fn any_image_size_works_down_to_one_pixel() {
    for architecture in all() {
        for shape in [(1, 1, 1), (2, 7, 3), (1, 31, 64)] {
            let case = Case::new(&architecture, shape);
            let (outputs, gradients, _) = case.step(Mode::Train(draw(0)));
            assert!(outputs.iter().flatten().all(|value| value.is_finite()));
            assert!(gradients.iter().flatten().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn steps_use_the_memory_of_steps_before() {
    let case = Case::new(&v2(), (4, 32, 32));
    case.step(Mode::Train(draw(0)));
    let first = case.network.activation_bytes().0;
    for _ in 0..4 {
        case.step(Mode::Train(draw(0)));
    }
    assert!(case.network.activation_bytes().0 < 2 * first);
    case.network.release_memory();
    assert_eq!(case.network.activation_bytes().0, 0);
}
