//! The prices of the file.

use super::*;

/// `BASE` with these prices, and a fleet that launches three types.
fn with(prices: &str) -> String {
    let text = BASE.replace("[t3.small]", "[t3.small, m7g.large, u-6tb1.112xlarge]");
    format!("{text}prices: {prices}\n")
}

#[test]
fn prices_are_dollars_by_type() {
    let policy = good(&with("{ m7g.large: 0.0816, t3.small: .02, u-6tb1.112xlarge: 54 }"));
    let prices: Vec<(&str, f64)> =
        policy.prices.iter().map(|(name, price)| (name.as_str(), *price)).collect();
    assert_eq!(prices, [("m7g.large", 0.0816), ("t3.small", 0.02), ("u-6tb1.112xlarge", 54.0)]);
    assert!(good(BASE).prices.is_empty());
    assert!(good(&with("")).prices.is_empty());
}

#[test]
fn wrong_prices_are_errors_with_a_remedy() {
    for (prices, expected) in [
        (
            "{ t3.small: $0.02 }",
            "8:21 error the price of `t3.small` cannot be `$0.02` | not a plain number",
        ),
        (
            "{ t3.small: 0.02/h }",
            "8:21 error the price of `t3.small` cannot be `0.02/h` | not a plain number",
        ),
        (
            "{ t3.small: 2 cents }",
            "8:21 error the price of `t3.small` cannot be `2 cents` | not a plain number",
        ),
        (
            "{ t3.small: \"0,02\" }",
            "8:21 error the price of `t3.small` cannot be `0,02` | not a plain number",
        ),
        (
            "{ t3.small: .inf }",
            "8:21 error the price of `t3.small` cannot be `.inf` | not a plain number",
        ),
        (
            "{ t3.small: .nan }",
            "8:21 error the price of `t3.small` cannot be `.nan` | not a plain number",
        ),
        (
            "{ t3.small: 2e-2 }",
            "8:21 error the price of `t3.small` cannot be `2e-2` | not a plain number",
        ),
        (
            "{ t3.small: 1.2.3 }",
            "8:21 error the price of `t3.small` cannot be `1.2.3` | not a plain number",
        ),
        (
            "{ t3.small: -0.02 }",
            "8:21 error the price of `t3.small` cannot be `-0.02` | not more than 0",
        ),
        ("{ t3.small: 0 }", "8:21 error the price of `t3.small` cannot be `0` | not more than 0"),
        (
            "{ t3.small: 1000.01 }",
            "8:21 error the price of `t3.small` cannot be `1000.01` | more than 1000 dollars an hour",
        ),
        ("{ t3.small: [1] }", "8:21 error `t3.small` is a list | should be a single value"),
        ("{ t3small: 0.02 }", "8:11 error `t3small` is no instance type | not like `t3.small`"),
        ("{ T3.small: 0.02 }", "8:11 error `T3.small` is no instance type | not like `t3.small`"),
        ("[0.02]", "8:9 error `prices` is a list | should be a map of keys and values"),
        ("{ t3.small: 0.02, t3.small: 0.03 }", "8:27 error `t3.small` is there twice | again here"),
    ] {
        let text = with(prices);
        assert_eq!(list(&text), [expected], "{prices}");
        let loaded = read(&text);
        let remedy = loaded.problems[0].remedy.as_deref().unwrap_or_default();
        assert!(!remedy.is_empty(), "{prices}");
    }
}

#[test]
fn more_prices_than_types_are_refused() {
    let many = |n: usize| {
        let prices: Vec<String> = (0..n).map(|nth| format!("  x{nth}.large: 1\n")).collect();
        format!("{BASE}prices:\n{}", prices.concat())
    };
    assert_eq!(list(&many(1001)), ["8:1 error 1001 prices | at most 1000"]);
    let unused = list(&many(1000));
    assert!(!unused.is_empty());
    assert!(unused.iter().all(|line| line.contains("warning a price for")), "{}", unused.len());
}

#[test]
fn price_of_a_type_that_no_fleet_launches_is_a_warning() {
    let policy = good(&with("{ m7g.larg: 0.08 }"));
    assert_eq!(policy.prices.len(), 1);
    assert_eq!(
        list(&with("{ m7g.larg: 0.08 }")),
        [
            "8:11 warning a price for `m7g.larg`, which no fleet launches | did you mean `m7g.large`?"
        ]
    );
    assert_eq!(
        list(&with("{ inf2.24xlarge: 6.5 }")),
        ["8:11 warning a price for `inf2.24xlarge`, which no fleet launches | never used"]
    );
    // A fleet that cannot be read may launch it.
    let text = with("{ m5.large: 0.1 }").replace("max: 3", "max: many");
    assert_eq!(list(&text).len(), 1, "{:?}", list(&text));
}

#[test]
fn prices_change_nothing_that_acts() {
    let (without, with) = (good(&with("{}")), good(&with("{ t3.small: 0.5 }")));
    for (name, fleet) in &without.fleets {
        assert_eq!(format!("{fleet:?}"), format!("{:?}", with.fleets[name]));
    }
    assert_eq!((without.mode, without.tick, without.limits), (with.mode, with.tick, with.limits));
}
