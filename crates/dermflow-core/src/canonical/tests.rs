use proptest::prelude::*;

use super::Value;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(Value::Source),
        any::<bool>().prop_map(Value::Boolean),
        any::<i128>().prop_map(Value::Integer),
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        any::<i16>().prop_map(|n| Value::Float(n.into())),
        "\\PC{0,6}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof!["[a-c]{0,2}", "\\$(map|float|source|bytes)", "\\PC{0,4}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            proptest::collection::btree_map(key, inner, 0..5).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn two_values_share_an_encoding_exactly_if_they_are_equal(a in any_value(), b in any_value()) {
        prop_assert_eq!(a == b, a.encode() == b.encode());
        let copy = a.clone();
        prop_assert_eq!(copy.encode(), a.encode());
    }

    #[test]
    fn no_encoding_is_the_start_of_another(a in any_value(), b in any_value()) {
        let (a_bytes, b_bytes) = (a.encode(), b.encode());
        prop_assert!(a == b || !b_bytes.starts_with(&a_bytes));
    }

    #[test]
    fn json_keeps_every_value(value in any_value()) {
        let text = serde_json::to_string(&value).unwrap();
        let back: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(back.encode(), value.encode(), "{}", text);
    }

    #[test]
    fn arbitrary_json_never_panics(text in "\\PC{0,80}") {
        let _ = serde_json::from_str::<Value>(&text);
    }
}

/// The encoding is a promise to every store on disk: these bytes never change.
#[test]
fn the_bytes_are_those_of_the_specification() {
    let value: serde_yaml::Value = serde_yaml::from_str("{b: [1, -0.0, null], a: x}").unwrap();
    let mut expected = vec![8];
    expected.extend(2u64.to_le_bytes());
    expected.extend(1u64.to_le_bytes());
    expected.extend(*b"a");
    expected.push(5);
    expected.extend(1u64.to_le_bytes());
    expected.extend(*b"x");
    expected.extend(1u64.to_le_bytes());
    expected.extend(*b"b");
    expected.push(7);
    expected.extend(3u64.to_le_bytes());
    expected.push(3);
    expected.extend(1i128.to_le_bytes());
    expected.push(4);
    expected.extend((-0.0f64).to_bits().to_le_bytes());
    expected.push(0);
    assert_eq!(Value::from_serialize(&value).unwrap().encode(), expected);
}

#[test]
fn counter_examples_of_other_tools_stay_apart() {
    let of = |yaml: &str| {
        let value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
        Value::from_serialize(&value).unwrap().encode()
    };
    let apart = [
        "{a: 1, b: 2}",
        "{a1b: 2}",
        "{a: '1', b: '2'}",
        "{a: '1,b=2'}",
        "{size: 224}",
        "{size: 512}",
        "{}",
        "{a: null}",
        "{a: ''}",
        "{a: []}",
        "{a: {}}",
        "{a: 0}",
        "{a: 0.0}",
        "{a: -0.0}",
        "{a: .nan}",
        "{a: false}",
        "{a: 'false'}",
        "{a: [1, 2]}",
        "{a: [[1], 2]}",
        "{a: [12]}",
        "null",
        "[]",
        "''",
    ];
    for (at, left) in apart.iter().enumerate() {
        for right in &apart[..at] {
            assert_ne!(of(left), of(right), "{left} and {right}");
        }
    }
}

#[test]
fn a_map_with_keys_that_are_no_text_is_refused() {
    let value = std::collections::BTreeMap::from([(1, 2)]);
    let refusal = Value::from_serialize(&value).unwrap_err().to_string();
    assert!(refusal.contains("must be text"), "{refusal}");
}
