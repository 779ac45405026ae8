# SPDX-License-Identifier: BSD-3-Clause
"""The comparison as a table: for the terminal, and as Markdown."""

from figures import ROWS, Sample, ratios

OURS, THEIRS = "hyper-derp", "derper"


def number(value, digits):
    return f"{value:,.{digits}f}"


def cell(sample, digits, marks=""):
    """The median, and the extremes if there is more than one value."""
    if not sample:
        return "-"
    text = number(sample.median, digits)
    if len(sample.values) > 1:
        text += f" ({number(sample.low, digits)}..{number(sample.high, digits)})"
    return text + (" ~" if sample.noisy else "") + marks


def ratio_cell(sample):
    if not sample:
        return "-"
    text = f"{sample.median:.2f}"
    if len(sample.values) > 1:
        text += f" ({sample.low:.2f}..{sample.high:.2f})"
    return text + (" ~" if sample.noisy else "")


def rows(values, limited):
    """The lines of the table as lists of cells. values: by figure and relay, a list with one value
    a repetition; limited: set of (figure, relay) that the loader may have held down."""
    for row in ROWS:
        if row.key not in values:
            continue
        theirs, ours = (values[row.key].get(name, []) for name in (THEIRS, OURS))
        cells = [cell(Sample(these), row.digits, " >" if (row.key, name) in limited else "")
                 for name, these in ((THEIRS, theirs), (OURS, ours))]
        yield [row.title, row.unit] + cells + [ratio_cell(ratios(ours, theirs))]


HEAD = ["", "", THEIRS, OURS, OURS + " / " + THEIRS]
LEGEND = ("Median (least..greatest) over the repetitions; the ratio is that of each repetition by "
          "itself.\n~ spread over 15 %.  > the loader was the limit: the relay may be better.")


def terminal(values, limited):
    lines = [HEAD] + list(rows(values, limited))
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    text = []
    for line in lines:
        text.append("  ".join(piece.ljust(width) if i < 2 else piece.rjust(width)
                              for i, (piece, width) in enumerate(zip(line, widths))).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text) + "\n\n" + LEGEND + "\n"


def markdown(values, limited):
    text = ["| what | unit | " + " | ".join(HEAD[2:]) + " |", "| --- | --- | ---: | ---: | ---: |"]
    for line in rows(values, limited):
        text.append("| " + " | ".join(piece.replace("<", "&lt;").replace("~", "\\~")
                                      for piece in line) + " |")
    return "\n".join(text) + "\n\n" + LEGEND.replace("~ ", "\\~ ").replace("\n", " ") + "\n"
