//! What counts of an input.

use dermflow_core::ColumnType;

use super::*;

/// A table of one partition whose columns hold what their names say.
fn table(columns: &[Column]) -> TableManifest {
    let digest = |column: &Column| Digest::of(column.name.as_bytes());
    let id = SampleId::of_key("a");
    let columns: Vec<Column> = std::iter::once(Column::sample_id())
        .chain(columns.iter().cloned())
        .collect();
    let partition = Partition {
        rows: 1,
        first: id,
        last: id,
        blob: dermflow_core::BlobRef {
            digest: Digest::of(b"a file"),
            bytes: 6,
        },
        digests: columns.iter().map(digest).collect(),
    };
    TableManifest::new("", columns, vec![partition])
}

#[test]
fn whether_values_may_be_missing_and_the_order_of_columns_count_where_they_are_read() {
    let number = |name: &str| Column::new(name, ColumnType::Integer);
    let empty = |name: &str| Column::nullable(name, ColumnType::Integer);
    let counts = |columns: &[Column], reads: &[&str]| {
        let (table, reads) = (table(columns), reads.iter().map(|name| (*name).to_string()));
        let reads = Some(reads.collect());
        let whole = read_digests(&table, None, &reads);
        (whole, read_digests(&table, table.partitions.first(), &reads))
    };
    let (one, both) = (&["age"][..], &["age", "site"][..]);
    let first = [number("age"), number("site")];
    for (other, counts_for_one) in [
        ([empty("age"), number("site")], true),
        ([number("age"), empty("site")], false),
        ([number("site"), number("age")], false),
    ] {
        let (whole, part) = counts(&first, both);
        let (other_whole, other_part) = counts(&other, both);
        assert!(whole != other_whole && part != other_part, "{other:?}");
        let moved = counts(&first, one) != counts(&other, one);
        assert_eq!(moved, counts_for_one, "{other:?}");
    }
}
