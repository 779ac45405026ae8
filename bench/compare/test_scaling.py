#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what decides in the measurement of the number of workers."""

import os
import tempfile
import unittest
import xml.dom.minidom

import relays
import scaling


def values(two=(10.4, 20.8), load="light_20k"):
    """Two repetitions with one and two workers; the second was slower by half throughout."""
    return {load: {"cpu": {"1": [10.0, 20.0], "2": list(two)},
                   "empty_rss": {"1": [2.0, 2.0], "2": [2.5, 2.5]},
                   "rss": {"1": [4.0, 4.0], "2": [5.0, 5.0]}}}


class Scaling(unittest.TestCase):
    def test_ratio_is_of_the_same_repetition(self):
        found = scaling.of_one_worker(values(), "light_20k", 2)
        self.assertEqual((found.low, found.high), (1.04, 1.04))
        # One that did not keep up with the load has no ratio.
        self.assertEqual(scaling.of_one_worker(values((None, 20.0)), "light_20k", 2).values, [1.0])

    def test_goal_of_crossing(self):
        self.assertTrue(list(scaling.goals(values()))[0].endswith("met"))
        self.assertTrue(list(scaling.goals(values((11.0, 22.0))))[0].endswith("missed"))
        self.assertEqual(list(scaling.goals({})), [])

    def test_rows(self):
        lines = list(scaling.rows(values()))
        self.assertEqual([line[1] for line in lines], ["1", "2"])
        self.assertEqual(lines[1][3:], ["1.04 (1.04..1.04)", "2.5", "5.0"])
        self.assertIn("| light, 20,000/s | 2 |", scaling.markdown(values()))

    def test_plot_is_xml(self):
        self.assertIsNone(scaling.draw({}))
        text = scaling.draw({**values(), **values(load="tls_bulk_60k")})
        self.assertEqual(len(xml.dom.minidom.parseString(text).getElementsByTagName("polyline")), 2)

    def test_page(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "performance"))
            page = os.path.join(folder, "page.md")
            with open(page, "w", encoding="utf-8") as file:
                file.write("a\n<!-- figures of workers: begin -->\nold\n"
                           "<!-- figures of workers: end -->\nz\n")
            scaling.update_page(page, "new\n", "<svg/>")
            with open(page, encoding="utf-8") as file:
                text = file.read()
            self.assertNotIn("old", text)
            self.assertTrue(text.startswith("a\n") and text.endswith("z\n"))
            self.assertIn("new\n\n![", text)
            self.assertTrue(os.path.exists(os.path.join(folder, "performance", scaling.PLOT)))
            with open(page, "w", encoding="utf-8") as file:
                file.write("no place\n")
            with self.assertRaises(relays.RelayError):
                scaling.update_page(page, "new\n", None)


if __name__ == "__main__":
    unittest.main()
