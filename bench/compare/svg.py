# SPDX-License-Identifier: BSD-3-Clause
"""Small SVG plots, readable on a light and on a dark page: lines over two axes, and columns of dots."""

import math
from xml.sax.saxutils import escape

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .axis { stroke: #57606a; stroke-width: 1; fill: none }
  .s0 { stroke: #bc4c00 } .f0 { fill: #bc4c00 }
  .s1 { stroke: #0550ae } .f1 { fill: #0550ae }
  .s2 { stroke: #6e7781 } .f2 { fill: #6e7781 } .line.s2 { stroke-dasharray: 5 4; stroke-width: 1.5 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .range { stroke-width: 1.5; opacity: .55 }
  .hollow { fill: #ffffff; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .grid { stroke: #30363d } .axis { stroke: #9198a1 }
    .s0 { stroke: #f0883e } .f0 { fill: #f0883e }
    .s1 { stroke: #58a6ff } .f1 { fill: #58a6ff }
    .s2 { stroke: #9198a1 } .f2 { fill: #9198a1 }
    .hollow { fill: #0d1117 }
  }
"""


def short(value):
    """A tick's label: 1,500 as 1.5k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class Axis:
    """Maps values to pixels."""

    def __init__(self, low, high, start, end, log=False):
        self.low, self.high, self.start, self.end, self.log = low, high, start, end, log

    def at(self, value):
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(x, 1e-9)) for x in (max(value, low), low, high))
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self):
        if self.log:
            found = []
            for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
                for digit in (1, 2, 5):
                    value = digit * 10.0 ** power
                    if self.low <= value * 1.0001 and value <= self.high * 1.0001:
                        found.append(value)
            return found if len(found) <= 10 else [
                v for v in found if math.isclose(v, 10 ** round(math.log10(v)))]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4 or 1))
        for factor in (1, 2, 5, 10):
            if (self.high - self.low) / (step * factor) <= 6:
                step *= factor
                break
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Plot:
    """A drawing made of panels."""

    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = []
        self.text(16, 22, title, "title")

    def text(self, x, y, text, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
                          f'{escape(text)}</text>')

    def segment(self, x1, y1, x2, y2, kind):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'class="{kind}"/>')

    def dot(self, x, y, series, hollow=False):
        kind = f"hollow s{series}" if hollow else f"f{series}"
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{kind}"/>')

    def legend(self, y, names):
        """At the right; names: by number of the series, those that are drawn."""
        x = self.width - 10 - sum(30 + 7 * len(name) for name in names.values())
        for series, name in names.items():
            self.dot(x, y - 4, series)
            self.text(x + 9, y, name)
            x += 30 + 7 * len(name)

    def frame(self, x, y, title, x_title="", x_labels=True):
        """The grid, axes and labels of a panel with these axes."""
        for value in y.ticks():
            self.segment(x.start, y.at(value), x.end, y.at(value), "grid")
            self.text(x.start - 6, y.at(value) + 4, short(value), "small", "end")
        if x_labels:
            for value in x.ticks():
                self.segment(x.at(value), y.start, x.at(value), y.start + 4, "axis")
                self.text(x.at(value), y.start + 17, short(value), "small", "middle")
        self.segment(x.start, y.start, x.end, y.start, "axis")
        self.text(x.start - 6, y.end - 10, title, "small")
        if x_title:
            self.text((x.start + x.end) / 2, y.start + 34, x_title, "small", "middle")

    def line(self, x, y, points, series):
        """points: (x, y) or (x, y, hollow)."""
        if len(points) > 1:
            path = " ".join(f"{x.at(p[0]):.1f},{y.at(p[1]):.1f}" for p in points)
            self.parts.append(f'<polyline points="{path}" class="line s{series}"/>')
        for point in points:
            self.dot(x.at(point[0]), y.at(point[1]), series, len(point) > 2 and point[2])

    def span(self, at, y, sample, series):
        """A dot at the median, and a line from the least to the greatest value."""
        self.segment(at, y.at(sample.low), at, y.at(sample.high), f"range s{series}")
        self.dot(at, y.at(sample.median), series)

    def render(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img">\n<style>{STYLE}</style>\n'
                + "\n".join(self.parts) + "\n</svg>\n")
