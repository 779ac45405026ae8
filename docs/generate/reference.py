#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""reference.py HEADERS MAN MARKDOWN: writes the reference of the library from its headers.

HEADERS is the folder of the headers; pages of section 3 go to the folder MAN, MARKDOWN/reference.md
and MARKDOWN/reference/ get the same to be read on the web. What the headers do not say is told as
FILE:LINE, and nothing is written.
"""

import os
import sys

sys.dont_write_bytecode = True

import man_pages  # noqa: E402
import markdown_pages  # noqa: E402
from pages import Reference  # noqa: E402


def write(folder, pages):
    for name, text in pages.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def main(arguments):
    if len(arguments) != 3:
        sys.stderr.write("usage: reference.py HEADERS MAN MARKDOWN\n")
        return 64
    headers, man, markdown = arguments
    reference = Reference(headers)
    if reference.problems:
        for path, line, what in sorted(set(reference.problems)):
            sys.stderr.write(f"{path}:{line}: {what}\n")
        return 1
    write(man, man_pages.render(reference))
    write(markdown, markdown_pages.render(reference))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
