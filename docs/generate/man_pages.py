# SPDX-License-Identifier: BSD-3-Clause
"""The reference as manual pages of section 3, in mdoc(7)."""

import errno
import os
import re
import textwrap

from doc_comment import capital, capitals, results_of, small
from pages import documentation

DATE = "November 27, 2026"  # a page must not change with the day on which it is made
SYSTEM_CALLS = {"open", "read", "write", "close", "socket", "bind", "listen", "accept", "connect",
                "poll", "dup", "recv", "send", "shutdown", "setsockopt", "getsockopt", "fcntl",
                "epoll_ctl", "epoll_wait", "mmap", "eventfd"}
LIBRARY_CALLS = {"malloc", "free", "realloc", "calloc", "getaddrinfo", "syslog", "memset", "printf"}
CLOSING = ".,:;)]?!"

ERRORS = {
    "-ENOMEM": "There is no memory.",
    "-EMFILE": "The process has no file descriptors left.",
    "-ENFILE": "The system has no file descriptors left.",
    "-EACCES": "Permission was denied.",
    "-EINVAL": "An argument is not what it should be.",
    "-EBUSY": "It is too late, or too early, for this.",
    "-EAGAIN": "Nothing is there yet.",
    "-EIO": "Something failed outside of this library.",
}


def escape(text):
    text = text.replace("\\", "\\e")
    return re.sub(r"(?<![\w-])-(?=\w)", r"\\-", text)


def argument(text):
    """As an argument of a macro: no other macro, no delimiter."""
    text = escape(text)
    return "\\&" + text if re.fullmatch(r"[A-Z%][a-z]{1,2}|[.,:;()\[\]?!|]", text) else text


def macro_of(word, reference, page):
    """The macro for a word of C, or None for one of English."""
    call = re.fullmatch(r"(\w+)\(\)", word)
    if call:
        name = call.group(1)
        home = reference.page_of.get(name)
        if home is not None and home is not page:
            return f"Xr {name} 3"
        if name in SYSTEM_CALLS or name in LIBRARY_CALLS:
            return f"Xr {name} {2 if name in SYSTEM_CALLS else 3}"
        return f"Fn {name}"
    manual = re.fullmatch(r"([\w.-]+)\((\d)\)", word)
    if manual:
        return f"Xr {manual.group(1)} {manual.group(2)}"
    if re.fullmatch(r"-E[A-Z0-9]+", word):
        return f"Er \\-{word[1:]}"
    if word == "NULL" or re.fullmatch(r"HYPERDERP_\w+|[A-Z][A-Z0-9]*_[A-Z0-9_]+", word):
        return f"Dv {word}"
    if re.fullmatch(r"hyperderp_\w+", word) and word in reference.items:
        return f"Vt {word}"
    if re.fullmatch(r"hyperderp_\w+|\w+->\w+|[a-z]\w*\.[a-z]\w*_\w+|[a-z][a-z0-9]*_\w+", word) \
            and word not in ("io_uring",):
        return f"Va {word}"
    return None


def words_of(text):
    """Words, of which what stands between backticks is one: (word, is it C, glued to the next)."""
    for part in re.findall(r"(?:`[^`]*`|\S)+", text):
        yield part


def cut(word):
    """In front, the word itself, behind."""
    quoted = re.fullmatch(r"([\"(\[]*)`([^`]*)`(\S*)", word)
    if quoted:
        return quoted.groups() + (True,)
    match = re.fullmatch(r"([\"(\[*]*)(.*?)([\"'\].,:;?!]*|(?<!\()\)[\"'\].,:;?!]*)", word)
    front, core, behind = match.groups()
    if core.endswith(")") and "(" not in core:
        core, behind = core[:-1], ")" + behind
    possessive = re.fullmatch(r"(.*\(\))('s)", core)
    if possessive:
        core, behind = possessive.group(1), possessive.group(2) + behind
    return front, core, behind, False


def macro_line(front, macro, behind):
    front = argument(front).replace('"', "\\(dq")
    line = "." + (f"Pf {front} " if front else "")
    line += macro
    while behind and behind[0] in CLOSING:
        line += " " + behind[0]
        behind = behind[1:]
    behind = escape(behind).replace('"', "\\(dq")
    return line + (f" Ns {behind}" if behind else "")


def flow(text, reference, page):
    """Lines of mdoc for a paragraph: macros on lines of their own, a line for each sentence."""
    lines, current = [], ""

    def flush():
        nonlocal current
        if current:
            lines.append(("\\&" if current[0] in ".'" else "") + current)
        current = ""

    for word in words_of(text):
        front, core, behind, quoted = cut(word)
        macro = macro_of(core, reference, page)
        if macro is None and quoted:
            macro = "Li " + ("\\&" if not core else argument(core) if " " not in core
                             else f'"{escape(core)}"')
        if macro is not None:
            flush()
            lines.append(macro_line(front, macro, behind))
            continue
        plain = escape(word.replace("`", ""))
        if len(current) + 1 + len(plain) > 79:
            flush()
        current += (" " if current else "") + plain
        if re.search(r"[.?!][)\"]?$", word) and not word.endswith(("e.g.", "i.e.")):
            flush()
    flush()
    return lines


class ManPage:
    def __init__(self, reference, page):
        self.reference = reference
        self.page = page
        self.lines = []

    def add(self, *lines):
        self.lines += lines

    def text(self, text):
        self.add(*flow(text, self.reference, self.page))

    def paragraph(self):
        """Between two paragraphs, but not behind a heading, where mandoc has nothing of it."""
        if self.lines and not re.match(r"\.(S[hs]|It|Pp)\b", self.lines[-1]):
            self.add(".Pp")

    def blocks(self, blocks):
        for block in blocks:
            if block.kind == "heading":
                self.add(f".Ss {escape(block.text)}")
            elif block.kind == "para":
                self.paragraph()
                self.text(block.text)
            elif block.kind == "list":
                self.add(".Bl -bullet")
                for item in block.lines:
                    self.add(".It")
                    self.text(item)
                self.add(".El")
            else:
                self.literal(block.lines)

    def literal(self, lines):
        self.add(".Bd -literal -offset indent")
        for line in lines:
            line = line.replace("\\", "\\e")
            self.add(("\\&" if line[:1] in (".", "'") else "") + line)
        self.add(".Ed")

    def head(self, names, summary, title):
        self.add('.\\" SPDX-License-Identifier: BSD-3-Clause',
                 ".\\\" Made by 'make docs' from include/hyperderp/: change that.",
                 f".Dd {DATE}", f".Dt {title.upper()} 3", ".Os", ".Sh NAME")
        for i, name in enumerate(names):
            self.add(f".Nm {name}" + (" ," if i < len(names) - 1 else ""))
        self.add(f".Nd {escape(summary.replace('`', ''))}")

    def see_also(self, names):
        def order(entry):
            return entry[1], entry[0].lower()
        found = sorted(set(names), key=order)
        self.add(".Sh SEE ALSO")
        for i, (name, section) in enumerate(found):
            self.add(f".Xr {name} {section}" + (" ," if i < len(found) - 1 else ""))

    def render(self):
        return "\n".join(self.lines) + "\n"


class ItemPage(ManPage):
    """The page of functions and types that belong together."""

    def build(self):
        page = self.page
        functions, types = page.functions(), page.types()
        names = [i.name for i in functions + types]
        names.sort(key=lambda n: n != page.name)
        self.head(list(dict.fromkeys(names)), page.summary(), page.name)
        self.add(".Sh LIBRARY", "libhyperderp", ".Pq Li \\-lhyperderp")
        self.add(".Sh SYNOPSIS", f".In hyperderp/{page.header.name}")
        constants = self.reference.constants_of(page)
        for constant in constants:
            self.add(f".Fd #define {constant.name} {escape(constant.text)}")
        for item in types:
            self.declare(item)
        if types and functions:
            self.add(".Pp")
        for item in functions:
            self.declare_function(item)
        self.add(".Sh DESCRIPTION")
        self.describe(functions, types, constants)
        self.returns(functions)
        self.examples()
        self.errors(functions)
        self.see_also([("libhyperderp", 3)] + [(n, 3) for n in self.reference.seen_from(page)]
                      + self.manuals())
        return self.render()

    def manuals(self):
        """Pages of other sections that the text names."""
        said = " ".join(i.doc.text() for i in self.page.items if i.doc)
        return [(n, int(s)) for n, s in re.findall(r"\b([a-z][\w.-]+)\(([1-8])\)", said)
                if n not in ("libhyperderp",) and n not in self.reference.page_of]

    # ---- SYNOPSIS ----

    def declare_function(self, item):
        if item.result:
            self.add(f'.Ft "{item.result}"' if " " in item.result else f".Ft {item.result}")
        self.add(f".Fo {item.name}")
        for parameter in item.parameters:
            self.add(f'.Fa "{escape(parameter.text)}"')
        if not item.parameters:
            self.add(".Fa void")
        self.add(".Fc")

    def declare(self, item):
        if item.kind in ("struct", "union", "enum"):
            lines = [f"typedef {item.kind} {item.name} {{"]
            lines += self.members(item.fields, 1, "," if item.kind == "enum" else ";")
            self.literal(lines + [f"}} {item.name};"])
            self.lines[-len(lines) - 3] = ".Bd -literal"
        else:
            self.add(f".Vt {escape(item.text.rstrip(';'))} ;" if len(item.text) < 70
                     else ".Bd -literal")
            if len(item.text) >= 70:
                self.add(*wrapped(item.text), ".Ed")

    def members(self, fields, depth, end):
        lines = []
        for member in fields:
            if member.head:
                inside = "," if member.head == "enum" else ";"
                lines.append("    " * depth + member.head + " {")
                lines += self.members(member.fields, depth + 1, inside)
                lines.append("    " * depth + f"}} {member.name}".rstrip() + ";")
            else:
                lines += textwrap.wrap("    " * depth + member.text + end, 78,
                                       subsequent_indent="    " * depth + "        ")
        return lines

    # ---- DESCRIPTION ----

    def describe(self, functions, types, constants):
        page = self.page
        if page.group is not None:
            self.blocks(page.group.doc.blocks)
        described = documentation(functions)
        for item in types:
            if len(types) > 1 or described and page.group is not None:
                self.add(f".Ss {item.name}")
            else:
                self.paragraph()
            self.blocks(item.doc.blocks)
            self.fields(item.fields)
            if item.kind == "opaque":
                self.users()
        for names, item, _ in described:
            if len(described) + len(types) > 1:
                self.add(".Ss " + ", ".join(f"{n}()" for n in names))
            self.blocks(item.doc.blocks)
            self.parameters(item)
        if constants:
            self.add(".Ss Constants", ".Bl -tag -width Ds")
            for i, constant in enumerate(constants):
                self.add(f".It Dv {constant.name}")
                if i + 1 == len(constants) or constants[i + 1].doc is not constant.doc:
                    self.blocks(capitals(constant.doc.blocks))
            self.add(".El")
        threads = [b for item in page.items if item.doc for b in item.doc.threads] \
            or (page.header.doc.of_threads() if functions else [])
        if threads:
            self.add(".Ss Threads")
            self.blocks(threads)

    def users(self):
        pages = self.reference.users_of(self.page)
        if not pages:
            return
        self.add(".Pp", "These functions take or give one:", ".Bl -tag -width Ds")
        for page in pages:
            self.add(f".It Xr {page.name} 3")
            self.text(page.summary()[0].upper() + page.summary()[1:] + ".")
        self.add(".El")

    def parameters(self, item):
        if not item.doc.parameters:
            return
        self.add(".Bl -tag -width Ds")
        for name, text, _ in item.doc.parameters:
            self.add(f".It Fa {name}")
            self.text(capital(text))
        self.add(".El")

    def fields(self, fields):
        group, is_open = None, False
        for member in fields:
            if member.group is not group or not is_open:
                if is_open:
                    self.add(".El")
                if member.group is not group:
                    group = member.group
                    self.add(f".Ss {group.title}" if group else ".Ss Further fields")
                    if group:
                        self.blocks(group.doc.blocks)
                self.add(".Bl -tag -width Ds")
                is_open = True
            self.add(f".It Va {escape(member.text)}" if member.text else ".It One of")
            before = len(self.lines)
            if member.doc:
                self.blocks(capitals(member.doc.blocks))
                self.parameters(member)
                if member.doc.returns:
                    self.add(".Pp")
                    self.text("Returns " + member.doc.returns)
                for value, text in member.doc.retvals:
                    self.add(".Pp")
                    self.text(f"{value}: {text}")
            if member.fields:
                self.fields(member.fields)
            if len(self.lines) == before:
                self.add("\\&")
        if is_open:
            self.add(".El")

    # ---- RETURN VALUES, EXAMPLES, ERRORS ----

    def returns(self, functions):
        said = returning(functions)
        if not said:
            return
        self.add(".Sh RETURN VALUES")
        for names, doc in said:
            success, errors, notes = results_of(doc)
            self.paragraph()
            self.add(f".Fn {names[0]}")
            success = re.sub(r"^as ", "the same as ", small(success)) if success else ""
            text = "returns " + (success or "a negative error number")
            if errors and success:
                text += ", or a negative error number"
            self.text(text + ("" if text.endswith(".") else "."))
            for note in notes:
                self.text(note)

    def examples(self):
        blocks = list(self.page.group.doc.examples) if self.page.group else []
        for item in self.page.items:
            blocks += item.doc.examples if item.doc else []
        if blocks:
            self.add(".Sh EXAMPLES")
            self.blocks(blocks)

    def errors(self, functions):
        failing = [(n, results_of(doc)[1]) for n, doc in returning(functions) if results_of(doc)[1]]
        if not failing:
            return
        self.add(".Sh ERRORS")
        for names, errors in failing:
            if len(documentation(functions)) > 1:
                self.paragraph()
                self.add(f".Fn {names[0]} :")
            self.add(".Bl -tag -width Er")
            for codes, when in errors:
                if codes == ["-errno"]:
                    self.add(".It Any other")
                else:
                    self.add(".It " + " , ".join(f"Er \\-{code[1:]}" for code in codes))
                self.text(reason(codes, when))
            self.add(".El")


def returning(functions):
    """The names of functions that return something, and the comment that says what."""
    result = []
    for names, item, other in documentation(functions):
        docs = [i.doc for i in (item, other) if i and (i.doc.returns or i.doc.retvals)]
        result += [(names, docs[0])] if docs else []
    return result


def reason(codes, when):
    """Why a function fails, as a sentence."""
    if codes == ["-errno"]:
        when = re.sub(r"^of ", "that of ", re.sub(r"^that ", "what ", when))
        return capital(when or "what the system said")
    if when:
        return capital(re.sub(r"^(which|that) ", "", when))
    if codes[0] in ERRORS:
        return ERRORS[codes[0]]
    number = getattr(errno, codes[0][1:], None)
    return (os.strerror(number) if number else "Something failed") + "."


def wrapped(declaration):
    """A long declaration over several lines."""
    head, _, rest = declaration.partition(", ")
    return [head + ","] + ["    " + part + ("," if i < len(rest.split(", ")) - 1 else "")
                           for i, part in enumerate(rest.split(", "))]


class Overview(ManPage):
    """libhyperderp(3): what all have in common, and all functions by subject."""

    def build(self):
        reference, doc = self.reference, self.reference.umbrella.doc
        self.head(["libhyperderp"], doc.summary(), "libhyperderp")
        self.add(".Sh LIBRARY", "libhyperderp", ".Pq Li \\-lhyperderp")
        self.add(".Sh SYNOPSIS", ".In hyperderp/hyperderp.h", ".Sh DESCRIPTION")
        self.blocks(doc.blocks)
        for header in reference.headers:
            self.subject(header)
        if doc.threads:
            self.add(".Ss Threads")
            self.blocks(doc.threads)
        if doc.examples:
            self.add(".Sh EXAMPLES")
            self.blocks(doc.examples)
        self.see_also([("hyper-derp", 8), ("hyper-derp-bench", 1)])
        return self.render()

    def subject(self, header):
        self.add(f".Ss hyperderp/{header.name}")
        self.blocks(header.doc.blocks)
        if header.doc.threads:
            self.paragraph()
            self.blocks(header.doc.threads)
        self.add(".Bl -tag -width Ds")
        for page in self.reference.pages:
            if page.header is header:
                names = [page.name] + [i.name for i in page.items if i.name != page.name
                                       and not i.name.endswith("_sized")]
                self.add(".It " + " , ".join(f"Xr {n} 3" for n in dict.fromkeys(names)))
                self.text(page.summary()[0].upper() + page.summary()[1:] + ".")
        self.add(".El")


def render(reference):
    result = {"libhyperderp.3": Overview(reference, None).build()}
    for page in reference.pages:
        result[page.name + ".3"] = ItemPage(reference, page).build()
        for item in page.items:
            if item.name != page.name:
                result.setdefault(item.name + ".3", f".so man3/{page.name}.3\n")
    return result
