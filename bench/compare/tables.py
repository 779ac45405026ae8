# SPDX-License-Identifier: BSD-3-Clause
"""The comparison as a table: for the terminal, and as Markdown."""

from figures import GOALS, ROWS, Sample, ratios

OURS, THEIRS, FLOOR = "hyper-derp", "derper", "floor"


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
        theirs, ours, least = (values[row.key].get(name, []) for name in (THEIRS, OURS, FLOOR))
        cells = [cell(Sample(these), row.digits, " >" if (row.key, name) in limited else "")
                 for name, these in ((THEIRS, theirs), (OURS, ours), (FLOOR, least))]
        yield ([row.title, row.unit] + cells[:2] + [ratio_cell(ratios(ours, theirs))]
               + [cells[2] if least else ""])


def goals(values):
    """What was aimed at and what came of it, judged by the median, as lists of cells."""
    units = {row.key: (row.unit, row.digits) for row in ROWS}
    for goal in GOALS:
        theirs, ours = (values.get(goal.key, {}).get(name, []) for name in (THEIRS, OURS))
        sample = ratios(ours, theirs) if goal.ratio else Sample(ours)
        if sample:
            unit, digits = units[goal.key]
            measured = ratio_cell(sample) if goal.ratio else f"{cell(sample, digits)} {unit}"
            yield [goal.title, measured, "met" if goal.met(sample) else "missed"]


HEAD = ["", "", THEIRS, OURS, OURS + " / " + THEIRS, FLOOR]
LEGEND = ("Median (least..greatest) over the repetitions; the ratio is that of each repetition by "
          "itself.\n~ spread over 15 %.  > the loader was the limit: the relay may be better.\n"
          "floor: what the kernel and copying cost at the least; it is no relay.")


GOALS_HEAD = ["goal", "measured, of " + OURS + " or the ratio", ""]


def in_columns(lines, left):
    """Lines of cells with a rule below the first; all but the first `left` columns to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        text.append("  ".join(piece.ljust(width) if i < left else piece.rjust(width)
                              for i, (piece, width) in enumerate(zip(line, widths))).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text) + "\n\n"


def terminal(values, limited):
    text = in_columns([HEAD] + list(rows(values, limited)), 2) + LEGEND + "\n"
    aims = list(goals(values))
    return text + ("\n" + in_columns([GOALS_HEAD] + aims, 1) if aims else "")


def markdown_line(line):
    return "| " + " | ".join(piece.replace("<", "&lt;").replace("~", "\\~")
                             for piece in line) + " |"


def markdown(values, limited):
    text = ["| what | unit | " + " | ".join(HEAD[2:]) + " |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    text += [markdown_line(line) for line in rows(values, limited)]
    text += ["", LEGEND.replace("~ ", "\\~ ").replace("\n", " ")]
    aims = [markdown_line(line) for line in goals(values)]
    if aims:
        text += ["", markdown_line(GOALS_HEAD), "| --- | ---: | --- |"] + aims
    return "\n".join(text) + "\n"
