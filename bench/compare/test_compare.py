#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what decides in the comparison: statistics, the search, the table, the plots."""

import os
import tempfile
import tomllib
import types
import unittest
import unittest.mock
import xml.dom.minidom

import certificate
import compare
import figures
import plots
import relays
import results
import svg
import tables

FLOOR = os.environ.get("HYPER_DERP_FLOOR")
LOADER = os.environ.get("HYPER_DERP_BENCH")


def report(rate, delivered, lost=0, arrived=None, fell_behind=False, broken=0, cpu=10000.0):
    """As hyper-derp-bench gives it, for one second."""
    return {
        "options": {"rate": rate},
        "packets": {"offered": rate, "delivered": delivered, "lost": lost},
        "per_second": {"offered": rate, "delivered": delivered if arrived is None else arrived},
        "broken_connections": broken,
        "loader": {"fell_behind": fell_behind, "saturated": False},
        "relay_process": {"cpu_ns_per_packet": cpu},
    }


class Statistics(unittest.TestCase):
    def test_sample(self):
        sample = figures.Sample([3, 1, None, 2])
        self.assertEqual((sample.median, sample.low, sample.high), (2, 1, 3))
        self.assertEqual(sample.spread, 1.0)
        self.assertTrue(sample.noisy)
        self.assertFalse(figures.Sample([100, 107, 114]).noisy)
        self.assertFalse(figures.Sample([5]).noisy)
        self.assertFalse(figures.Sample([None]))

    def test_ratios_are_pair_by_pair(self):
        # Both twice as slow in the second repetition: the ratio does not move.
        found = figures.ratios([10, 20, 10], [20, 40, 20])
        self.assertEqual((found.low, found.high), (0.5, 0.5))
        self.assertEqual(figures.ratios([1, None, 3], [2, 2, 0]).values, [0.5])

    def test_what_holds(self):
        self.assertTrue(figures.holds(report(1000, 990)))
        self.assertFalse(figures.holds(report(1000, 989)))
        self.assertFalse(figures.holds(report(1000, 1000, broken=1)))
        # All of it came, but only after the measured time: it had piled up.
        self.assertFalse(figures.holds(report(1000, 1000, arrived=900)))

    def test_cpu(self):
        self.assertEqual(figures.microseconds(report(1, 1, cpu=1500.0)), 1.5)
        self.assertIsNone(figures.microseconds({"relay_process": None}))


class Searching(unittest.TestCase):
    def find(self, limit, first, step=1.05, stride=None):
        search = figures.Search(step, first)
        if stride:
            search.stride = stride
        asked = []
        while (rate := search.next_rate()) is not None:
            asked.append(rate)
            self.assertLess(len(asked), 40)
            search.tell(rate <= limit)
        self.assertEqual(len(asked), len(set(asked)))
        return search.best

    def test_finds_the_limit(self):
        for limit in (3000, 40000, 80000, 91234, 800000, 1500000):
            for first in (10000.0, 80000.0, 2e6):
                best = self.find(limit, first)
                self.assertLessEqual(best, limit)
                self.assertGreater(best * 1.06, limit)

    def test_from_the_last_result(self):
        self.assertGreater(self.find(90000, 88000.0, stride=2) * 1.06, 90000)
        self.assertGreater(self.find(60000, 88000.0, stride=2) * 1.06, 60000)

    def test_bounds(self):
        self.assertIsNone(self.find(10, 80000.0))
        self.assertGreater(self.find(1e9, 80000.0), 3e6)

    def test_who_was_the_limit(self):
        search = figures.Search(2.0, 1024.0)
        search.tell(True)
        search.tell(False, limited=True)
        self.assertTrue(search.limited)
        self.assertIsNone(search.next_rate())


class Tables(unittest.TestCase):
    values = {"bulk_best": {"derper": [100, 110, 90], "hyper-derp": [1000, 1000, 1000]},
              "empty_rss": {"derper": [17.0], "hyper-derp": []}}

    def test_terminal(self):
        text = tables.terminal(self.values, {("bulk_best", "hyper-derp")})
        self.assertIn("100 (90..110) ~", text)
        self.assertIn("1,000 (1,000..1,000) >", text)
        self.assertIn("10.00 (9.09..11.11) ~", text)
        self.assertNotIn("light", text)

    def test_markdown(self):
        text = tables.markdown(self.values, set())
        self.assertIn("| bulk: best rate with &lt; 1 % loss | packets/s | 100 (90..110) \\~ |", text)
        self.assertIn("| memory of the empty relay, 1 worker | MiB | 17.0 | - | - |  |", text)

    def test_the_floor_stands_beside_where_it_was_measured(self):
        values = dict(self.values, bulk_60k_cpu={"derper": [10.0], "hyper-derp": [2.5],
                                                 "floor": [2.0]})
        self.assertEqual([line[0:1] + line[4:] for line in tables.rows(values, set())],
                         [["bulk: best rate with < 1 % loss", "10.00 (9.09..11.11) ~", ""],
                          ["bulk, 60,000/s: CPU per packet", "0.25", "2.0"],
                          ["memory of the empty relay, 1 worker", "-", ""]])
        self.assertEqual(tables.HEAD[5], "floor")
        table = tables.markdown(values, set()).partition("\n\n")[0]
        columns = {line.count(" |") for line in table.splitlines()}
        self.assertEqual(columns, {6})


class Goals(unittest.TestCase):
    def goals(self, key, theirs, ours):
        return list(tables.goals({key: {"derper": theirs, "hyper-derp": ours}}))

    def test_ratios_by_their_median(self):
        title = "TLS, bulk: best rate at least 3.5 times derper's"
        self.assertEqual(self.goals("tls_bulk_best", [100, 100, 100], [340, 350, 370]),
                         [[title, "3.50 (3.40..3.70)", "met"]])
        self.assertEqual(self.goals("tls_bulk_best", [100], [349])[0][2], "missed")
        self.assertEqual(self.goals("tls_light_20k_cpu", [100], [63])[0][2], "met")
        self.assertEqual(self.goals("tls_light_20k_cpu", [100], [64])[0][2], "missed")
        self.assertEqual(self.goals("tls_connect_cpu", [100], [50])[0],
                         ["TLS: CPU per connection made at most 0.50 of derper's", "0.50", "met"])

    def test_own_figures_need_no_derper(self):
        self.assertEqual(self.goals("tls_idle_5000_rss", [], [1.9])[0][1:], ["1.9 KiB", "met"])
        self.assertEqual(self.goals("tls_idle_5000_rss", [], [2.0])[0][2], "missed")
        self.assertEqual(self.goals("tls_bulk_best", [], [5.9]), [])
        self.assertEqual(self.goals("flood_share", [], [90])[0][2], "met")
        self.assertEqual(self.goals("flood_share", [], [89])[0][2], "missed")

    def test_each_has_a_row_and_another_place(self):
        keys = [goal.key for goal in figures.GOALS]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertLessEqual(set(keys), {row.key for row in figures.ROWS})
        for goal in figures.GOALS:
            lower = {row.key: row.lower_is_better for row in figures.ROWS}[goal.key]
            self.assertEqual(goal.at_least, not lower, goal.key)

    def test_in_both_tables(self):
        values = {"empty2_rss": {"hyper-derp": [2.7, 2.6]}}
        self.assertIn("empty with 2 workers: at most 8 MB  ", tables.terminal(values, set()))
        self.assertIn("| empty with 2 workers: at most 8 MB | 2.7 (2.6..2.7) MiB | met |",
                      tables.markdown(values, set()))


@unittest.skipUnless(FLOOR and LOADER, "HYPER_DERP_FLOOR and HYPER_DERP_BENCH name no programs")
class TheFloor(unittest.TestCase):
    def serve(self, shown, options):
        with relays.Floor(FLOOR).start(sorted(os.sched_getaffinity(0)), 1, shown) as relay:
            report = relays.run_loader(LOADER, sorted(os.sched_getaffinity(0)), relay,
                                       dict(options, warmup=0.1, duration=1.0))
            self.assertIsNone(relay.process.poll())
        self.assertTrue(report["clean"], report["first_fault"])
        self.assertEqual(report["tls"], shown is not None)
        self.assertEqual(report["packets"]["lost"], 0)
        self.assertGreater(report["packets"]["delivered"], 500)

    def serve_all(self, shown):
        self.serve(shown, dict(compare.LOADS["bulk"], rate=4000.0))
        self.serve(shown, {"peers": 20, "random": True, "size": 1400, "rate": 1000.0})
        # Larger than a chunk and than a record: what comes in parts.
        self.serve(shown, {"pairs": 2, "size": 40000, "rate": 1000.0})

    def test_serves_the_loader(self):
        self.serve_all(None)

    def test_serves_the_loader_over_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            self.serve_all(certificate.Certificate(folder))


class FakeRelay:
    """Holds up to a rate."""

    empty_rss = 2 ** 21

    def __init__(self, name, limit):
        self.name, self.limit = name, limit
        self.started = 0

    def start(self, cores, workers, certificate=None):
        self.started += 1
        return self

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass


def fake_loader(_program, _cores, relay, options):
    rate = options.get("rate") or 4e6
    answer = report(rate, min(rate, relay.limit), max(rate - relay.limit, 0), cpu=1e9 / relay.limit)
    answer.update(clean=True, tls=False, seconds=options["duration"], lost_percent=0.0,
                  latency_us={"p50": 1.0, "p99": 2.0, "p99.9": 3.0})
    answer["options"].update(options)
    answer["relay_process"].update(cpu_share=0.5, rss=2 ** 22, cpu_us_per_connection=100.0)
    return answer


class Repetitions(unittest.TestCase):
    def measure(self, repetitions, only=None, quick=False):
        competitors = [FakeRelay("derper", 1e5), FakeRelay("hyper-derp", 8e5)]
        comparison = compare.Comparison(competitors, "", 0, 1, compare.Pace(quick), "certificate",
                                        FakeRelay("floor", 1e6))
        comparison.say = lambda text: None
        with unittest.mock.patch.object(compare, "run_loader", fake_loader):
            for number in range(repetitions):
                comparison.repeat(number, only)
        return comparison

    def test_each_figure_is_measured(self):
        comparison = self.measure(3)
        self.assertEqual({row.key for row in figures.ROWS}, set(comparison.values))
        self.assertEqual(len(list(tables.goals(comparison.values))), len(figures.GOALS))
        self.assertEqual(len(comparison.values["bulk_best"]["hyper-derp"]), 3)
        self.assertEqual(len(comparison.values["light_best"]["hyper-derp"]), 2)
        self.assertEqual(comparison.values["bulk_best_share"]["derper"], [50.0] * 3)
        self.assertEqual(comparison.faults, [])

    def test_the_floor_where_it_makes_sense_and_twice(self):
        values = self.measure(3).values
        measured = {key for key, value in values.items() if "floor" in value}
        self.assertEqual(len(values["bulk_60k_cpu"]["floor"]), 2)
        self.assertGreater(values["bulk_best"]["floor"][0], 9e5)
        self.assertLessEqual({"tls_bulk_best", "random_cpu", "tls_random_cpu", "light_20k_p99"},
                             measured)
        self.assertEqual([key for key in measured if "rss" in key or "idle" in key], [])

    def test_five_repetitions_within_forty_minutes(self):
        trials = self.measure(5).trials
        # Beside what is measured: a start and an end, 5,000 connections where there are so many.
        seconds = sum(t["report"]["options"]["warmup"] + t["report"]["options"]["duration"] + 0.6 +
                      (5.0 if t["load"] in ("idle", "tls_idle", "random", "tls_random") else 0.0)
                      for t in trials)
        self.assertLess(seconds, 40 * 60)
        quick = self.measure(1, quick=True).trials
        self.assertLess(len(quick) * 2.0, 4 * 60)

    def test_a_part_alone(self):
        values = self.measure(1, "tls").values
        self.assertEqual([key for key in values if not key.startswith("tls_")], [])


class Ciphers(unittest.TestCase):
    def test_the_same_for_both(self):
        comparison = compare.Comparison([], "", 0, 1, compare.Pace(True))
        self.assertEqual(comparison.about(), [])
        comparison.note_cipher("derper", "A")
        comparison.note_cipher("hyper-derp", "A")
        self.assertEqual(comparison.about(),
                         ["TLS 1.3 with a P-256 certificate; derper: A, hyper-derp: A"])
        self.assertEqual(comparison.faults, [])

    def test_others_are_a_fault(self):
        comparison = compare.Comparison([], "", 0, 1, compare.Pace(True))
        comparison.note_cipher("derper", "A")
        comparison.note_cipher("hyper-derp", "B")
        comparison.note_cipher("hyper-derp", "B")
        self.assertEqual(len(comparison.faults), 1)
        comparison.note_cipher("derper", "B")
        self.assertEqual(len(comparison.faults), 2)


class Configuration(unittest.TestCase):
    def test_is_toml_and_turns_off_what_is_not_compared(self):
        text = relays.CONFIG.format(key_file='"k"', address="127.0.0.1:0", cert='"c"', key='"p"',
                                    host="127.0.0.1")
        config = tomllib.loads(text)
        self.assertTrue(config["listener"][0]["tls"])
        self.assertEqual(config["stun"]["address"], "")
        self.assertEqual(config["metrics"]["address"], "")


class Plots(unittest.TestCase):
    def test_axis(self):
        axis = svg.Axis(10, 1000, 0, 200, log=True)
        self.assertAlmostEqual(axis.at(100), 100)
        self.assertEqual(axis.at(1e9), 200)
        self.assertEqual(axis.at(0), 0)
        self.assertEqual(axis.ticks(), [10, 20, 50, 100, 200, 500, 1000])
        self.assertEqual(svg.Axis(0, 34, 0, 1).ticks(), [0, 10, 20, 30])
        self.assertEqual(svg.Axis(0, 5000, 0, 1).ticks(), [0, 1000, 2000, 3000, 4000, 5000])

    def test_curve_has_medians_of_one_core(self):
        trials = [{"relay": "derper", "load": "bulk", "what": what, "report": report(1000, value)}
                  for what, value in (("search", 900), ("sweep", 950), ("fixed", 1000),
                                      ("shared", 1))]
        self.assertEqual(plots.curve(trials, "bulk", "derper"), [(1000, 950, 0, 10.0, False)])
        self.assertEqual(plots.curve(trials, "light", "derper"), [])

    def test_all_are_well_formed(self):
        trials = [{"relay": relay, "load": load, "what": "sweep",
                   "report": report(rate, rate * 0.9, rate * 0.1, fell_behind=rate > 5000)}
                  for relay in plots.NAMES for load in ("bulk", "light", "tls_bulk", "tls_light")
                  for rate in (1e3, 1e4, 1e5)]
        for trial in trials:
            trial["report"]["packets"]["lost"] = 0
        both = {relay: [2.0, 3.0] for relay in plots.NAMES}
        values = {key: both for key in ("light_20k_p50", "light_20k_p99", "tls_light_20k_p99",
                                        "tls_random_p50",
                                        "empty_rss", "idle_1000_rss", "idle_5000_rss")}
        drawn = plots.draw(trials, values)
        self.assertEqual(sorted(drawn), ["cpu-tls.svg", "cpu.svg", "latency-tls.svg",
                                         "latency.svg", "memory.svg",
                                         "throughput-bulk.svg", "throughput-light.svg",
                                         "throughput-tls-bulk.svg"])
        for name, text in drawn.items():
            for relay in plots.NAMES:
                self.assertIn(">" + relay + "</text>", text, name)
            xml.dom.minidom.parseString(text)
            self.assertIn("prefers-color-scheme: dark", text)
        self.assertEqual(plots.draw([], {}), {})


class Page(unittest.TestCase):
    def test_what_was_measured_replaces_that_part(self):
        page_text = "".join(f"{part} above\n<!-- figures of {part}: begin -->\nold {part}\n"
                            f"<!-- figures of {part}: end -->\nbelow\n" for part in results.PARTS)
        trials = [{"relay": relay, "load": "tls_bulk", "what": "sweep", "report": report(rate, rate)}
                  for relay in plots.NAMES for rate in (1e3, 1e4)]
        values = {"tls_bulk_best": {relay: [2.0, 3.0] for relay in plots.NAMES}}
        comparison = types.SimpleNamespace(values=values, limited=set(), trials=trials)
        with tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "page.md")
            results.write(folder, "page.md", page_text)
            results.update_page(page, ["the head"], comparison)
            with open(page, encoding="utf-8") as file:
                text = file.read()
            self.assertIn("old plain\n", text)
            self.assertNotIn("old tls", text)
            self.assertIn("tls above\n<!-- figures of tls: begin -->\n- the head\n", text)
            self.assertIn("| TLS, bulk: best rate", text)
            self.assertIn("](performance/cpu-tls.svg)\n<!-- figures of tls: end -->\nbelow\n",
                          text)
            self.assertTrue(os.path.exists(os.path.join(folder, "performance",
                                                        "throughput-tls-bulk.svg")))
            results.update_page(page, ["another"], comparison)
            with open(page, encoding="utf-8") as file:
                self.assertEqual(file.read(), text.replace("the head", "another"))

    def test_a_page_without_places_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            results.write(folder, "page.md", "nothing\n")
            with self.assertRaises(results.RelayError):
                results.read_page(os.path.join(folder, "page.md"))

    def test_every_plot_has_a_caption(self):
        self.assertEqual(sorted(plots.CAPTIONS), ["cpu-tls.svg", "cpu.svg", "latency-tls.svg",
                                                  "latency.svg", "memory.svg", "throughput-bulk.svg",
                                                  "throughput-light.svg",
                                                  "throughput-tls-bulk.svg"])


if __name__ == "__main__":
    unittest.main()
