//! Whatever the threads, the instructions and the batch: the same bytes.

use super::*;

#[test]
fn one_two_and_four_threads_give_the_same_bytes() {
    for architecture in all() {
        let case = Case::new(&architecture, (5, 36, 40));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| case.step(Mode::Train(draw(0))))
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(4));
        assert_eq!(one, case.step(Mode::Train(draw(0))));
    }
}

#[test]
fn a_single_image_is_shared_out_among_threads_and_gives_what_it_gives_in_a_batch() {
    for architecture in all() {
        let case = Case::new(&architecture, (2, 97, 110));
        let inference = case
            .network
            .inference(&case.parameters, &case.statistics)
            .unwrap();
        let run = |images: Images<'_>, threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| match architecture.classifier() {
                Some(_) => [inference.logits(images).unwrap(), Vec::new()],
                None => inference.maps(images).unwrap().map(|grids| grids.values),
            })
        };
        let batch = run(case.images(), 1);
        let images = case.pixels.chunks_exact(case.pixels.len() / 2);
        for (index, pixels) in images.enumerate() {
            let image = Images {
                pixels,
                count: 1,
                ..case.images()
            };
            for threads in [1, 2, 3, 7] {
                for (batch, alone) in batch.iter().zip(run(image, threads)) {
                    assert_eq!(batch[index * alone.len()..(index + 1) * alone.len()], alone);
                }
            }
        }
        assert_eq!(run(case.images(), 5), batch);
    }
}

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    for architecture in all() {
        let mut results = InstructionSet::available().into_iter().map(|set| {
            let case = Case::on(&architecture, (2, 21, 16), set);
            let inference = case
                .network
                .inference(&case.parameters, &case.statistics)
                .unwrap();
            let inferred = match architecture.classifier() {
                Some(_) => [inference.logits(case.images()).unwrap(), Vec::new()],
                None => inference.maps(case.images()).unwrap().map(|grids| grids.values),
            };
            (case.step(Mode::Train(draw(0))), inferred)
        });
        let first = results.next().unwrap();
        for other in results {
            assert_eq!(first, other);
        }
    }
}
