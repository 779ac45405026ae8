# SPDX-License-Identifier: BSD-3-Clause
"""The reference as Markdown: a page for each header, and one that leads to them."""

import re
import textwrap

from doc_comment import capital, capitals, results_of
from man_pages import cut, macro_of, reason, returning, words_of
from pages import documentation

MADE = "<!-- Made by `make docs` from include/hyperderp/: change that. -->"


def escape(text):
    return re.sub(r"([*<\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", text)


class MarkdownPage:
    def __init__(self, reference, folder):
        self.reference = reference
        self.folder = folder  # where the pages of the headers are, seen from this one
        self.lines = [MADE]

    def add(self, *lines):
        self.lines += lines

    def link(self, name, text=None):
        page = self.reference.page_of[name]
        macro = self.reference.items.get(name[:-6]) if name.endswith("_sized") else None
        anchor = macro.name if macro and macro.kind == "macro" else name
        return f"[`{text or name}`]({self.folder}{page.header.name[:-2]}.md#{anchor})"

    def inline(self, text):
        out = []
        for word in words_of(text):
            front, core, behind, quoted = cut(word)
            name = core[:-2] if core.endswith("()") else core
            if name in self.reference.page_of:
                core = self.link(name, core)
            elif quoted or macro_of(core, self.reference, None) and not \
                    re.fullmatch(r"[\w.-]+\(\d\)", core):
                core = f"`{core}`"
            else:
                core = escape(core)
            if front == behind[:1] == '"' and core[:1] == "`":
                front, behind = "", behind[1:]  # code needs no quotes
            out.append(escape(front) + core + escape(behind))
        return " ".join(out)

    def flow(self, text, indent="", first=None):
        lines = textwrap.wrap(text, 110, initial_indent=indent if first is None else first,
                              subsequent_indent=indent, break_long_words=False,
                              break_on_hyphens=False)
        # A line must not begin what is a list to Markdown.
        self.add(*[re.sub(r"^(\s*)([-+#]|\d+[.)])(?=\s)", r"\1\\\2", line) if i or first is None
                   else line for i, line in enumerate(lines)])

    def paragraph(self, text, indent=""):
        if self.lines and self.lines[-1]:
            self.add("")
        self.flow(self.inline(text), indent)

    def blocks(self, blocks, indent=""):
        for block in blocks:
            if block.kind == "heading":
                self.add("", f"{indent}**{block.text}**")
            elif block.kind == "para":
                self.paragraph(block.text, indent)
            elif block.kind == "list":
                self.add("")
                for item in block.lines:
                    self.flow(self.inline(item), indent + "  ", indent + "- ")
            else:
                self.code(block.lines, indent)

    def code(self, lines, indent=""):
        self.add("", indent + "```c", *[(indent + line).rstrip() for line in lines], indent + "```")

    def listed(self, label, blocks, indent=""):
        """An entry of a list: a label and what is said of it."""
        text = blocks[0].text if blocks and blocks[0].kind == "para" else ""
        self.flow(f"{label}: {self.inline(text)}" if text else label, indent + "  ", indent + "- ")
        self.blocks(blocks[1:] if text else blocks, indent + "  ")
        if len(blocks) > 1:
            self.add("")

    def render(self):
        text = "\n".join(self.lines) + "\n"
        return re.sub(r"\n{3,}", "\n\n", text)


class HeaderPage(MarkdownPage):
    def __init__(self, reference, header):
        super().__init__(reference, "")
        self.header = header

    def build(self):
        header = self.header
        self.add(f"# {header.name}", "", f"`#include <hyperderp/{header.name}>`; "
                 "[all headers](../reference.md)")
        self.blocks(header.doc.blocks)
        if header.doc.threads:
            self.add("", "**Threads**")
            self.blocks(header.doc.threads)
        self.blocks(header.doc.examples)
        pages = [p for p in self.reference.pages if p.header is header]
        constants = [i for i in header.items if i.kind == "constant" and i.doc]
        if constants:
            self.add("", "## Constants", "")
            for i, item in enumerate(constants):
                shared = i + 1 < len(constants) and constants[i + 1].doc is item.doc
                self.listed(f"`{item.name}` = `{item.text}`",
                            [] if shared else capitals(item.doc.blocks))
        of_types = [p for p in pages if not p.functions() or p.types() and p.group is None]
        for title, kept in (("Types", of_types),
                            ("Functions", [p for p in pages if p not in of_types])):
            if kept:
                self.add("", f"## {title}")
            for page in kept:
                self.page(page)
        return self.render()

    def page(self, page):
        level = "###"
        if page.group is not None:
            self.add("", f"### {page.group.title}")
            self.blocks(page.group.doc.blocks)
            self.blocks(page.group.doc.examples)
            level = "####"
        for item in page.types():
            self.type(item, level)
        for names, item, _ in documentation(page.functions()):
            self.function([i for i in page.functions() if i.name in names], item, level)

    def type(self, item, level):
        self.add("", f"{level} `{item.name}`")
        if item.kind not in ("struct", "union", "enum"):
            self.code([item.text])
        self.blocks(item.doc.blocks)
        self.fields(item.fields, "")
        self.blocks(item.doc.examples)

    def fields(self, fields, indent):
        group = None
        self.add("")
        for member in fields:
            if member.group is not group:
                group = member.group
                self.add("", f"{indent}**{group.title if group else 'Further fields'}**")
                if group:
                    self.blocks(group.doc.blocks, indent)
                self.add("")
            blocks = capitals(member.doc.blocks) if member.doc else []
            self.listed(f"`{member.text}`" if member.text else "one of", blocks, indent)
            if member.doc:
                for name, text, _ in member.doc.parameters:
                    self.flow(f"`{name}`: {self.inline(text)}", indent + "    ", indent + "  - ")
                if member.doc.returns:
                    self.flow("Returns " + self.inline(member.doc.returns), indent + "    ",
                              indent + "  - ")
                for value, text in member.doc.retvals:
                    self.flow(f"`{value}`: {self.inline(text)}", indent + "    ", indent + "  - ")
            if member.fields:
                self.fields(member.fields, indent + "  ")
        self.add("")

    def function(self, items, item, level):
        self.add("", f"{level} `{items[0].name}()`")
        self.code([line for i in items for line in declaration(i)])
        self.blocks(item.doc.blocks)
        if item.doc.parameters:
            self.add("")
        for name, text, _ in item.doc.parameters:
            self.flow(f"`{name}`: {self.inline(capital(text))}", "  ", "- ")
        for _, doc in returning(items):
            self.returns(doc)
        for i in items:
            self.blocks(i.doc.examples)

    def returns(self, doc):
        success, errors, notes = results_of(doc)
        if success:
            self.paragraph("Returns " + re.sub(r"^as ", "the same as ", success)
                           + (", or a negative error number:" if errors else "."))
        elif errors:
            self.paragraph("Returns a negative error number:")
        if errors:
            self.add("")
        for codes, when in errors:
            if codes == ["-errno"]:
                label = "any other"
            else:
                label = ", ".join(f"`{code}`" for code in codes)
            self.flow(f"{label}: {self.inline(reason(codes, when))}", "  ", "- ")
        for note in notes:
            self.paragraph(note)


def declaration(item):
    """A prototype, over several lines when it is long."""
    star = "" if item.result.endswith("*") else " "
    lines = [f"{item.result}{star}{item.name}("]
    indent = " " * min(len(lines[0]), 40)
    texts = [p.text for p in item.parameters] or ["void"]
    for i, text in enumerate(texts):
        text += ", " if i + 1 < len(texts) else ");"
        if i > 0 and len(lines[-1]) + len(text.rstrip()) > 100:
            lines.append(indent)
        lines[-1] += text
    return [line.rstrip() for line in lines]


class Index(MarkdownPage):
    def __init__(self, reference):
        super().__init__(reference, "reference/")

    def build(self):
        doc = self.reference.umbrella.doc
        self.add("# Reference of libhyperderp", "",
                 "What the headers say, to be read on the web; the same is in the manual pages of",
                 "section 3, of which libhyperderp(3) is the first.")
        self.blocks(doc.blocks)
        if doc.threads:
            self.add("", "**Threads**")
            self.blocks(doc.threads)
        if doc.examples:
            self.add("", "## Example")
            self.blocks(doc.examples)
        for header in self.reference.headers:
            self.add("", f"## [{header.name}](reference/{header.name[:-2]}.md)")
            self.blocks(header.doc.blocks[:1])
            self.add("", "| | |", "| --- | --- |")
            for page in self.reference.pages:
                if page.header is header:
                    self.rows(page)
        return self.render()

    def rows(self, page):
        for item in page.types() + page.functions():
            if item.name.endswith("_sized") and item.name[:-6] in self.reference.items:
                continue
            call = "()" if item.kind in ("function", "macro") else ""
            said = self.inline(item.doc.summary()).replace("|", "\\|")
            self.add(f"| {self.link(item.name, item.name + call)} | {said} |")


def render(reference):
    result = {"reference.md": Index(reference).build()}
    for header in reference.headers:
        result[f"reference/{header.name[:-2]}.md"] = HeaderPage(reference, header).build()
    return result
