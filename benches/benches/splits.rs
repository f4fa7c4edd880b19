//! What a million samples cost: split into folds, and checked for leaks. The work of the kinds
//! alone, over tables in memory.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use dermflow_benches::{median, tell, wanted};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Column, ColumnType, SampleId, TableType, sample_ids};
use dermflow_vision::similarity::near_pairs;

const SAMPLES: usize = 1_000_000;
/// Samples of one patient.
const EACH: usize = 4;

fn main() {
    if !wanted() {
        return;
    }
    let samples = samples(SAMPLES);
    for (what, with) in [
        (
            "split: a fold for each sample, shares by chance",
            "{shares: {train: 0.8, test: 0.2}}",
        ),
        (
            "split: a fold for each sample, exact shares",
            "{shares: {train: 0.8, test: 0.2}, exact: true}",
        ),
    ] {
        let taken = median(3, || context(&samples), |context| run("split", with, context));
        tell(what, taken, SAMPLES);
    }
    let splits = run("split", "{shares: {train: 0.8, test: 0.2}}", context(&samples)).output("splits");
    let with_splits = || {
        let mut context = context(&samples);
        context.add_table("splits", splits.clone());
        context
    };
    let taken = median(3, with_splits, |context| run("check-leakage", "{}", context));
    tell("check-leakage: same image and same patient", taken, SAMPLES);

    let mut random = Random(7);
    let mut hashes: Vec<u64> = (0..SAMPLES).map(|_| random.next() & !1).collect();
    // A tenth are copies a few bits off.
    for at in 0..SAMPLES / 10 {
        hashes[SAMPLES - 1 - at] = hashes[at] ^ (2 << (at % 40));
    }
    for most in [2, 4] {
        let taken = median(
            3,
            || (),
            |()| {
                let mut pairs = 0u64;
                near_pairs(&hashes, most, |_, _, _| {
                    pairs += 1;
                    true
                });
                pairs
            },
        );
        tell(
            &format!("near pairs among hashes, {most} bits at most"),
            taken,
            SAMPLES,
        );
    }
    let pictures = pictures(SAMPLES / 10);
    let with_splits = || {
        let mut context = context(&pictures);
        context.add_table("splits", splits.clone());
        context
    };
    let with = "{near-duplicates: 4, on-leak: warn}";
    let taken = median(1, with_splits, |context| run("check-leakage", with, context));
    tell(
        "check-leakage: pixels of 32 by 32, hashed and compared",
        taken,
        SAMPLES / 10,
    );
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn samples(count: usize) -> RecordBatch {
    let columns = [
        Column::new("source", ColumnType::Text),
        Column::new("group", ColumnType::Text),
        Column::new("label", ColumnType::Text),
    ];
    let ids: Vec<SampleId> = (0..count).map(|row| SampleId::of_key(&row.to_string())).collect();
    let sources: StringArray = (0..count).map(|row| Some(format!("photos/{row}.jpg"))).collect();
    let groups: StringArray = (0..count)
        .map(|row| Some(format!("patient-{}", row / EACH)))
        .collect();
    let labels: StringArray = (0..count)
        .map(|row| Some(["nevus", "melanoma", "wart"][row / EACH % 3]))
        .collect();
    let arrays: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(sources),
        Arc::new(groups),
        Arc::new(labels),
    ];
    RecordBatch::try_new(TableType::exactly(columns).schema(), arrays).expect("columns of one length")
}

fn pictures(count: usize) -> RecordBatch {
    let plain = samples(count);
    let columns = [
        Column::new("width", ColumnType::Integer),
        Column::new("height", ColumnType::Integer),
        Column::new("pixels", ColumnType::Binary),
    ];
    let mut random = Random(3);
    let mut picture = || -> Vec<u8> {
        let cells: Vec<u8> = (0..16).map(|_| random.next() as u8).collect();
        (0..32 * 32)
            .flat_map(|at| [cells[at / 256 * 4 + at % 32 / 8]; 3])
            .collect()
    };
    let pixels: BinaryArray = (0..count).map(|_| Some(picture())).collect();
    let sides: ArrayRef = Arc::new(Int64Array::from(vec![32; count]));
    let mut schema = plain
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect::<Vec<_>>();
    schema.extend(columns.map(|column| column.field()));
    let mut arrays = plain.columns().to_vec();
    arrays.extend([sides.clone(), sides, Arc::new(pixels)]);
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(schema)), arrays)
        .expect("columns of one length")
}

fn context(samples: &RecordBatch) -> MemoryContext {
    let mut context = MemoryContext::default();
    context.threads = std::thread::available_parallelism().map_or(1, usize::from);
    context.add_table("samples", samples.clone());
    context
}

fn run(kind: &str, with: &str, mut context: MemoryContext) -> MemoryContext {
    let registry = dermflow_stages::registry();
    let kind = registry.get(kind).expect("a registered kind");
    let with = serde_yaml::from_str(with).expect("YAML");
    let parameters = kind.parse(&with).expect("right parameters");
    kind.run(&parameters, &mut context).expect("the kind runs");
    context
}
