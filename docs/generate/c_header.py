# SPDX-License-Identifier: BSD-3-Clause
"""Reads a public header: what it declares, and the doc comment of each.

This is no C compiler: it knows what a header of an API may hold (functions, typedefs, structs,
enums, macros), and says where it meets anything else.
"""

import re
from dataclasses import dataclass, field
from typing import List, Optional

from doc_comment import Doc, parse_doc

SCANNER = re.compile(r"""
      (?P<comment>/\*.*?\*/|//[^\n]*)
    | (?P<directive>^[ \t]*\#(?:/\*.*?\*/|\\\n|[^\n])*)
    | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<word>[A-Za-z_]\w*|\d[\w.]*)
    | (?P<punct>\.\.\.|\S)
""", re.X | re.S | re.M)

ATTRIBUTE = re.compile(r"HYPERDERP_[A-Z_]+|__attribute__|__extension__|_Noreturn|extern|static"
                       r"|inline")


@dataclass
class Token:
    kind: str  # doc, back (a doc comment behind what it is about), define, word, string, punct
    text: str
    line: int


@dataclass(eq=False)
class Group:
    """What stands between @{ and @}: it has a title and shares a page."""
    title: str
    doc: Doc
    line: int


@dataclass
class Parameter:
    name: str
    text: str  # as C has it


@dataclass(eq=False)
class Field:
    name: str
    text: str
    doc: Optional[Doc]
    line: int
    group: Optional[Group] = None
    fields: List["Field"] = field(default_factory=list)  # of a struct or union inside
    head: str = ""  # of such a one: "union"
    parameters: List[Parameter] = field(default_factory=list)  # of a callback


@dataclass(eq=False)
class Item:
    kind: str  # function, macro (with arguments), constant, struct, union, enum, opaque, callback,
    # alias
    name: str
    doc: Optional[Doc]
    line: int
    header: "Header"
    result: str = ""
    parameters: List[Parameter] = field(default_factory=list)
    fields: List[Field] = field(default_factory=list)
    text: str = ""  # a typedef's declaration, a constant's value
    group: Optional[Group] = None


@dataclass(eq=False)
class Header:
    name: str
    path: str
    doc: Optional[Doc] = None
    items: List[Item] = field(default_factory=list)


class Conditionals:
    """Which lines a compiler of C sees: the first branch of each #if, nothing of __cplusplus."""

    def __init__(self):
        self.seen = []

    def take(self, directive):
        word, _, rest = directive.partition(" ")
        if word in ("if", "ifdef", "ifndef"):
            off = rest.strip() in ("0", "__cplusplus", "defined(__cplusplus)")
            self.seen.append(off if word != "ifndef" else False)
        elif word in ("else", "elif") and self.seen:
            self.seen[-1] = not self.seen[-1]
        elif word == "endif" and self.seen:
            self.seen.pop()

    def hidden(self):
        return any(self.seen)


def tokens_of(text):
    conditionals, line, last, result = Conditionals(), 1, 0, []
    for match in SCANNER.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        kind, body = match.lastgroup, match.group()
        if kind == "directive":
            directive = re.sub(r"/\*.*?\*/", " ", body, flags=re.S).replace("\\\n", " ")
            directive = " ".join(directive.strip()[1:].split())
            conditionals.take(directive)
            if directive.startswith("define ") and not conditionals.hidden():
                result.append(Token("define", directive[7:], line))
            remains = re.search(r"/\*\*<.*?\*/", body, re.S)
            if remains and not conditionals.hidden():
                result.append(Token("back", remains.group(), line))
        elif conditionals.hidden():
            continue
        elif kind == "comment":
            if body.startswith("/**<"):
                result.append(Token("back", body, line))
            elif body.startswith("/**") and body != "/**/":
                result.append(Token("doc", body, line))
        else:
            result.append(Token(kind, body, line))
    return result


def c_text(tokens):
    """Tokens as a person writes them."""
    out, previous = "", ""
    for i, token in enumerate(tokens):
        text = token.text
        behind = tokens[i + 1].text if i + 1 < len(tokens) else ""
        glued = (not out or previous in ("(", "[", "*") or text in (")", "]", ",", ";", "[")
                 or (text == "(" and behind != "*"))
        if text == "*" and previous == ",":
            glued = False
        if previous == ")" and text == "(":
            glued = True
        out += text if glued else " " + text
        previous = text
    return out


def split_at_commas(tokens):
    parts, depth = [[]], 0
    for token in tokens:
        depth += (token.text in "([{") - (token.text in ")]}")
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def closing(tokens, start):
    """Where the bracket that opens at start is closed."""
    depth = 0
    for i in range(start, len(tokens)):
        depth += (tokens[i].text in "([{") - (tokens[i].text in ")]}")
        if depth == 0:
            return i
    return len(tokens) - 1


def without_attributes(tokens):
    result, i = [], 0
    while i < len(tokens):
        if ATTRIBUTE.fullmatch(tokens[i].text) and not inside_brackets(tokens, i):
            if i + 1 < len(tokens) and tokens[i + 1].text == "(" and tokens[i].text[0] in "_H":
                i = closing(tokens, i + 1)
        else:
            result.append(tokens[i])
        i += 1
    return result


def inside_brackets(tokens, at):
    return sum((t.text in "([{") - (t.text in ")]}") for t in tokens[:at]) > 0


def declared_name(tokens):
    """The name that a declarator gives, and the brackets of a callback's parameters behind it."""
    for i in range(len(tokens) - 2):
        if tokens[i].text == "(" and tokens[i + 1].text == "*":
            end = closing(tokens, i)
            words = [t.text for t in tokens[i:end] if t.kind == "word"]
            return (words[-1] if words else None), tokens[end + 1:]
    names = []
    for token in tokens:
        if token.text in ("[", ":", "="):
            break
        if token.kind == "word":
            names.append(token.text)
    return (names[-1] if names else None), []


def parameters_of(tokens):
    """Of "(int a, char *b)"."""
    inner = tokens[1:closing(tokens, 0)]
    if [t.text for t in inner] in ([], ["void"]):
        return []
    result = []
    for part in split_at_commas(inner):
        name, _ = declared_name(part)
        if part[0].text == "...":
            name = "..."
        elif len([t for t in part if t.kind == "word"]) < 2:
            name = ""  # a type alone
        result.append(Parameter(name or "", c_text(part)))
    return result


class Parser:
    def __init__(self, path, name, text, problems):
        self.header = Header(name, path)
        self.tokens = tokens_of(text)
        self.problems = problems
        self.at = 0
        self.doc = None      # the comment that waits for its declaration
        self.title = None    # a @name that waits for its @{
        self.group = None

    def say(self, line, what):
        self.problems.append((self.header.path, line, what))

    def read_doc(self, token):
        return parse_doc(token.text, token.line, self.say)

    def take_doc(self, token):
        doc = self.read_doc(token)
        if doc.file is not None:
            self.header.doc = doc
            return
        if doc.closes and not doc.opens:
            self.group = None
            return
        if doc.title is not None:
            self.title = Group(doc.title, doc, token.line)
        if doc.opens:
            if self.title is None:
                self.say(token.line, "a group (@{) without a @name in front")
            self.group, self.title = self.title, None
        elif doc.title is None:
            self.doc = doc

    def taken_doc(self, line):
        if self.title is not None:
            self.say(self.title.line, "a @name without a group (@{) behind it")
            self.title = None
        doc, self.doc = self.doc, None
        return doc

    def parse(self):
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind == "doc":
                self.take_doc(token)
                self.at += 1
            elif token.kind == "back":
                if self.header.items and not self.header.items[-1].doc:
                    self.header.items[-1].doc = self.read_doc(token)
                self.at += 1
            elif token.kind == "define":
                self.define(token)
                self.at += 1
            elif token.text == ";":
                self.at += 1
            else:
                self.declaration()
        if self.group is not None:
            self.say(self.group.line, "a group that nothing closes (@})")
        return self.header

    def define(self, token):
        match = re.match(r"(\w+)(\([^)]*\))?\s*(.*)", token.text)
        name, parameters, value = match.groups()
        doc = self.taken_doc(token.line)
        before = self.header.items[-1] if self.header.items else None
        if doc is None and parameters is None and before and before.kind == "constant" \
                and before.line == token.line - 1:
            doc = before.doc  # one comment for the lines that follow each other
        if doc is None and (not value or not name.startswith("HYPERDERP") or name.endswith("_H")):
            return
        if parameters is None:
            if value and not value.startswith("__attribute__"):
                self.add(Item("constant", name, doc, token.line, self.header, text=value))
            return
        if not name.startswith("hyperderp_"):
            return
        self.add(Item("macro", name, doc, token.line, self.header, text=value, parameters=[
            Parameter(p.strip(), p.strip()) for p in parameters[1:-1].split(",") if p.strip()]))

    def add(self, item):
        item.group = self.group
        self.header.items.append(item)

    def declaration(self):
        start, end, body = self.at, self.at, None
        while end < len(self.tokens) and self.tokens[end].text != ";":
            if self.tokens[end].text in ("(", "{"):
                if self.tokens[end].text == "{" and self.tokens[end - 1].text == ")":
                    body = end  # of an inline function
                    break
                end = closing(self.tokens, end)
            end += 1
        tokens = self.tokens[start:end]
        self.at = (closing(self.tokens, body) if body is not None else end) + 1
        line = tokens[0].line
        doc = self.taken_doc(line)
        plain = without_attributes([t for t in tokens if t.kind not in ("doc", "back", "define")])
        if not plain or plain[0].text in ("_Static_assert", "static_assert"):
            return
        item = self.typedef(tokens, plain, doc, line) if plain[0].text == "typedef" \
            else self.named(tokens, plain, doc, line)
        if item is None:
            self.say(line, "not understood: " + c_text(plain)[:60])
        elif item.kind != "forward":
            self.add(item)

    def typedef(self, tokens, plain, doc, line):
        kind = plain[1].text
        if any(t.text == "{" for t in plain):
            item = self.with_body(tokens, kind, doc, line)
            if item is not None:
                item.name = plain[-1].text
            return item
        if kind in ("struct", "union") and len(plain) == 4:
            return Item("opaque", plain[3].text, doc, line, self.header, text=c_text(plain) + ";")
        name, behind = declared_name(plain[1:])
        if behind or plain[-1].text == ")":
            if not behind:
                opens = next(i for i, t in enumerate(plain) if t.text == "(")
                name, behind = plain[opens - 1].text, plain[opens:]
            return Item("callback", name, doc, line, self.header, text=c_text(plain) + ";",
                        parameters=parameters_of(behind))
        return Item("alias", name, doc, line, self.header, text=c_text(plain) + ";")

    def named(self, tokens, plain, doc, line):
        kind = plain[0].text
        brackets = [i for i, t in enumerate(plain) if t.text == "("]
        if any(t.text == "{" for t in plain) and kind in ("struct", "union", "enum"):
            return self.with_body(tokens, kind, doc, line)
        if kind in ("struct", "union", "enum") and len(plain) == 2:
            return Item("forward", plain[1].text, doc, line, self.header)
        if not brackets or brackets[0] == 0 or plain[brackets[0] - 1].kind != "word":
            return None
        at = brackets[0]
        return Item("function", plain[at - 1].text, doc, line, self.header,
                    result=c_text(plain[:at - 1]), parameters=parameters_of(plain[at:]))

    def with_body(self, tokens, kind, doc, line):
        opens = next(i for i, t in enumerate(tokens) if t.text == "{")
        inner = tokens[opens + 1:closing(tokens, opens)]
        name = tokens[opens - 1].text if tokens[opens - 1].text != kind else ""
        item = Item(kind, name, doc, line, self.header)
        if kind == "enum":
            item.fields = self.constants(inner)
        elif kind in ("struct", "union"):
            item.fields = self.members(inner)
        else:
            return None
        return item

    def body(self, tokens, separator):
        """Yields the tokens of each member, its doc comment, and the group that it is in."""
        outer, self.group, self.doc = self.group, None, None
        found, at = [], 0
        while at < len(tokens):
            token = tokens[at]
            if token.kind == "doc":
                self.take_doc(token)
                at += 1
            elif token.kind == "back":
                for member in found:
                    if member[1] is None and member[3] == found[-1][3]:
                        member[1] = self.read_doc(token)
                at += 1
            elif token.kind == "define" or token.text == separator:
                at += 1
            else:
                start = at
                while at < len(tokens) and tokens[at].text != separator \
                        and tokens[at].kind not in ("back", "doc"):
                    at = closing(tokens, at) + 1 if tokens[at].text in ("(", "{") else at + 1
                found.append([tokens[start:at], self.taken_doc(token.line), self.group, token.line])
                if at < len(tokens) and tokens[at].kind == "back" and found[-1][1] is None:
                    found[-1][1] = self.read_doc(tokens[at])
        if self.group is not None:
            self.say(self.group.line, "a group that nothing closes (@})")
        self.group = outer
        return found

    def constants(self, tokens):
        result = []
        for member, doc, group, line in self.body(tokens, ","):
            result.append(Field(member[0].text, c_text(member), doc, line, group))
        return result

    def members(self, tokens):
        result = []
        for member, doc, group, line in self.body(tokens, ";"):
            head = member[0].text
            if any(t.text == "{" for t in member) and head in ("struct", "union", "enum"):
                opens = next(i for i, t in enumerate(member) if t.text == "{")
                end = closing(member, opens)
                inner = member[opens + 1:end]
                name = member[end + 1].text if end + 1 < len(member) else ""
                inside = self.constants(inner) if head == "enum" else self.members(inner)
                result.append(Field(name, f"{head} {name}".strip(), doc, line, group, inside, head))
                continue
            plain = [t for t in member if t.kind not in ("doc", "back")]
            parts = split_at_commas(plain)
            base = None
            for part in parts:
                name, behind = declared_name(part)
                if base is not None:
                    part = base + part
                else:
                    base = [t for t in part[:next((i for i, t in enumerate(part)
                                                   if t.text in ("*", "(") or t.text == name), 0)]]
                callback = parameters_of(behind) if behind and behind[0].text == "(" else []
                result.append(Field(name or "", c_text(part), doc, line, group,
                                    parameters=callback))
        return result


def read_header(path, name, problems):
    with open(path, encoding="utf-8") as file:
        return Parser(path, name, file.read(), problems).parse()
