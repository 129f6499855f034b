#!/usr/bin/python3
"""Medians of what the rounds of a benchmark measured, and each kind against one of them.

usage: compare.py BASE <LINES        a line a run: KIND NAME=NUMBER …, e2e_per_s and cpu_s_per_1000 among them
"""

import statistics
import sys


def main(base_kind):
    rows = {}
    for line in sys.stdin:
        kind, *fields = line.split()
        for name, value in (f.split("=") for f in fields):
            rows.setdefault(kind, {}).setdefault(name, []).append(float(value))
    for kind, r in rows.items():
        print(f"{kind}: " + "  ".join(f"{name} {statistics.median(v):.3f}" for name, v in r.items()))
    base = rows.get(base_kind)
    if base is None:
        return
    spread = [abs(a / b - 1) for a, b in zip(base["e2e_per_s"], base["e2e_per_s"][1:])]
    if spread:
        print(f"noise: {base_kind} against {base_kind} of the next round differs by "
              f"{100 * statistics.median(spread):.1f} % in e2e_per_s")
    for kind in rows:
        if kind != base_kind:
            print(f"{kind} against {base_kind}: " + "  ".join(
                f"{name} {100 * statistics.median(v / b for v, b in zip(rows[kind][name], base[name])) - 100:+.1f} %"
                for name in ("e2e_per_s", "cpu_s_per_1000")))


main(sys.argv[1])
