#!/usr/bin/env python3
"""Makes table.txt from the price lists that releases of apache-libcloud ship.

    for v in 3.9.1 3.8.0 3.7.0 3.6.1 3.6.0 3.5.1; do
        pip download apache-libcloud==$v --no-deps -d $v
        unzip -p $v/*.whl libcloud/data/pricing.json > $v.json
    done
    src/prices/make_table.py 3.9.1.json 3.8.0.json … > src/prices/table.txt

The newest list comes first and says which types a region has. Since 3.6.1 a list may hold 0, or
the price of dedicated tenancy, which is 6 or 10 % higher. The lowest price that two sizes of a
family agree on is therefore taken as the family's, and prices that are not near it are dropped.
"""
import datetime
import json
import re
import sys

REGIONS = """us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 eu-west-1 eu-west-2 eu-west-3
eu-central-1 eu-north-1 eu-south-1 ap-east-1 ap-south-1 ap-southeast-1 ap-southeast-2
ap-northeast-1 ap-northeast-2 sa-east-1 af-south-1 me-central-1 us-gov-east-1
us-gov-west-1""".split()
SAME_AS_FIRST = ["us-east-1", "us-east-2", "us-west-2"]
LINEAR = re.compile(
    r"t2|t3a?|t4g|[mcr][4-8][a-z]*(-flex)?|a1|d3|i3(en)?|i4[gi]|i7ie|i8g|x1e?|x2[a-z]+|x8g|z1d"
)
# Families whose prices do not grow with the size alone.
UNEVEN = re.compile(r"g4dn|g4ad|g5g?|g6|p3|inf1")
SIZES = {"nano": 1 / 32, "micro": 1 / 16, "small": 1 / 8, "medium": 1 / 4, "large": 1 / 2, "xlarge": 1}
HEAD = """\
# On-demand Linux list prices of EC2, in US dollars an hour; `-`: not offered there, or not known.
# Made by make_table.py from the lists of AWS prices in apache-libcloud 3.5.1 to 3.9.1. Where those
# have no price of a size, it is computed from the other sizes of the family in the region.
# Bare-metal sizes, and families whose prices were cut since (p4, p5), are left out."""


def scale(size):
    """Returns the size as a multiple of `xlarge`."""
    times = re.fullmatch(r"(\d+)xlarge", size)
    return int(times[1]) if times else SIZES.get(size)


def near(price, due, share):
    return abs(price - due) <= share * due + 0.00006


def agreed(prices, base):
    """Returns the lowest multiple of `base` that two types agree on."""
    by_unit = sorted((price / base[kind], kind) for kind, price in prices.items())
    for unit, _ in by_unit:
        same = [k for _, k in by_unit if near(prices[k], unit * base[k], 0.006)]
        if len(same) > 1:
            largest = max(same, key=base.get)
            return prices[largest] / base[largest]
    return None


def main():
    documents = [json.load(open(path)) for path in sys.argv[1:]]
    lists = [document["compute"]["ec2_linux"] for document in documents]
    families = {}
    for kind in lists[0]:
        family, _, size = kind.partition(".")
        if scale(size) and (LINEAR.fullmatch(family) or UNEVEN.fullmatch(family)):
            families.setdefault(family, []).append(kind)
    print(HEAD)
    print("as-of", datetime.datetime.fromtimestamp(documents[0]["updated"], datetime.UTC).date())
    print("type", *REGIONS)
    for family, kinds in sorted(families.items()):
        kinds.sort(key=lambda kind: scale(kind.partition(".")[2]))
        price = lambda one, kind, region: one.get(kind, {}).get(region) or 0
        if LINEAR.fullmatch(family):
            base = {kind: scale(kind.partition(".")[2]) for kind in kinds}
        else:
            known = lambda kind: [price(one, kind, r) for one in lists for r in SAME_AS_FIRST]
            base = {kind: min(filter(None, known(kind)), default=0) for kind in kinds}
        rows = {kind: [] for kind in kinds}
        for region in REGIONS:
            seen = [{k: p for k in kinds if base[k] and (p := price(one, k, region))} for one in lists]
            units = [unit for prices in seen if (unit := agreed(prices, base))]
            for kind in kinds:
                if not units or not base[kind] or region not in lists[0][kind]:
                    rows[kind].append("-")
                    continue
                due = min(units) * base[kind]
                good = [prices[kind] for prices in seen if near(prices.get(kind, 0), due, 0.02)]
                rows[kind].append(f"{good[0] if good else due:.5f}".strip("0").rstrip("."))
        for kind, row in rows.items():
            if any(cell != "-" for cell in row):
                print(kind, *row)


main()
