//! The table that ships, and what is made of it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Sizes in the order of their prices.
const SIZES: [&str; 21] = [
    "nano",
    "micro",
    "small",
    "medium",
    "large",
    "xlarge",
    "2xlarge",
    "3xlarge",
    "4xlarge",
    "6xlarge",
    "8xlarge",
    "9xlarge",
    "10xlarge",
    "12xlarge",
    "16xlarge",
    "18xlarge",
    "24xlarge",
    "32xlarge",
    "48xlarge",
    "56xlarge",
    "112xlarge",
];

/// Their 12xlarge has more GPUs than their 16xlarge.
const BY_GPUS: [&str; 2] = ["g5", "g6"];

fn list(region: &str) -> PriceList {
    PriceList::new(Some(region), &BTreeMap::new())
}

fn own(prices: &[(&str, f64)]) -> BTreeMap<String, f64> {
    prices.iter().map(|(name, price)| ((*name).to_owned(), *price)).collect()
}

#[test]
fn table_has_one_whole_line_per_type() {
    let regions: Vec<&str> = table::regions().collect();
    let distinct: BTreeSet<&str> = regions.iter().copied().collect();
    assert_eq!(distinct.len(), regions.len());
    for region in [
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "ca-central-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "eu-central-1",
        "eu-north-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-northeast-1",
        "ap-south-1",
        "sa-east-1",
        "us-gov-west-1",
    ] {
        assert!(distinct.contains(region), "{region}");
        assert!(table::of(region).len() > 200, "{region} has {}", table::of(region).len());
    }
    assert_eq!(table::as_of().len(), "2025-03-02".len(), "{}", table::as_of());
    let mut types = BTreeSet::new();
    for line in table::lines().skip(2) {
        let (name, cells) = line.split_once(' ').unwrap();
        assert!(name.contains('.') && types.insert(name), "{name}");
        let cells: Vec<&str> = cells.split(' ').collect();
        assert_eq!(cells.len(), regions.len(), "{name}");
        for cell in cells.iter().filter(|cell| **cell != "-") {
            let price: f64 = cell.parse().unwrap();
            assert!((0.001..=500.0).contains(&price), "{name}: {price}");
        }
    }
    assert!(types.len() > 500, "{}", types.len());
}

#[test]
fn larger_sizes_of_a_family_cost_more() {
    for region in table::regions() {
        let mut families: BTreeMap<&str, Vec<(usize, f64, &str)>> = BTreeMap::new();
        for (name, price) in table::of(region) {
            let (family, size) = name.split_once('.').unwrap();
            let nth = SIZES.iter().position(|known| *known == size);
            let nth = nth.unwrap_or_else(|| panic!("{name} is of no known size"));
            families.entry(family).or_default().push((nth, price, name));
        }
        for (family, mut sizes) in families {
            if BY_GPUS.contains(&family) {
                continue;
            }
            sizes.sort_unstable_by_key(|(nth, ..)| *nth);
            for pair in sizes.windows(2) {
                let [(_, less, small), (_, more, large)] = pair else { panic!("two of {family}") };
                assert!(less < more, "{region}: {small} {less}, {large} {more}");
            }
        }
    }
}

#[test]
fn list_prices_are_those_of_aws() {
    for (region, instance_type, price) in [
        ("us-east-1", "t2.micro", 0.0116),
        ("us-east-1", "t3.micro", 0.0104),
        ("us-east-1", "t3a.small", 0.0188),
        ("us-east-1", "t4g.small", 0.0168),
        ("us-east-1", "m5.large", 0.096),
        ("us-east-1", "m7g.large", 0.0816),
        ("us-east-1", "c5.large", 0.085),
        ("us-east-1", "c5.xlarge", 0.17),
        ("us-east-1", "c7g.large", 0.0725),
        ("us-east-1", "r7i.large", 0.1323),
        ("us-east-1", "g4dn.xlarge", 0.526),
        ("us-west-2", "m5.large", 0.096),
        ("ca-central-1", "t3.micro", 0.0116),
        ("eu-west-1", "m5.large", 0.107),
        ("eu-central-1", "t3.micro", 0.012),
        ("ap-south-1", "m5.large", 0.101),
        ("sa-east-1", "m5.large", 0.153),
    ] {
        let found = list(region).per_hour(instance_type);
        assert!(
            found.is_some_and(|found| (found - price).abs() < 1e-9),
            "{instance_type} in {region}: {found:?}"
        );
    }
}

#[test]
fn price_of_the_policy_beats_the_list() {
    let prices = PriceList::new(Some("eu-west-1"), &own(&[("m5.large", 0.05), ("m9z.large", 1.0)]));
    assert_eq!(prices.per_hour("m5.large"), Some(0.05));
    assert_eq!(prices.per_hour("m9z.large"), Some(1.0));
    assert_eq!(prices.per_hour("m5.xlarge"), Some(0.214));
    assert_eq!(prices.per_hour("m9z.xlarge"), None);
    let both = prices.or(&own(&[("m5.large", 9.0), ("m9z.xlarge", 2.0)]));
    assert_eq!((both.per_hour("m5.large"), both.per_hour("m9z.xlarge")), (Some(0.05), Some(2.0)));
}

#[test]
fn source_names_the_region_and_the_day() {
    let day = table::as_of();
    assert_eq!(list("eu-west-1").source(), format!("list prices of eu-west-1 as of {day}"));
    let nowhere = PriceList::new(None, &BTreeMap::new());
    assert_eq!((nowhere.region(), nowhere.region_assumed()), ("us-east-1", true));
    let assumed =
        format!("list prices of us-east-1 as of {day} (assumed: the policy names no `region`)");
    assert_eq!(nowhere.source(), assumed);
    let own = PriceList::new(Some("cn-north-1"), &own(&[("t3.small", 0.03)]));
    let said = own.source();
    assert!(
        said.starts_with("`prices` of the policy, else ") && said.contains("cn-north-1"),
        "{said}"
    );
}

#[test]
fn sum_without_a_price_is_not_made_up() {
    let prices = PriceList::new(Some("eu-west-9"), &own(&[("t3.small", 0.5)]));
    let mut cost = Cost::default();
    assert_eq!((cost.to_string().as_str(), cost.whole()), ("$0.00", Some(0.0)), "nothing ran");
    cost.add(Some("m9z.large"), 2.0, &prices);
    assert_eq!((cost.to_string().as_str(), cost.known_part()), ("no price known", None));
    cost.add(Some("t3.small"), 3.0, &prices);
    assert_eq!(cost.to_string(), "$1.50 without 1 type of unknown price");
    assert_eq!((cost.whole(), cost.known_part()), (None, Some(1.5)));
    let mut other = Cost::default();
    other.add(None, 1.0, &prices);
    other.add(Some("m9z.large"), 1.0, &prices);
    other.join(&cost);
    assert_eq!(other.to_string(), "$1.50 without 2 types of unknown price");
}

#[test]
fn missing_prices_are_named_with_what_to_do() {
    let prices = list("eu-west-9");
    let mut cost = Cost::default();
    assert_eq!(prices.missing(&cost), Vec::<String>::new());
    cost.add(Some("m9z.large"), 1.0, &prices);
    let said = "no price known for m9z.large in eu-west-9: add it to `prices:`";
    assert_eq!(prices.missing(&cost), [said]);
    cost.add(Some("m9z.xlarge"), 1.0, &prices);
    cost.add(None, 1.0, &prices);
    let said = prices.missing(&cost);
    let types = "no price known for m9z.large and m9z.xlarge in eu-west-9: add them to `prices:`";
    assert_eq!(said.first().map(String::as_str), Some(types));
    assert!(said[1].contains("launch template") && said[1].contains("`launch.types`"), "{said:?}");
}
