# SPDX-License-Identifier: BSD-3-Clause
"""What a comparison leaves: the table as Markdown, everything as JSON, the plots, the page."""

import json
import os
import re

from plots import CAPTIONS, draw
from relays import RelayError
from tables import markdown


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def write_results(folder, head, host, comparison):
    table = markdown(comparison.values, comparison.limited)
    result = {
        "about": head, "machine": host, "values": comparison.values,
        "limited": sorted(map(list, comparison.limited)), "faults": comparison.faults,
        "runs": comparison.trials,
    }
    write(folder, "compare.json", json.dumps(result, indent=1) + "\n")
    write(folder, "compare.md", "\n".join(f"- {line}" for line in head) + "\n\n" + table)
    for name, text in draw(comparison.trials, comparison.values).items():
        write(folder, name, text)


# The page has a place for each part, so that each may be measured by itself.
PARTS = ("plain", "tls")


def place(part):
    return re.compile(rf"(<!-- figures of {part}: begin -->\n).*?(<!-- figures of {part}: end -->)",
                      re.S)


def part_of(name):
    """The part that a figure or a plot belongs to, by its name."""
    return "tls" if name.startswith("tls_") or "-tls" in name else "plain"


def read_page(page, parts=PARTS):
    """The text of a page that has places for the figures of these parts."""
    try:
        with open(page, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise RelayError(f"--docs: {error}") from error
    for part in parts:
        if not place(part).search(text):
            raise RelayError(f"--docs: {page} has no place for the figures, between <!-- figures of "
                             f"{part}: begin --> and <!-- figures of {part}: end -->")
    return text


def figures_of(part, head, comparison, drawn):
    """A part of the comparison for the page; nothing where it was not measured."""
    values = {key: value for key, value in comparison.values.items() if part_of(key) == part}
    if not values:
        return ""
    text = "\n".join(f"- {line}" for line in head) + "\n\n" + markdown(values, comparison.limited)
    return text + "\n" + "".join(f"![{CAPTIONS[name]}](performance/{name})\n"
                                 for name in drawn if part_of(name) == part)


def update_page(page, head, comparison):
    """Puts what was measured into docs/performance.md, and the plots beside it."""
    text = read_page(page)
    beside = os.path.join(os.path.dirname(page), "performance")
    os.makedirs(beside, exist_ok=True)
    plots = draw(comparison.trials, comparison.values)
    drawn = [name for name in CAPTIONS if name in plots]
    for part in PARTS:
        figures = figures_of(part, head, comparison, drawn)
        if figures:
            text = place(part).sub(lambda found: found.group(1) + figures + found.group(2), text)
            for name in drawn:
                if part_of(name) == part:
                    write(beside, name, plots[name])
    with open(page, "w", encoding="utf-8") as file:
        file.write(text)
