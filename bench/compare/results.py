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


FIGURES = re.compile(r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)", re.S)


def read_page(page):
    """The text of a page that has a place for the figures."""
    try:
        with open(page, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise RelayError(f"--docs: {error}") from error
    if not FIGURES.search(text):
        raise RelayError(f"--docs: {page} has no place for the figures, between "
                         "<!-- figures: begin --> and <!-- figures: end -->")
    return text


def update_page(page, folder):
    """Puts the table and the plots of a comparison into docs/performance.md."""
    text = read_page(page)
    with open(os.path.join(folder, "compare.md"), encoding="utf-8") as file:
        figures = file.read().strip() + "\n\n"
    drawn = [name for name in CAPTIONS if os.path.exists(os.path.join(folder, name))]
    figures += "".join(f"![{CAPTIONS[name]}](performance/{name})\n" for name in drawn)
    text = FIGURES.sub(lambda found: found.group(1) + figures + found.group(2), text)
    plots = os.path.join(os.path.dirname(page), "performance")
    os.makedirs(plots, exist_ok=True)
    for name in drawn:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            write(plots, name, file.read())
    with open(page, "w", encoding="utf-8") as file:
        file.write(text)
