# SPDX-License-Identifier: BSD-3-Clause
"""The plots of the comparison."""

import statistics

from figures import Sample, loader_was_the_limit, microseconds
from svg import Axis, Plot
from tables import FLOOR, OURS, THEIRS

NAMES = (THEIRS, OURS, FLOOR)  # in the order of the colours
LAYERS = (2, 0, 1)  # what is drawn first may be covered


def curve(trials, load, relay):
    """What came of each offered rate: (offered, delivered/s, lost %, CPU us, hollow), medians."""
    by_rate = {}
    for trial in trials:
        if (trial["load"], trial["relay"]) == (load, relay) and trial["what"] != "shared":
            by_rate.setdefault(trial["report"]["options"]["rate"], []).append(trial["report"])
    points = []
    for rate in sorted(by_rate):
        reports = by_rate[rate]
        lost = [100 * r["packets"]["lost"] / max(r["packets"]["offered"], 1) for r in reports]
        cpu = [c for c in map(microseconds, reports) if c is not None]
        points.append((rate, statistics.median(r["per_second"]["delivered"] for r in reports),
                       statistics.median(lost), statistics.median(cpu) if cpu else None,
                       any(loader_was_the_limit(r) for r in reports)))
    return points


def drawn(curves):
    """For the legend: the names of the curves that have points."""
    return {series: NAMES[series] for series, points in enumerate(curves) if points}


def throughput(trials, load, title):
    curves = [curve(trials, load, name) for name in NAMES]
    rates = [point[0] for points in curves for point in points]
    if not rates:
        return None
    plot = Plot(720, 460, title)
    plot.legend(22, drawn(curves))
    low, high = min(rates) * 0.9, max(rates) * 1.1
    x = Axis(low, high, 64, 700, log=True)
    delivered = Axis(max(min(p[1] for points in curves for p in points) * 0.8, 100), high, 270, 62,
                     log=True)
    lost = Axis(0, 100, 410, 316)
    plot.frame(x, delivered, "delivered, packets/s", x_labels=False)
    plot.frame(x, lost, "lost, % of those offered", "offered, packets/s (hollow: the loader was the "
                                                    "limit)")
    for series in LAYERS:
        points = curves[series]
        plot.line(x, delivered, [(p[0], p[1], p[4]) for p in points], series)
        plot.line(x, lost, [(p[0], p[2], p[4]) for p in points], series)
    return plot.render()


def cpu(trials, title, prefix=""):
    plot = Plot(720, 330, title)
    names = {}
    for panel, (load, title) in enumerate((("light", "us, 500 peers, 1 packet a write"),
                                           ("bulk", "us, 10 pairs, 8 packets a write"))):
        curves = [[(p[1], p[3]) for p in curve(trials, prefix + load, name) if p[3] is not None and p[2] < 1]
                  for name in NAMES]
        points = [point for points in curves for point in points]
        if not points:
            continue
        names.update(drawn(curves))
        left = 64 + 340 * panel
        x = Axis(min(p[0] for p in points) * 0.9, max(p[0] for p in points) * 1.1, left, left + 280,
                 log=True)
        y = Axis(0, max(p[1] for p in points) * 1.05, 270, 64)
        plot.frame(x, y, title, "delivered, packets/s (less than 1 % lost)")
        for series in LAYERS:
            plot.line(x, y, sorted(curves[series]), series)
    plot.legend(22, dict(sorted(names.items())))
    return plot.render() if names else None


LATENCIES = (("light_20k", "light"), ("crossing_20k", "light, 2 workers"),
             ("random", "5,000 peers, random"))
TLS_LATENCIES = (("tls_light_20k", "light"), ("tls_random", "5,000 peers, random"))


def latency(values, groups, title):
    shown = [(key, name, label) for key, name in groups for label in ("p50", "p99", "p999")
             if f"{key}_{label}" in values]
    samples = {(key, label, relay): Sample(values[f"{key}_{label}"].get(relay, []))
               for key, _, label in shown for relay in NAMES}
    everything = [v for sample in samples.values() for v in sample.values]
    if not everything:
        return None
    plot = Plot(720, 330, title)
    plot.legend(22, drawn([[key for key, label, name in samples if name == relay and
                            samples[key, label, name]] for relay in NAMES]))
    x = Axis(0, len(shown), 64, 700)
    y = Axis(min(everything) * 0.8, max(everything) * 1.2, 270, 64, log=True)
    plot.frame(x, y, "us, from when a packet was due", x_labels=False)
    for at, (key, name, label) in enumerate(shown):
        middle = x.at(at + 0.5)
        plot.text(middle, 288, label.replace("p999", "p99.9"), "small", "middle")
        if label == "p50":
            plot.text(x.at(at + 0.1), 312, name)
        for series, relay in enumerate(NAMES):
            if samples[key, label, relay]:
                plot.span(middle - 14 + 14 * series, y, samples[key, label, relay], series)
    return plot.render()


def memory(values):
    """Resident memory of the whole process with idle connections."""
    curves = []
    for name in NAMES:
        points = []
        empty = Sample(values.get("empty_rss", {}).get(name, []))
        if empty:
            points.append((0, empty.median))
        for count in (1000, 2500, 5000, 10000):
            each = Sample(values.get(f"idle_{count}_rss", {}).get(name, []))
            if each and empty:
                points.append((count, empty.median + each.median * count / 1024))
        curves.append(points)
    points = [point for line in curves for point in line]
    if len(points) < 4:
        return None
    plot = Plot(720, 320, "Memory of the relay with idle connections")
    plot.legend(22, drawn(curves))
    x, y = Axis(0, max(p[0] for p in points), 64, 700), Axis(0, max(p[1] for p in points) * 1.05, 260, 64)
    plot.frame(x, y, "MiB resident", "connections")
    for series, line in enumerate(curves):
        plot.line(x, y, line, series)
    return plot.render()


CAPTIONS = {
    "throughput-bulk.svg": "Delivered and lost packets against offered packets, bulk",
    "throughput-light.svg": "Delivered and lost packets against offered packets, light",
    "throughput-tls-bulk.svg": "Delivered and lost packets against offered packets, bulk over TLS",
    "cpu.svg": "CPU of the relay per packet",
    "cpu-tls.svg": "CPU of the relay per packet, over TLS",
    "latency.svg": "Latency percentiles",
    "latency-tls.svg": "Latency percentiles, over TLS",
    "memory.svg": "Memory against idle connections",
}


def draw(trials, values):
    """The plots by file name; those without anything to show are missing."""
    plots = {
        "throughput-bulk.svg": throughput(trials, "bulk", "Bulk: 10 pairs, 1400 bytes, 8 packets a "
                                                          "write"),
        "throughput-light.svg": throughput(trials, "light", "Light: 500 peers, 1400 bytes, 1 packet "
                                                            "a write"),
        "throughput-tls-bulk.svg": throughput(trials, "tls_bulk", "Bulk over TLS: 10 pairs, 1400 "
                                              "bytes, 8 packets a write"),
        "cpu.svg": cpu(trials, "CPU of the relay for each packet delivered"),
        "cpu-tls.svg": cpu(trials, "CPU of the relay for each packet delivered, over TLS", "tls_"),
        "latency.svg": latency(values, LATENCIES,
                               "Latency at 20,000 packets/s"),
        "latency-tls.svg": latency(values, TLS_LATENCIES, "Latency at 20,000 packets/s over TLS"),
        "memory.svg": memory(values),
    }
    return {name: text for name, text in plots.items() if text is not None}
