//! A network that reads a map as a fourth channel.

use super::*;

/// A network that reads a map, its pixels with the map or with zeros in its place, and the same
/// network without it.
fn with_map(shown: bool) -> [Case; 2] {
    let shape = (3, 21, 15);
    let mut with = Case::new(&v2().with_map(true), shape);
    if !shown {
        with.pixels.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 0.0);
    }
    let mut without = Case::new(&v2(), shape);
    let (from, to) = (with.network.layout(), without.network.layout());
    let decayed = moved(from, to, with.parameters.decayed.values());
    without.parameters = Parameters::new(decayed, with.parameters.plain.values().to_vec());
    without.statistics.clone_from(&with.statistics);
    let pixels = with.pixels.chunks_exact(4);
    without.pixels = pixels.flat_map(|pixel| pixel[..3].to_vec()).collect();
    [with, without]
}

/// Where the stem's weights of the map lie.
fn weights_of_map(network: &Network) -> impl Iterator<Item = usize> {
    let stem = network.layout().tensor(Unit::Stem, Slot::Weight).unwrap();
    stem.range().skip(3).step_by(4)
}

#[test]
fn the_weights_of_a_map_have_the_gradient_of_the_float64_network() {
    let [case, _] = with_map(true);
    let mode = Mode::Train(draw(0));
    let (outputs, [decayed, _], _) = case.step(mode);
    let (mut reference, images) = case.reference();
    let before = reference.buffers[2].clone();
    let expected = reference.forward(&images, manner(mode));
    for (found, expected) in outputs[0].iter().zip(&expected[0]) {
        close(*found, *expected, 2e-4);
    }
    let largest = decayed.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let mut some = 0.0f32;
    for at in weights_of_map(&case.network) {
        let [more, less] = [1e-5, -1e-5].map(|step| {
            reference.buffers[2].clone_from(&before);
            reference.buffers[0][at] += step;
            let loss = loss(&reference.forward(&images, manner(mode)));
            reference.buffers[0][at] -= step;
            loss
        });
        let expected = (more - less) / 2e-5;
        let bound = 1e-3 * f64::from(largest) + 2e-4 * expected.abs() + 1e-5;
        assert!(
            (f64::from(decayed[at]) - expected).abs() <= bound,
            "{at}: {} and not {expected}",
            decayed[at]
        );
        some = some.max(decayed[at].abs());
    }
    assert!(some > 1e-2, "{some}");
}

#[test]
fn a_map_of_zeros_adds_nothing_and_has_no_gradient() {
    let [with, without] = with_map(false);
    for mode in [Mode::Train(draw(0)), Mode::FrozenStatistics { frozen_stages: 0 }] {
        let (one, other) = (with.step(mode), without.step(mode));
        // Zeros that are added change no sum, whatever it is: the same bytes.
        assert_eq!((one.0, one.2), (other.0, other.2));
        let [decayed, plain] = one.1;
        assert!(weights_of_map(&with.network).all(|at| decayed[at] == 0.0));
        let (from, to) = (with.network.layout(), without.network.layout());
        assert_eq!(
            (moved(from, to, &decayed), plain),
            (other.1[0].clone(), other.1[1].clone())
        );
    }
}

#[test]
fn what_infers_reads_no_map_and_is_the_network_without_one() {
    let [with, without] = with_map(false);
    let [one, other] = [&with, &without].map(|case| {
        let network = case
            .network
            .inference(&case.parameters, &case.statistics)
            .unwrap();
        assert_eq!(
            network.logits(with.images()).unwrap_err(),
            NetworkError::WrongImages {
                found: with.pixels.len(),
                count: 3,
                height: 21,
                width: 15,
                channels: 3,
            }
        );
        network.logits(without.images()).unwrap()
    });
    assert_eq!(one, other);
    let (trained, _, _) = with.step(Mode::FrozenStatistics { frozen_stages: 0 });
    for (found, expected) in one.iter().zip(&trained[0]) {
        close(*found, f64::from(*expected), 1e-4);
    }
}
