//! Partitions are a function of content alone.

use super::*;

fn some_rows(most: usize) -> impl Strategy<Value = Vec<(u16, i64, Option<String>)>> {
    let row = (0u16..120, 0i64..1000, proptest::option::of("[a-z]{0,40}"));
    proptest::collection::vec(row, 1..most)
}

/// Cuts rows into batches at these places.
fn cut(rows: &RecordBatch, places: &[usize]) -> Vec<RecordBatch> {
    let mut places: Vec<usize> = places.iter().map(|at| at % (rows.num_rows() + 1)).collect();
    places.extend([0, rows.num_rows()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| rows.slice(pair[0], pair[1] - pair[0]))
        .collect()
}

/// Whether partitions are as the design says: each id in one of them, borders where ids or
/// limits say so and nowhere else.
fn assert_canonical(table: &TableManifest, content: &RecordBatch) {
    table.validate().unwrap();
    let ids = content.column(0).as_fixed_size_binary();
    let mut at = 0;
    for (number, partition) in table.partitions.iter().enumerate() {
        let rows = partition.rows as usize;
        assert_eq!(ids.value(at), partition.first.as_bytes());
        assert_eq!(ids.value(at + rows - 1), partition.last.as_bytes());
        let ends = |row: usize| SampleId::from_bytes(ids.value(row).try_into().unwrap()).ends_partition(3);
        for row in at..at + rows - 1 {
            assert!(
                !ends(row) || ids.value(row) == ids.value(row + 1),
                "a border was missed"
            );
        }
        let capped = rows >= 20 || partition_bytes(&content.slice(at, rows)) >= 2000;
        let is_last = number + 1 == table.partitions.len();
        assert!(
            is_last || ends(at + rows - 1) || capped,
            "a border without a reason"
        );
        at += rows;
    }
    assert_eq!(at, content.num_rows());
}

fn partition_bytes(rows: &RecordBatch) -> u64 {
    super::super::columns::RowSizes::of(rows).total(rows.num_rows())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn partitions_are_a_function_of_content(
        content in some_rows(300),
        places in proptest::collection::vec(0usize..1000, 0..12),
        budget in prop_oneof![Just(100u64), Just(1500), Just(10_000), Just(1 << 30)],
    ) {
        let (_folder, store) = store();
        let content = rows(&content);
        let expected = sorted(&content).unwrap();
        let table = write(&store, &cut(&content, &places), budget);
        assert_canonical(&table, &expected);
        let back = read(&store, &table);
        prop_assert_eq!(back.columns(), expected.columns());
        // All at once, in order, gives the same to the byte.
        prop_assert_eq!(&table, &write(&store, std::slice::from_ref(&expected), 1 << 30));
        // And so it does in order but through partitions written early.
        prop_assert_eq!(&table, &write(&store, &cut(&expected, &places), budget));
        prop_assert!(crate::find::names_in(&store.root().join("tmp")).is_empty());
    }

    #[test]
    fn to_expect_order_changes_nothing(
        content in some_rows(200),
        places in proptest::collection::vec(0usize..1000, 0..12),
        sort in any::<bool>(),
    ) {
        let (_folder, store) = store();
        let content = match sort {
            true => sorted(&rows(&content)).unwrap(),
            false => rows(&content),
        };
        let mut writer = TableWriter::new(&store, "Table", content.schema())
            .unwrap()
            .with(1 << 30, LIMITS)
            .expecting_order();
        cut(&content, &places).iter().for_each(|batch| writer.write(batch).unwrap());
        prop_assert_eq!(writer.finish().unwrap(), write(&store, &[content], 1 << 30));
    }

    #[test]
    fn one_file_of_all_partitions_holds_all_rows(content in some_rows(200)) {
        let (_folder, store) = store();
        let content = sorted(&rows(&content)).unwrap();
        let table = write(&store, std::slice::from_ref(&content), 1 << 30);
        let back = read_file(concatenate(&store, &table, Vec::new(), Path::new("x")).unwrap());
        prop_assert_eq!(back.schema(), content.schema());
        prop_assert_eq!(back, content);
    }

    #[test]
    fn the_order_of_unique_ids_does_not_count(
        content in some_rows(200),
        shuffle in any::<u64>(),
        budget in prop_oneof![Just(500u64), Just(1 << 30)],
    ) {
        let (_folder, store) = store();
        let mut content = content;
        content.sort_by_key(|row| row.0);
        content.dedup_by_key(|row| row.0);
        let content = rows(&content);
        let mut order: Vec<u32> = (0..content.num_rows() as u32).collect();
        order.sort_by_key(|row| (u64::from(*row) + 1).wrapping_mul(shuffle | 1).rotate_left(17));
        let shuffled = take_record_batch(&content, &UInt32Array::from(order)).unwrap();
        let parts = cut(&shuffled, &[50, 100]);
        prop_assert_eq!(write(&store, &[content], 1 << 30), write(&store, &parts, budget));
    }

    #[test]
    fn a_table_assembled_from_pieces_is_the_table_written_at_once(
        content in some_rows(400),
        borders in proptest::collection::vec(0usize..400, 0..6),
    ) {
        let (_folder, store) = store();
        let whole = sorted(&rows(&content)).unwrap();
        let ids = whole.column(0).as_fixed_size_binary();
        // Pieces end where an id does.
        let borders: Vec<usize> = borders
            .iter()
            .map(|at| {
                let at = at % (whole.num_rows() + 1);
                (at..whole.num_rows())
                    .find(|row| *row == 0 || ids.value(*row) != ids.value(*row - 1))
                    .unwrap_or(whole.num_rows())
            })
            .collect();
        let pieces: Vec<TableManifest> = cut(&whole, &borders)
            .iter()
            .map(|piece| write(&store, std::slice::from_ref(piece), 1 << 30))
            .collect();
        let expected = write(&store, &[whole], 1 << 30);
        let assembled = assemble_within(&store, "Table", &expected.columns, &pieces, LIMITS).unwrap();
        prop_assert_eq!(assembled, expected);
    }

    #[test]
    fn the_rows_of_chosen_samples_are_those_that_a_filter_gives(
        content in some_rows(200),
        chosen in proptest::collection::btree_set(0u16..140, 0..60),
    ) {
        let (_folder, store) = store();
        let content = rows(&content);
        let table = write(&store, std::slice::from_ref(&content), 1 << 30);
        let mut ids: Vec<SampleId> = chosen.iter().map(|id| SampleId::of_key(&id.to_string())).collect();
        ids.sort_unstable();
        let taken = take_samples(&store, &table, &ids, None).unwrap();
        let promised = taken.rows();
        let schema = taken.schema();
        let batches: Vec<RecordBatch> = taken.map(|batch| batch.unwrap()).collect();
        let taken = concat_batches(&schema, &batches).unwrap();
        prop_assert_eq!(promised, taken.num_rows() as u64);
        let names = [table.columns[1].name.clone()];
        let some = take_samples(&store, &table, &ids, Some(&names)).unwrap();
        let batches: Vec<RecordBatch> = some.map(|batch| batch.unwrap()).collect();
        let projected = taken.project(&[0, 1]).unwrap();
        prop_assert_eq!(concat_batches(&projected.schema(), &batches).unwrap(), projected);

        let whole = read(&store, &table);
        let all = whole.column(0).as_fixed_size_binary();
        let wanted: Vec<u32> = (0..whole.num_rows() as u32)
            .filter(|row| {
                let id = SampleId::from_bytes(all.value(*row as usize).try_into().unwrap());
                ids.binary_search(&id).is_ok()
            })
            .collect();
        let expected = take_record_batch(&whole, &UInt32Array::from(wanted)).unwrap();
        prop_assert_eq!(taken, expected);
    }
}

#[test]
fn a_change_moves_only_the_partitions_it_falls_in() {
    let (_folder, store) = store();
    let many: Vec<(u16, i64, Option<String>)> = (0..2000).map(|id| (id, i64::from(id), None)).collect();
    let before = write(&store, &[rows(&many)], 1 << 30);
    let without: Vec<_> = many.iter().filter(|row| row.0 != 1234).cloned().collect();
    let after = write(&store, &[rows(&without)], 1 << 30);
    let same = after
        .partitions
        .iter()
        .filter(|partition| before.partitions.contains(partition))
        .count();
    assert!(before.partitions.len() > 100);
    assert!(
        same + 3 >= after.partitions.len(),
        "{same} of {}",
        after.partitions.len()
    );
}

#[test]
fn assembling_reads_no_partition_that_it_keeps() {
    let (_folder, store) = store();
    let many: Vec<(u16, i64, Option<String>)> = (0..500).map(|id| (id, i64::from(id), None)).collect();
    let whole = sorted(&rows(&many)).unwrap();
    let expected = write(&store, std::slice::from_ref(&whole), 1 << 30);
    let pieces = cut(&whole, &[250]);
    let pieces: Vec<TableManifest> = pieces
        .iter()
        .map(|piece| write(&store, std::slice::from_ref(piece), 1 << 30))
        .collect();
    // Only the partitions beside the seam may be touched: all others are taken away.
    let seam = pieces[0].partitions.len() - 1;
    let beside = [&pieces[0].partitions[seam], &pieces[1].partitions[0]];
    let all = pieces.iter().flat_map(|piece| &piece.partitions);
    for partition in all.filter(|partition| !beside.contains(partition)) {
        store.set_aside(&partition.blob, "for the test");
    }
    let assembled = assemble_within(&store, "Table", &expected.columns, &pieces, LIMITS).unwrap();
    assert_eq!(assembled, expected);
}

#[test]
fn pieces_that_overlap_or_have_other_columns_are_refused() {
    let (_folder, store) = store();
    let one = write(&store, &[batch(&["a", "b", "c"], [])], 1 << 30);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = write(&store, &[batch(&["d"], [("n", numbers)])], 1 << 30);
    let twice = assemble(&store, "Table", &one.columns, &[one.clone(), one.clone()]);
    assert!(twice.unwrap_err().message().contains("overlap"));
    let mixed = assemble(&store, "Table", &one.columns, &[one.clone(), other]);
    assert!(mixed.unwrap_err().message().contains("n: integer"));
    let none = assemble(&store, "Table", &one.columns, &[]).unwrap();
    assert_eq!((none.rows, none.partitions.len()), (0, 0));
}
