# SPDX-License-Identifier: BSD-3-Clause
"""Boxes, arrows and words as SVG, on a ground of their own, light or dark as the page is.

What does not fit is a mistake: a text that is wider than its box, or lies on another one, by widths
that are those of a wide font, makes render() raise Overflow.
"""

from xml.sax.saxutils import escape

STYLE = """
  text { font-family: "DejaVu Sans", Verdana, Arial, sans-serif; font-size: 12px; fill: #24292f }
  .ground { fill: #ffffff; stroke: #d0d7de }
  .title { font-size: 15px; font-weight: bold }
  .name { font-weight: bold }
  .small { font-size: 11px; fill: #57606a }
  .kernel { fill: #eaeef2; stroke: #6e7781 }
  .own { fill: #ddf4ff; stroke: #0969da }
  .locked { fill: #fff1d6; stroke: #bf8700 }
  .atomic { fill: #e6f6e6; stroke: #1a7f37 }
  .thread { fill: none; stroke: #0969da; stroke-dasharray: 6 4 }
  .line { fill: none; stroke: #24292f; stroke-width: 1.5 }
  .thin { fill: none; stroke: #6e7781; stroke-width: 1 }
  .head { fill: #24292f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ground { fill: #0d1117; stroke: #30363d }
    .small { fill: #9da7b1 }
    .kernel { fill: #21262d; stroke: #8b949e }
    .own { fill: #0c2d4d; stroke: #58a6ff }
    .locked { fill: #3d2e05; stroke: #d29922 }
    .atomic { fill: #0f3019; stroke: #3fb950 }
    .thread { stroke: #58a6ff }
    .line { stroke: #e6edf3 } .thin { stroke: #8b949e }
    .head { fill: #e6edf3 }
  }
"""

NARROW, WIDE, CAPITAL = "iljtfrI.,:;'|()[]! ", "mwMW@%", "ABCDEFGHJKLNOPQRSTUVXYZ"
SIZES = {"title": 15, "name": 12, "": 12, "small": 11}


class Overflow(Exception):
    pass


def width_of(text, kind=""):
    """Pixels that a text takes at the most, in DejaVu Sans, which is a wide font."""
    units = sum(0.40 if c in NARROW else 0.98 if c in WIDE else 0.72 if c in CAPITAL else 0.635
                for c in text)
    return units * SIZES[kind] * (1.11 if kind in ("title", "name") else 1)


class Drawing:
    def __init__(self, width, height, title, says):
        self.width, self.height = width, height
        self.title, self.says = title, says
        self.parts = []
        self.faults = []
        self.taken = []  # rectangles of texts, which must not overlap
        self.text(24, 32, title, "title")

    def text(self, x, y, text, kind="", anchor="start"):
        wide = width_of(text, kind)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
        self.claim(left, y - SIZES[kind], wide, SIZES[kind] + 3, text)
        name = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{name}>'
                          f"{escape(text)}</text>")

    def claim(self, x, y, wide, high, text):
        if x < 8 or y < 8 or x + wide > self.width - 8 or y + high > self.height - 8:
            self.faults.append(f"{self.title}: leaves the drawing: {text}")
        for other_x, other_y, other_wide, other_high, other in self.taken:
            if x < other_x + other_wide and other_x < x + wide and \
                    y < other_y + other_high and other_y < y + high:
                self.faults.append(f"{self.title}: {text!r} lies on {other!r}")
        self.taken.append((x, y, wide, high, text))

    def area(self, x, y, wide, high, kind, label=None):
        """A frame around boxes, with a label at its top left."""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="8" '
                          f'class="{kind}"/>')
        if label:
            if width_of(label, "name") > wide - 24:
                self.faults.append(f"{self.title}: wider than its frame: {label}")
            self.text(x + 12, y + 20, label, "name")

    def box(self, x, y, wide, high, kind, name, *lines):
        """A box with a name and lines below it, in the middle."""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="5" '
                          f'class="{kind}"/>')
        step = 15
        at = y + (high - step * len(lines)) / 2 + 4
        for i, line in enumerate((name,) + lines):
            style = "small" if i else "name"
            if width_of(line, style) > wide - 8:
                self.faults.append(f"{self.title}: wider than its box by "
                               f"{width_of(line, style) - wide + 8:.0f}: {line}")
            if line:
                self.text(x + wide / 2, at + step * i, line, style, "middle")
        if step * (len(lines) + 1) > high - 4:
            self.faults.append(f"{self.title}: higher than its box: {name}")

    def arrow(self, *points, kind="line", both=False):
        """A line through points, with a head at its end, or at both ends."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" class="{kind}"/>')
        self.head(points[-2], points[-1])
        if both:
            self.head(points[1], points[0])

    def head(self, before, tip):
        (x0, y0), (x, y) = before, tip
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        dx, dy = (x - x0) / length, (y - y0) / length
        corners = [(x, y), (x - 8 * dx - 4 * dy, y - 8 * dy + 4 * dx),
                   (x - 8 * dx + 4 * dy, y - 8 * dy - 4 * dx)]
        self.parts.append('<polygon points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
                          + '" class="head"/>')

    def legend(self, y, *entries):
        """What the colours mean: (kind, words) from left to right."""
        x = 24
        for kind, words in entries:
            self.parts.append(f'<rect x="{x}" y="{y - 11}" width="18" height="13" rx="3" '
                              f'class="{kind}"/>')
            self.text(x + 25, y, words, "small")
            x += 25 + round(width_of(words, "small")) + 22

    def render(self):
        if self.faults:
            raise Overflow("\n".join(self.faults))
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img" '
                f'aria-label="{escape(self.says)}">\n<style>{STYLE}</style>\n'
                f'<rect x="0.5" y="0.5" width="{self.width - 1}" height="{self.height - 1}" rx="8" '
                'class="ground"/>\n' + "\n".join(self.parts) + "\n</svg>\n")
