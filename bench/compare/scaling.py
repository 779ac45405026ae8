#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Measures what the number of workers costs: CPU of hyper-derp per packet, and its memory, with 1 to
32 workers under the same load on the same cores. Prints a table, and writes it as Markdown and JSON,
with a plot as SVG. See docs/performance.md for what the figures mean."""

import argparse
import json
import os
import sys
import time

from certificate import Certificate
from figures import Sample, holds, microseconds, ratios
from network import enter_own_network
from relays import HyperDerp, RelayError, machine, raise_file_limit, run_loader
from results import place, read_page, write
from svg import Axis, Plot
from tables import cell, in_columns, markdown_line, ratio_cell

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WORKERS = (1, 2, 3, 4, 8, 16, 32)
LIGHT = {"peers": 500, "both-ways": True, "size": 1400, "burst": 1}
BULK = {"pairs": 10, "size": 1400, "burst": 8}
LOADS = {
    "light_20k": dict(LIGHT, rate=20000.0),
    "light_40k": dict(LIGHT, rate=40000.0),
    "bulk_60k": dict(BULK, rate=60000.0),
    "tls_light_20k": dict(LIGHT, rate=20000.0),
    "tls_bulk_60k": dict(BULK, rate=60000.0),
}
TITLES = {
    "light_20k": "light, 20,000/s",
    "light_40k": "light, 40,000/s",
    "bulk_60k": "bulk, 60,000/s",
    "tls_light_20k": "TLS, light, 20,000/s",
    "tls_bulk_60k": "TLS, bulk, 60,000/s",
}
# Two workers, every packet crossing from one to the other.
CROSSING_GOAL = 1.05
PART = "workers"  # of the page
PLOT = "workers.svg"


def measure(relay_of, loader, cores, load, times, values):
    """One run for each number of workers, in the order given by times["workers"]. values: by load,
    figure and number of workers (as text, as JSON has it), a list with one value a repetition."""
    faults = []
    for workers in times["workers"]:
        with relay_of(load, workers) as relay:
            report = run_loader(loader, cores, relay, dict(
                LOADS[load], warmup=times["warmup"], duration=times["duration"]))
            found = {"cpu": microseconds(report) if holds(report) else None,
                     "empty_rss": relay.empty_rss / 1048576,
                     "rss": report["relay_process"]["rss"] / 1048576}
        if not report["clean"]:
            faults.append(f"{load}, {workers} workers: {report['first_fault']}")
        for figure, value in found.items():
            kept = values.setdefault(load, {}).setdefault(figure, {})
            kept.setdefault(str(workers), []).append(value)
    return faults


def of_one_worker(values, load, workers):
    """CPU per packet as a ratio to one worker's in the same repetition."""
    cpu = values[load]["cpu"]
    return ratios(cpu.get(str(workers), []), cpu.get("1", []))


HEAD = ["load", "workers", "CPU per packet, us", "of one worker's", "empty, MiB",
        "with the load, MiB"]
LEGEND = ("Median (least..greatest) over the repetitions; the ratio is that of each repetition by "
          "itself.\n~ spread over 15 %.  - the load was not kept up with.")


def rows(values):
    """The lines of the table as lists of cells."""
    for load, title in TITLES.items():
        for workers in WORKERS if load in values else ():
            if str(workers) in values[load]["cpu"]:
                cpu, empty, loaded = (Sample(values[load][figure][str(workers)])
                                      for figure in ("cpu", "empty_rss", "rss"))
                yield [title, str(workers), cell(cpu, 1),
                       ratio_cell(of_one_worker(values, load, workers)),
                       f"{empty.median:.1f}", f"{loaded.median:.1f}"]


def goals(values):
    """Whether two workers cost what one does, for each load, in lines."""
    for load, title in TITLES.items():
        found = of_one_worker(values, load, 2) if load in values else Sample([])
        if found:
            met = "met" if found.median <= CROSSING_GOAL else "missed"
            yield f"{title}: 2 workers at most {CROSSING_GOAL} of one worker's CPU: " \
                  f"{ratio_cell(found)}, {met}"


def markdown(values):
    text = [markdown_line(HEAD), "| --- | ---: | ---: | ---: | ---: | ---: |"]
    text += [markdown_line(line) for line in rows(values)]
    text += ["", LEGEND.replace("~ ", "\\~ ").replace("\n", " "), ""]
    text += ["- " + line.replace("~", "\\~") for line in goals(values)]
    return "\n".join(text) + "\n"


class WorkersAxis(Axis):
    """Numbers of workers, each twice the one before as far from it."""

    def ticks(self):
        return [1, 2, 4, 8, 16, 32]


def draw(values):
    """CPU per packet of one worker's against workers; None where there is nothing to show."""
    plot = Plot(720, 330, "CPU per packet with more workers, of that with one")
    kinds = {}  # that have points, for the legend
    for panel, name in enumerate(("light_20k", "bulk_60k")):
        lines = [[(workers, found.median) for workers in WORKERS
                  if (found := of_one_worker(values, load, workers))] if load in values else []
                 for load in (name, "tls_" + name)]
        points = [point for line in lines for point in line]
        if not points:
            continue
        left = 64 + 340 * panel
        x = WorkersAxis(1, 32, left, left + 280, log=True)
        y = Axis(0, max(1.2, max(point[1] for point in points) * 1.05), 270, 64)
        plot.frame(x, y, TITLES[name], "workers")
        for series, line in enumerate(lines):
            plot.line(x, y, line, series)
            if line:
                kinds[series] = ("plain", "TLS")[series]
    plot.legend(22, kinds)
    return plot.render() if kinds else None


def update_page(page, text, plot):
    """Puts the table between its marks in the page, and the plot beside it."""
    before = read_page(page, [PART])
    if plot:
        text += f"\n![CPU per packet against workers](performance/{PLOT})\n"
        write(os.path.join(os.path.dirname(page), "performance"), PLOT, plot)
    write(os.path.dirname(page) or ".", os.path.basename(page), place(PART).sub(
        lambda found: found.group(1) + text + found.group(2), before))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="FOLDER",
                        help="where hyper-derp and hyper-derp-bench are (default: build)")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="N",
                        help="of each run that are measured (default 1)")
    parser.add_argument("--loads", default=",".join(LOADS), metavar="LOAD,...",
                        help="default: " + ",".join(LOADS))
    parser.add_argument("--engine", default="auto", help="auto, io_uring, epoll")
    parser.add_argument("--add", action="store_true",
                        help="keep the other loads that scaling.json has from a run before")
    parser.add_argument("--docs", metavar="PAGE",
                        help="put the figures and the plot into this page when done")
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    arguments.loads = arguments.loads.split(",")
    for load in arguments.loads:
        if load not in LOADS:
            parser.error(f"--loads: {load} is none of {', '.join(LOADS)}")
    if arguments.repetitions < 1:
        parser.error("--repetitions: at least 1")
    return arguments


def scale(arguments):
    folder = os.path.join(arguments.build, "bench")
    os.makedirs(folder, exist_ok=True)
    results = os.path.join(folder, "scaling.json")
    values, faults = {}, []
    if arguments.add and os.path.exists(results):
        with open(results, encoding="utf-8") as file:
            values = json.load(file)["values"]
    for load in arguments.loads:
        values.pop(load, None)
    if arguments.docs:
        read_page(arguments.docs, [PART])  # rather than find out when all is done
    raise_file_limit()
    network = enter_own_network()
    host = machine()
    cores = sorted(os.sched_getaffinity(0))
    program = HyperDerp(os.path.join(arguments.build, "hyper-derp"), arguments.engine, folder)
    certificate = Certificate(folder)

    def relay_of(load, workers):
        return program.start(cores, workers, certificate if load.startswith("tls_") else None)

    began = time.monotonic()
    for number in range(arguments.repetitions):
        times = {"workers": WORKERS[::-1 if number % 2 else 1], "warmup": 0.3,
                 "duration": arguments.seconds}
        for load in arguments.loads:
            faults += measure(relay_of, os.path.join(arguments.build, "hyper-derp-bench"), cores,
                              load, times, values)
            print(f"[{time.monotonic() - began:5.0f} s] repetition {number + 1}: {load}",
                  file=sys.stderr, flush=True)
    head = [f"{host['date']}, {arguments.repetitions} repetition(s) of {arguments.seconds:g} s",
            f"{host['cpu']}, {host['cores']} cores, shared by relay and loader, Linux "
            f"{host['kernel']}, TCP {host['congestion_control']} on {network}",
            program.describe()]
    text = "\n".join(f"- {line}" for line in head) + "\n\n" + markdown(values)
    plot = draw(values)
    write(folder, "scaling.json", json.dumps({"about": head, "machine": host, "values": values,
                                              "faults": faults}, indent=1) + "\n")
    write(folder, "scaling.md", text)
    if plot:
        write(folder, PLOT, plot)
    print("\n".join(head) + "\n\n" + in_columns([HEAD] + list(rows(values)), 1) + LEGEND + "\n")
    print("\n".join(list(goals(values)) + ["FAULT: " + fault for fault in faults]))
    if arguments.docs:
        update_page(arguments.docs, text, plot)
    return 1 if faults else 0


def main():
    try:
        return scale(parse_arguments())
    except RelayError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
