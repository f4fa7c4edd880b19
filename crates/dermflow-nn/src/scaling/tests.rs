use super::choice::{balance, used};
use super::*;
use crate::architecture::{Flavour, Named, Published};
use crate::cost::{BatchShape, multiply_adds, parameters, training_memory};

fn b0() -> Architecture {
    Published::EfficientNetB0.document(Flavour::default(), 1000)
}

fn published_rows() -> Vec<Row> {
    let rows = Published::ALL[..8]
        .iter()
        .map(|published| published.coefficients());
    rows.map(|coefficients| Row {
        depth: coefficients.depth,
        width: coefficients.width,
        size: coefficients.evaluation_size,
    })
    .collect()
}

/// Given the published coefficients and the computation of B-k as the limit, the search finds
/// B-k, layer by layer.
#[test]
fn the_published_networks_are_found_from_the_published_coefficients() {
    let settings = Search {
        growth: Growth::Table(published_rows()),
        ..Search::default()
    };
    for published in &Published::ALL[..8] {
        let expected = published.document(Flavour::default(), 1000);
        let size = published.coefficients().evaluation_size;
        let most = multiply_adds(&expected, size as usize, size as usize);
        let limits = Limits {
            multiply_adds: Some(most),
            ..Limits::default()
        };
        let found = search(&b0(), &settings, &limits).unwrap();
        assert_eq!(found.best().size, size, "{}", published.name());
        assert_eq!(
            found.architecture.backbone.stages,
            expected.backbone.stages,
            "{}",
            published.name()
        );
        let head = |architecture: &Architecture| architecture.classifier().unwrap().head_channels;
        assert_eq!(head(&found.architecture), head(&expected), "{}", published.name());
        assert_eq!(found.best().costs.parameters, parameters(&expected));
    }
}

/// The same for the families that round otherwise, each by its own rule.
#[test]
fn other_families_grow_by_their_own_rules() {
    for (first, last) in [
        (Published::EfficientNetV2B0, Published::EfficientNetV2B3),
        (Published::EfficientNetLite0, Published::EfficientNetLite4),
    ] {
        let expected = last.document(Flavour::default(), 1000);
        let coefficients = last.coefficients();
        let settings = Search {
            growth: Growth::Table(vec![Row {
                depth: coefficients.depth,
                width: coefficients.width,
                size: coefficients.evaluation_size,
            }]),
            rule: Some(first.scaling_rule()),
            ..Search::default()
        };
        let limits = Limits {
            parameters: Some(parameters(&expected)),
            ..Limits::default()
        };
        let baseline = first.document(Flavour::default(), 1000);
        let found = search(&baseline, &settings, &limits).unwrap();
        assert_eq!(found.best().costs.parameters, parameters(&expected));
        assert_eq!(found.architecture.backbone.stages, expected.backbone.stages);
        // By EfficientNet's own rule it would be another network.
        let otherwise = Search {
            rule: None,
            ..settings
        };
        let unlimited = Limits {
            parameters: Some(u64::MAX),
            ..Limits::default()
        };
        let other = search(&baseline, &otherwise, &unlimited).unwrap();
        assert_ne!(other.best().costs.parameters, parameters(&expected));
    }
}

/// The usual ratios with fewer exponents.
fn coarse() -> Search {
    let phi = Range {
        from: -2.0,
        to: 3.0,
        step: 0.5,
    };
    let grid = RatioGrid {
        phi,
        ..RatioGrid::default()
    };
    Search {
        growth: Growth::Grid(grid),
        ..Search::default()
    }
}

fn constants(phi: Range) -> Search {
    let grid = RatioGrid {
        alpha: Range::only(1.2),
        beta: Range::only(1.1),
        gamma: Range::only(1.15),
        phi,
        tolerance: 0.1,
    };
    Search {
        growth: Growth::Grid(grid),
        size_multiple: 1,
        ..Search::default()
    }
}

/// With the paper's constants computation grows by α·β²·γ² = 1.92 with each φ, but for what rounding
/// layers and channels adds. The published networks, whose factors are no powers of the constants,
/// cost about what φ of 1, 2, 5, 6 or 7 does (B2, B3, B5 to B7), or lie between two (B1, B4).
#[test]
fn computation_about_doubles_with_the_papers_constants_and_the_published_networks_are_near() {
    let phi = Range {
        from: 0.0,
        to: 7.0,
        step: 1.0,
    };
    let limits = Limits {
        multiply_adds: Some(u64::MAX),
        ..Limits::default()
    };
    let found = search(&b0(), &constants(phi), &limits).unwrap();
    assert_eq!(found.candidates.len(), 8);
    assert_eq!(found.candidates[0].costs.multiply_adds, 385_814_752);
    for pair in found.candidates.windows(2) {
        let growth = pair[1].costs.multiply_adds as f64 / pair[0].costs.multiply_adds as f64;
        assert!((1.7..2.6).contains(&growth), "{growth}");
    }
    let costs: Vec<f64> = found
        .candidates
        .iter()
        .map(|candidate| candidate.costs.multiply_adds as f64)
        .collect();
    let mean = (costs[7] / costs[0]).powf(1.0 / 7.0);
    assert!((1.9..2.0).contains(&mean), "{mean}");

    let published = |number: usize| {
        let published = Published::ALL[number];
        let size = published.coefficients().evaluation_size as usize;
        multiply_adds(&published.document(Flavour::default(), 1000), size, size) as f64
    };
    for (number, phi) in [(2, 1), (3, 2), (5, 5), (6, 6), (7, 7)] {
        let share = published(number) / costs[phi];
        assert!((0.89..1.02).contains(&share), "B{number}: {share}");
    }
    assert!(costs[0] < published(1) && published(1) < costs[1]);
    assert!(costs[3] < published(4) && published(4) < costs[4]);
}

#[test]
fn the_grid_has_the_papers_constants_and_nothing_far_from_two() {
    let limits = Limits {
        parameters: Some(9_000_000),
        ..Limits::default()
    };
    let found = search(&b0(), &coarse(), &limits).unwrap();
    assert!(
        found
            .candidates
            .iter()
            .any(|candidate| candidate.ratios == Some([1.2, 1.1, 1.15]))
    );
    for candidate in &found.candidates {
        let [alpha, beta, gamma] = candidate.ratios.unwrap();
        assert!((alpha * beta * beta * gamma * gamma - 2.0).abs() <= 0.1);
        assert_eq!(candidate.size % 8, 0);
        assert_eq!(candidate.fits, candidate.costs.parameters <= 9_000_000);
    }
}

#[test]
fn the_choice_keeps_to_every_limit_and_uses_what_they_allow() {
    let baseline = Named::plain(Published::EfficientNetV2B0).classifier(7).unwrap();
    let base = search(
        &baseline,
        &constants(Range::only(0.0)),
        &Limits {
            parameters: Some(u64::MAX),
            ..Limits::default()
        },
    );
    let base = base.unwrap().best().costs;
    let loose = Limits {
        multiply_adds: Some(3 * base.multiply_adds),
        parameters: Some(3 * base.parameters),
        training_memory: base.training_memory.map(|bytes| 3 * bytes),
    };
    for tight in ["multiply-adds", "parameters", "memory"] {
        let mut limits = loose;
        match tight {
            "multiply-adds" => limits.multiply_adds = Some(base.multiply_adds / 2),
            "parameters" => limits.parameters = Some(base.parameters / 2),
            _ => limits.training_memory = base.training_memory.map(|bytes| bytes / 2),
        }
        let found = search(&baseline, &coarse(), &limits).unwrap();
        let best = found.best();
        assert!(best.fits && limits.allow(&best.costs), "{tight}");
        assert_eq!(parameters(&found.architecture), best.costs.parameters);
        let most = found.candidates.iter().filter(|candidate| candidate.fits);
        let most = most.map(|candidate| used(&candidate.costs, &limits));
        assert!(used(&best.costs, &limits) >= 0.95 * most.fold(0.0, f64::max));
        assert!(balance(best, 224) >= 100.0, "{tight}: {best:?}");
    }
}

/// Candidates that round to the same network share their costs; nothing else may.
#[test]
fn costs_are_those_of_each_candidate_by_itself_and_left_out_only_beyond_a_limit() {
    let baseline = Named::plain(Published::EfficientNetV2B0).classifier(7).unwrap();
    let limits = Limits {
        multiply_adds: Some(2_000_000_000),
        training_memory: Some(3 << 30),
        ..Limits::default()
    };
    let settings = coarse();
    let found = search(&baseline, &settings, &limits).unwrap();
    let (mut exact, mut left_out) = (0, 0);
    for candidate in &found.candidates {
        let own = baseline
            .scaled(candidate.width, candidate.depth, settings.rule())
            .unwrap();
        let size = candidate.size;
        let costs = candidate.costs;
        assert_eq!(costs.parameters, parameters(&own));
        assert_eq!(
            costs.multiply_adds,
            multiply_adds(&own, size as usize, size as usize)
        );
        let batch = BatchShape {
            images: settings.batch,
            height: size,
            width: size,
        };
        let memory = || training_memory(&own, batch, &settings.training).total();
        match costs.training_memory {
            Some(told) => {
                exact += 1;
                if exact % 7 == 0 {
                    assert_eq!(told, memory(), "{candidate:?}");
                }
                assert_eq!(candidate.fits, told <= 3 << 30);
            }
            None => {
                left_out += 1;
                assert!(!candidate.fits);
                let cheap = costs.multiply_adds <= 2_000_000_000;
                // Large networks take seconds to be replayed; the small ones show as much.
                if cheap && left_out % 5 == 0 {
                    assert!(memory() > 3 << 30, "{candidate:?}");
                }
            }
        }
    }
    assert!(exact > 100 && left_out > 100, "{exact} {left_out}");
}

#[test]
fn a_search_is_the_same_on_any_number_of_threads_and_stops_when_told() {
    let limits = Limits {
        multiply_adds: Some(1_000_000_000),
        ..Limits::default()
    };
    let mut told = Vec::new();
    let of = |threads: usize, told: &mut Vec<(usize, usize)>| {
        let mut go_on = |done: usize, all: usize| {
            told.push((done, all));
            true
        };
        search_watched(&b0(), &coarse(), &limits, threads, &mut go_on).unwrap()
    };
    assert_eq!(of(1, &mut told), of(3, &mut Vec::new()));
    let (done, all) = *told.last().unwrap();
    assert!(done == all && told.len() > 1, "{told:?}");
    let mut stop = |_: usize, _: usize| false;
    assert_eq!(
        search_watched(&b0(), &coarse(), &limits, 1, &mut stop).unwrap_err(),
        ScalingError::Stopped
    );
}

#[test]
fn of_equals_the_most_balanced_is_chosen() {
    let limits = Limits {
        multiply_adds: Some(1_600_000_000),
        ..Limits::default()
    };
    let found = search(&b0(), &coarse(), &limits).unwrap();
    let [alpha, beta, gamma] = found.best().ratios.unwrap();
    // 2^(1/3), 2^(1/6), 2^(1/6) would be even.
    assert!((1.15..=1.35).contains(&alpha) && (1.05..=1.2).contains(&beta) && (1.05..=1.2).contains(&gamma));
    let most = Search {
        share_of_most: 1.0,
        ..coarse()
    };
    let found = search(&b0(), &most, &limits).unwrap();
    let largest = found.candidates.iter().filter(|candidate| candidate.fits);
    let largest = largest.map(|candidate| candidate.costs.multiply_adds).max();
    assert_eq!(Some(found.best().costs.multiply_adds), largest);
}

/// Whichever limit binds: that of memory is not used up by width alone, that of parameters not by the
/// image size.
#[test]
fn depth_width_and_size_grow_together_under_a_limit_of_any_kind() {
    let gigabytes = |number: u64| Limits {
        training_memory: Some(number * 1_000_000_000),
        ..Limits::default()
    };
    let million_parameters = |number: u64| Limits {
        parameters: Some(number * 1_000_000),
        ..Limits::default()
    };
    let million_multiply_adds = |number: u64| Limits {
        multiply_adds: Some(number * 1_000_000),
        ..Limits::default()
    };
    for limits in [
        gigabytes(2),
        gigabytes(3),
        million_parameters(9),
        million_parameters(14),
        million_multiply_adds(1000),
        million_multiply_adds(1600),
        Limits {
            parameters: Some(9_000_000),
            ..gigabytes(8)
        },
    ] {
        let found = search(&b0(), &coarse(), &limits).unwrap();
        let best = found.best();
        assert!(
            best.depth > 1.05 && best.width > 1.03 && best.size > 224,
            "{best:?}"
        );
        assert!(balance(best, 224) >= 200.0, "{best:?}");
        assert!(used(&best.costs, &limits) > 0.85, "{best:?}");
    }
}

#[test]
fn a_scaled_network_has_a_name_that_is_accepted_however_long_its_baselines_is() {
    let limits = Limits {
        parameters: Some(u64::MAX),
        ..Limits::default()
    };
    let factors = Search {
        growth: Growth::Table(vec![Row {
            depth: 1.5,
            width: 1.2,
            size: 240,
        }]),
        ..Search::default()
    };
    let long = "n".repeat(200);
    let letters_of_two_bytes = format!("n{}", "é".repeat(99));
    for (name, kept) in [
        ("b0", 2),
        (long.as_str(), 174),
        (letters_of_two_bytes.as_str(), 173),
    ] {
        let mut baseline = b0();
        baseline.name = name.to_owned();
        let found = search(&baseline, &factors, &limits).unwrap().architecture;
        assert_eq!(found.check(), Ok(()));
        assert_eq!(found.name, format!("{} width 1.2000 depth 1.5000", &name[..kept]));
    }
}

#[test]
fn a_search_that_finds_nothing_says_how_far_it_was() {
    let limits = Limits {
        parameters: Some(1000),
        ..Limits::default()
    };
    let text = search(&b0(), &constants(Range::only(0.0)), &limits)
        .unwrap_err()
        .to_string();
    assert!(text.contains("5288548 parameters (limit 1000)"), "{text}");
}

#[test]
fn settings_out_of_range_are_named() {
    let limits = Limits {
        parameters: Some(1000),
        ..Limits::default()
    };
    let said = |settings: &Search, limits: &Limits| search(&b0(), settings, limits).unwrap_err().to_string();
    assert!(said(&Search::default(), &Limits::default()).starts_with("limits"));
    assert!(
        said(
            &Search {
                size: 0,
                ..Search::default()
            },
            &limits
        )
        .starts_with("size:")
    );
    assert!(
        said(
            &Search {
                growth: Growth::Table(vec![]),
                ..Search::default()
            },
            &limits
        )
        .starts_with("growth.table")
    );
    let with = |change: fn(&mut RatioGrid)| {
        let mut grid = RatioGrid::default();
        change(&mut grid);
        said(
            &Search {
                growth: Growth::Grid(grid),
                ..Search::default()
            },
            &limits,
        )
    };
    assert!(with(|grid| grid.alpha.step = 0.0).starts_with("growth.grid.alpha"));
    assert!(with(|grid| grid.phi.to = f64::NAN).starts_with("growth.grid.phi"));
    let text = with(|grid| (grid.alpha, grid.tolerance) = (Range::only(1.0), 0.0));
    assert!(text.contains("within 0 of 2"), "{text}");
    assert!(with(|grid| (grid.beta.step, grid.gamma.step) = (1e-4, 1e-4)).contains("candidates"));
    let mut broken = b0();
    broken.backbone.stem.kernel = 2;
    assert!(
        search(&broken, &Search::default(), &limits)
            .unwrap_err()
            .to_string()
            .starts_with("the baseline")
    );
}

/// A measurement: `cargo test --workspace --lib thousands_of_candidates -- --ignored --nocapture`.
#[test]
#[ignore = "hangs on how busy the machine is"]
fn thousands_of_candidates_are_looked_at_in_a_second() {
    let gibibytes = |number: u64| Some(number << 30);
    for (name, limits) in [
        (
            "computation and memory",
            Limits {
                multiply_adds: Some(2_000_000_000),
                training_memory: gibibytes(8),
                ..Limits::default()
            },
        ),
        (
            "memory alone",
            Limits {
                training_memory: gibibytes(8),
                ..Limits::default()
            },
        ),
        (
            "parameters",
            Limits {
                parameters: Some(20_000_000),
                ..Limits::default()
            },
        ),
    ] {
        let started = std::time::Instant::now();
        let found = search(&b0(), &Search::default(), &limits).unwrap();
        let seconds = started.elapsed().as_secs_f64();
        let rate = found.candidates.len() as f64 / seconds;
        println!(
            "{name}: {} candidates in {seconds:.2} s, {rate:.0} a second",
            found.candidates.len()
        );
        assert!(rate > 1000.0, "{name}: {rate}");
    }
}
