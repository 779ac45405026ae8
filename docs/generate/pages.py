# SPDX-License-Identifier: BSD-3-Clause
"""What the pages of the reference are, and whether the headers say all that they need.

Each function, struct, enum and opaque type has a page of its own, but for
- what stands between @{ and @} of a @name: it shares the page of the first function there;
- a macro X() and its function X_sized(): one page, X;
- X_name(), which names the values of an enum X: it is on the page of X;
- a function, and a type of the same name.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from c_header import Group, Header, Item, Parameter, read_header
from doc_comment import small

UMBRELLA = "hyperderp.h"
FIRST, LAST = ("relay.h",), ("key.h", "version.h")  # in the overview; the others by their names
NAME = re.compile(r"\bhyperderp_\w+")


@dataclass(eq=False)
class Page:
    name: str
    header: Header
    items: List[Item] = field(default_factory=list)
    group: Optional[Group] = None

    def functions(self):
        return [i for i in self.items if i.kind in ("function", "macro")]

    def types(self):
        return [i for i in self.items if i.kind not in ("function", "macro", "constant")]

    def summary(self):
        if self.group is not None:
            return small(self.group.title)
        main = next((i for i in self.items if i.name == self.name), self.items[0])
        return main.doc.summary()


class Reference:
    def __init__(self, folder):
        self.problems = []
        self.headers: List[Header] = []
        self.umbrella: Optional[Header] = None
        for name in sorted(n for n in os.listdir(folder) if n.endswith(".h")):
            header = read_header(os.path.join(folder, name), name, self.problems)
            if name == UMBRELLA:
                self.umbrella = header
            else:
                self.headers.append(header)
        self.headers.sort(key=lambda h: (h.name not in FIRST, h.name in LAST, h.name))
        self.items: Dict[str, Item] = {}
        self.pages: List[Page] = []
        self.page_of: Dict[str, Page] = {}
        for header in self.headers:
            self.merge(header)
            Checks(self, header).run()
        if self.umbrella is None or self.umbrella.doc is None:
            self.problems.append((os.path.join(folder, UMBRELLA), 1, "no @file comment"))
        if not self.problems:
            self.arrange()

    def merge(self, header):
        """A type that is declared in one place and defined in another is one."""
        for item in list(header.items):
            known = self.items.get(item.name)
            if known is None or item.kind == "constant":
                self.items.setdefault(item.name, item)
                continue
            if known.kind == "opaque" or item.kind == "opaque":
                # Of two that are declared alone, the one with a comment.
                full, bare = (item, known) if known.kind == "opaque" and \
                    (item.kind != "opaque" or not known.doc) else (known, item)
                full.doc = full.doc or bare.doc
                if bare in bare.header.items:
                    bare.header.items.remove(bare)
                self.items[full.name] = full
            elif item.kind != known.kind and {"function", "macro"} & {item.kind, known.kind}:
                self.items[item.name + "()"] = item  # a type and a function
            else:
                self.problems.append((header.path, item.line, f"{item.name} is declared twice"))

    # ---- Pages ----

    def arrange(self):
        for header in self.headers:
            for item in header.items:
                if item.kind not in ("constant", "alias"):
                    self.place(item)
        for page in self.pages:
            page.items.sort(key=lambda i: (not self.is_of_pair(i), i.line))

    def is_of_pair(self, item):
        return item.kind == "macro" and item.name + "_sized" in self.items

    def home(self, item):
        """The name of the page that an item is on."""
        if item.group is not None:
            members = [i for i in item.header.items if i.group is item.group]
            first = next((i for i in members if i.kind in ("function", "macro")), members[0])
            return self.without_size(first.name)
        name = self.without_size(item.name)
        named = self.items.get(name[:-5]) if name.endswith("_name") else None
        return self.home(named) if named and named.kind == "enum" else name

    def without_size(self, name):
        bare = re.sub(r"_sized$", "", name)
        return bare if bare != name and bare in self.items else name

    def place(self, item):
        name = self.home(item)
        page = next((p for p in self.pages if p.name == name), None)
        if page is None:
            page = Page(name, item.header, group=item.group)
            self.pages.append(page)
        page.items.append(item)
        self.page_of[item.name] = page
        if self.is_of_pair(item):
            as_function(item, self.items[item.name + "_sized"])

    # ---- What belongs together ----

    def constants_of(self, page):
        """The constants that its declarations and its text name."""
        said = " ".join([declarations(i) + (i.doc.text() if i.doc else "") for i in page.items])
        said += page.group.doc.text() if page.group else ""
        words = set(re.findall(r"\bHYPERDERP_\w+", said))
        return [i for i in page.header.items if i.kind == "constant" and i.name in words and i.doc]

    def seen_from(self, page):
        """The names of the pages that this one sends its reader to."""
        said = page.group.doc.text() if page.group else ""
        for item in page.items:
            said += " " + declarations(item) + " " + (item.doc.text() if item.doc else "")
        names = {self.page_of[n].name for n in NAME.findall(said) if n in self.page_of}
        if page.types():
            users = self.users_of(page, ("function", "macro", "struct", "callback"))
            names |= {p.name for p in users[:12]}
        return sorted(names - {page.name})

    def users_of(self, page, kinds=("function", "macro")):
        """The pages of functions that take or give what this page defines."""
        types = {i.name for i in page.types()}
        for header in self.headers:  # the number of values of an enum stands behind it
            types |= {after.name for item, after in zip(header.items, header.items[1:])
                      if item in page.types() and item.kind == "enum" and after.kind == "constant"}
        return [p for p in self.pages if p is not page and any(
            types & set(re.findall(r"\w+", declarations(i))) for i in p.items if i.kind in kinds)]


def as_function(macro, sized):
    """Gives the macro the types of its function: all parameters but the size."""
    known = {p.name: p for p in sized.parameters}
    macro.result = sized.result
    for i, parameter in enumerate(macro.parameters):
        like = known.get(parameter.name) or \
            (sized.parameters[i] if i < len(sized.parameters) else parameter)
        macro.parameters[i] = Parameter(like.name, like.text)


def prototype(item):
    """In one line."""
    inside = ", ".join(p.text for p in item.parameters) or "void"
    star = "" if item.result.endswith("*") else " "
    return f"{item.result}{star}{item.name}({inside})"


def fields_text(fields):
    return " ".join([f"{f.text} {f.doc.text() if f.doc else ''} {fields_text(f.fields)}"
                     for f in fields])


def declarations(item):
    if item.kind in ("function", "macro"):
        return prototype(item)
    return item.text + " " + fields_text(item.fields)


def documentation(functions):
    """The functions as they are described: [(names, the item to describe, what else is said)].
    A macro and its function are described once, by the comment that says more."""
    result, by_name = [], {i.name: i for i in functions}
    for item in functions:
        sized = by_name.get(item.name + "_sized")
        if item.kind == "macro" and sized is not None:
            more, less = (item, sized) if len(item.doc.text()) > len(sized.doc.text()) \
                else (sized, item)
            result.append(([item.name, sized.name], more, less))
        elif not item.name.endswith("_sized") or by_name.get(item.name[:-6], item).kind != "macro":
            result.append(([item.name], item, None))
    return result


class Checks:
    """That each thing that is public has been said something about."""

    def __init__(self, reference, header):
        self.reference = reference
        self.header = header

    def say(self, line, what):
        self.reference.problems.append((self.header.path, line, what))

    def run(self):
        if self.header.doc is None:
            self.say(1, "no @file comment")
        for item in self.header.items:
            if item.kind in ("alias", "constant"):
                continue
            if item.doc is None:
                self.say(item.line, f"{item.name} has no doc comment")
                continue
            if not any(b.kind == "para" and b.text for b in item.doc.blocks):
                self.say(item.doc.line, f"{item.name}: its comment does not begin with a sentence")
            if item.kind == "function":
                self.function(item)
            elif item.kind == "macro" and item.name + "_sized" not in self.reference.items \
                    and not any(i.name == item.name + "_sized" for i in self.header.items):
                self.parameters(item)
            self.fields(item, item.fields)

    def fields(self, item, fields):
        for member in fields:
            if member.doc is None and not (member.head and not member.name):
                self.say(member.line, f"{member.name} of {item.name} has no doc comment")
            self.fields(item, member.fields)

    def function(self, item):
        self.parameters(item)
        if item.result == "int" and item.doc.returns is None and not item.doc.retvals:
            self.say(item.line, f"{item.name}: what it returns is not said (@return)")
        if item.result == "void" and item.doc.returns:
            self.say(item.line, f"{item.name}: @return, but it returns nothing")

    def parameters(self, item):
        said = [name for name, _, _ in item.doc.parameters]
        names = [p.name for p in item.parameters]
        for name, _, line in item.doc.parameters:
            if name not in names:
                self.say(line, f"{item.name} has no parameter {name}")
            elif said.count(name) > 1 and said.index(name) != len(said) - 1:
                said.remove(name)
                self.say(line, f"{item.name}: {name} is documented twice")
        # A comment without @param is about the one parameter that there is, or names them in its
        # text; the length of a buffer may be told with the buffer.
        alone = len(names) == 1 and not said
        text = " ".join(t for _, t, _ in item.doc.parameters) if said else item.doc.text()
        said += [word for word in re.findall(r"\w+", text) if len(word) > 2]
        for i, parameter in enumerate(item.parameters):
            if not parameter.name:
                self.say(item.line, f"{item.name}: parameter {i + 1} has no name")
            elif parameter.name not in said and not alone and not self.is_handle(i, parameter):
                self.say(item.line, f"{item.name}: {parameter.name} is not documented (@param)")

    def is_handle(self, i, parameter):
        """The object that a function belongs to goes without saying."""
        match = re.fullmatch(r"(?:const )?(?:struct )?(hyperderp_\w+) \*\w+", parameter.text)
        return i == 0 and match is not None and any(
            x.name == match.group(1) and x.kind == "opaque"
            for h in self.reference.headers for x in h.items)
