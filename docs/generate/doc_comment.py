# SPDX-License-Identifier: BSD-3-Clause
"""Reads a doc comment of the public headers into its parts.

What may stand in one: paragraphs; lists, of lines that begin with "- "; code, between @code and
@endcode or indented by four columns more than the text; and these tags:

    @param NAME TEXT   @return TEXT   @retval VALUE TEXT   @see NAMES   @note TEXT   @warning TEXT
    @par TITLE         what follows has a heading of its own; "Example" goes to the examples
    @file              the comment is about the header
    @name TITLE        the title of a group: what stands between @{ and @} behind it
    @p WORD, @c WORD, `WORD`    a word of C

Any other tag is a mistake.
"""

import re
from dataclasses import dataclass, field
from typing import List, Optional, Tuple

INLINE = re.compile(r"[@\\](?:p|c|a|e|em|b|ref)\s+([\w.()>\-\[\]]*\w(?:\(\))?)")
TAG = re.compile(r"^\s*[@\\](brief|param|returns?|retval|see|sa|note|warning|par|file|name|since"
                 r"|code|endcode)\b(?:\[[a-z, ]*\])?[ \t]*(.*)$")
ANY_TAG = re.compile(r"(?<![\w`\"@])@(\w+)")
ABBREVIATION = r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\betc)"
SENTENCE = re.compile(ABBREVIATION + r"(?<=[.?!])\s+"
                      r"(?=[A-Z\"`(*-]|hyperderp_|[a-z_]+(?:->|\.)[a-z])")


@dataclass
class Block:
    kind: str  # para, list, code, heading
    text: str = ""
    lines: List[str] = field(default_factory=list)  # a list's items, the lines of code


@dataclass
class Doc:
    line: int
    blocks: List[Block] = field(default_factory=list)
    examples: List[Block] = field(default_factory=list)
    threads: List[Block] = field(default_factory=list)
    parameters: List[Tuple[str, str, int]] = field(default_factory=list)
    returns: Optional[str] = None
    retvals: List[Tuple[str, str]] = field(default_factory=list)
    see: List[str] = field(default_factory=list)
    file: Optional[str] = None
    title: Optional[str] = None
    opens: bool = False
    closes: bool = False

    def brief(self):
        """The first sentence, without its full stop."""
        text = next((b.text for b in self.blocks if b.kind == "para"), "")
        return SENTENCE.split(text)[0].rstrip(".")

    def summary(self):
        """The first sentence up to a colon, with a small letter: for a line in a list of names."""
        text = re.split(r"[:;]\s", self.brief())[0]
        if len(text) > 100 and ", " in text[:100]:
            text = text[:text.rindex(", ", 0, 100)]
        return small(text)

    def of_threads(self):
        """What it says of threads, under a heading or not."""
        return self.threads or [Block("para", capital(re.sub(r"^Threads: ", "", b.text)))
                                for b in self.blocks if re.search(r"\b[Tt]hreads?\b", b.text)]

    def text(self):
        """All that it says, to be searched for names."""
        parts = []
        for block in self.blocks + self.examples:
            parts += [block.text] + block.lines
        return "\n".join(parts + [p[1] for p in self.parameters] + [self.returns or ""]
                         + [r[1] for r in self.retvals] + self.see)


def capitals(blocks):
    """The same blocks, the first of which begins as a sentence."""
    if not blocks or blocks[0].kind != "para":
        return blocks
    return [Block("para", capital(blocks[0].text))] + blocks[1:]


def small(text):
    return text[0].lower() + text[1:] if re.match(r"[A-Z][a-z]|A ", text) else text


def capital(text):
    """A sentence with a capital letter and a full stop, where it begins with a word of English."""
    if re.match(r"(?!epoll\b)[a-z]+\b(?![_(>-]|\.\w)", text):
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".?!:`" else text + "."


def lines_of(comment):
    """The lines of a comment without its frame, their indentation kept."""
    inner = re.sub(r"^/\*\*<?", "", comment)
    inner = re.sub(r"\*/$", "", inner)
    lines = inner.split("\n")
    result = [lines[0].strip()]
    for line in lines[1:]:
        match = re.match(r"^\s*\* ?(.*)$", line)
        result.append((match.group(1) if match else line.strip()).rstrip())
    return result


class Reader:
    def __init__(self, line, say):
        self.doc = Doc(line)
        self.say = say
        self.into = self.doc.blocks  # where blocks go
        self.section = None          # a tag whose text goes on: a function that takes the next line
        self.fresh = True            # the next line begins a block
        self.code = None

    def tag(self, name, rest, line):
        self.section = None
        doc = self.doc
        if name == "param":
            match = re.match(r"(?:\[[a-z, ]*\]\s*)?([\w.]+|\.\.\.)\s*(.*)", rest)
            if not match:
                self.say(line, "@param without a name")
                return
            doc.parameters.append((match.group(1), match.group(2), line))
            self.section = self.more_of_parameter
        elif name in ("return", "returns"):
            doc.returns = rest if doc.returns is None else f"{doc.returns} {rest}"
            self.section = self.more_of_return
        elif name == "retval":
            value, _, text = rest.partition(" ")
            doc.retvals.append((value.rstrip(":,;"), text.strip()))
            self.section = self.more_of_retval
        elif name in ("see", "sa"):
            doc.see.append(rest)
        elif name in ("note", "warning", "since"):
            start = {"note": "Note: ", "warning": "Warning: ", "since": "Since "}[name]
            self.into.append(Block("para", start + rest))
            self.fresh = False
        elif name == "par":
            self.into = {"example": doc.examples, "examples": doc.examples,
                         "threads": doc.threads}.get(rest.strip().lower(), doc.blocks)
            if self.into is doc.blocks:
                self.into.append(Block("heading", rest.strip()))
            self.fresh = True
        elif name == "file":
            doc.file = rest.strip()
        elif name == "name":
            doc.title = rest.strip().rstrip(".")
        elif name == "brief":
            self.plain(rest, 0)

    def more_of_parameter(self, text):
        name, before, line = self.doc.parameters[-1]
        self.doc.parameters[-1] = (name, f"{before} {text}".strip(), line)

    def more_of_return(self, text):
        item = re.match(r"- (.*)", text)
        if item:  # a list of what may be returned
            before = (self.doc.returns or "").rstrip(" ;:.")
            self.doc.returns = f"{before}; {item.group(1)}" if before else item.group(1)
        else:
            self.doc.returns = f"{self.doc.returns} {text}".strip()

    def more_of_retval(self, text):
        value, before = self.doc.retvals[-1]
        self.doc.retvals[-1] = (value, f"{before} {text}".strip())

    def plain(self, text, indent):
        blocks = self.into
        if text.startswith("- "):
            if self.fresh and blocks and blocks[-1].kind == "list" or \
                    not self.fresh and blocks and blocks[-1].kind == "list":
                blocks[-1].lines.append(text[2:])
            else:
                blocks.append(Block("list", lines=[text[2:]]))
        elif indent >= 4 and (self.fresh or blocks and blocks[-1].kind == "code"):
            if blocks and blocks[-1].kind == "code":
                blocks[-1].lines.append(" " * (indent - 4) + text)
            else:
                blocks.append(Block("code", lines=[" " * (indent - 4) + text]))
        elif not self.fresh and blocks and blocks[-1].kind == "list":
            blocks[-1].lines[-1] += " " + text
        elif not self.fresh and blocks and blocks[-1].kind == "para":
            blocks[-1].text += " " + text
        else:
            blocks.append(Block("para", text))
        self.fresh = False

    def take(self, raw, line):
        if self.code is not None:
            if re.match(r"\s*[@\\]endcode\b", raw):
                self.finish_code()
            else:
                self.code.append(raw)
            return
        text = raw.strip()
        if text == "" or text in ("@{", "@}"):
            self.doc.opens |= text == "@{"
            self.doc.closes |= text == "@}"
            self.section, self.fresh = None, True
            return
        match = TAG.match(text)
        if match and match.group(1) == "code":
            self.code, self.section = [], None
            return
        text = INLINE.sub(r"`\1`", text)
        match = TAG.match(text)
        for unknown in ANY_TAG.findall(text[match.end(1):] if match else text):
            self.say(line, f"unknown tag @{unknown}")
        if match:
            self.tag(match.group(1), match.group(2), line)
        elif self.section is not None:
            self.section(text)
        else:
            self.plain(text, len(raw) - len(raw.lstrip()))

    def finish_code(self):
        lines = self.code
        margin = min((len(x) - len(x.lstrip()) for x in lines if x.strip()), default=0)
        self.into.append(Block("code", lines=[x[margin:] for x in lines]))
        self.code, self.fresh = None, True


def parse_doc(comment, line, say):
    reader = Reader(line, say)
    for i, text in enumerate(lines_of(comment)):
        opened = re.match(r"^(.*\S)\s*(@[{}])$", text)
        if opened and reader.code is None:
            reader.take(opened.group(1), line + i)
            reader.take(opened.group(2), line + i)
        else:
            reader.take(text, line + i)
    if reader.code is not None:
        say(line, "@code without @endcode")
        reader.finish_code()
    return reader.doc


# ---- What a function returns ----

CODES = r"-E[A-Z0-9]+(?:(?:,\s+or|,|\s+or|\s+and)\s+-E[A-Z0-9]+)*"
BOUNDARY = re.compile(r"(?:^|[,;:]\s+(?:or\s+|and\s+)?|\s+or\s+)(?=-E[A-Z0-9]+)")
NOT_A_LIST = re.compile(r"such as|-errno|for example|e\.g\.")


def clauses_of(sentence):
    """Cuts at semicolons that are in no brackets."""
    parts, depth = [""], 0
    for char in sentence:
        depth += (char == "(") - (char == ")")
        if char == ";" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def errors_of_clause(clause):
    """What a clause says of success, and its errors as (codes, when)."""
    cuts = []
    for match in BOUNDARY.finditer(clause):
        before = clause[cuts[-1][1]:match.start()] if cuts else clause[:match.start()]
        codes = re.match(CODES, clause[match.end():])
        follows = cuts and match.end() < cuts[-1][1] + len(cuts[-1][2])
        if not follows and not NOT_A_LIST.search(before) and before.count("(") == before.count(")"):
            cuts.append((match.start(), match.end(), codes.group()))
    if not cuts:
        return clause, []
    errors = []
    for i, (_, begins, codes) in enumerate(cuts):
        end = cuts[i + 1][0] if i + 1 < len(cuts) else len(clause)
        when = clause[begins + len(codes):end].strip(" ,:")
        errors.append((re.findall(r"-E[A-Z0-9]+", codes), when))
    return clause[:cuts[0][0]].strip(" ,"), errors


def errors_in(sentence):
    return any(errors_of_clause(clause)[1] for clause in clauses_of(sentence))


def results_of(doc):
    """(what is returned on success, its errors, what else is said of it) of a doc comment."""
    success, errors, notes = [], [], []
    for i, sentence in enumerate(SENTENCE.split(doc.returns or "")):
        if i > 0 and not errors_in(sentence):
            notes.append(sentence)
            continue
        found = []
        for clause in clauses_of(sentence.rstrip(". ")):
            said, more = errors_of_clause(re.sub(r"^or (?!-E)", "", clause))
            if re.match(r"(the )?-errno\b", said) or \
                    (errors or found) and re.match(r"what |all else |as \w+\(\)", said):
                more.insert(0, (["-errno"], re.sub(r"^(the )?-errno ?", "", said)))
            elif said and found and found[-1][1]:
                found[-1] = (found[-1][0], f"{found[-1][1]}; {said}")
            elif said and found:
                notes.append(capital(said))
            elif said and i > 0:
                notes.append(capital(re.sub(r"^Or ", "", said)))
            elif said:
                success.append(said)
            found += more
        for codes, when in found:
            other = next((e for e in errors if e[0] == codes == ["-errno"]), None)
            if other:
                errors[errors.index(other)] = (codes, f"{other[1]}; or {when}")
            else:
                errors.append((codes, when))
    for value, text in doc.retvals:
        text = text.rstrip(".")
        if value.startswith("-E"):
            errors.append(([value], text))
        else:
            success.append(f"{value}: {text}" if text else value)
    return "; ".join(success), errors, notes
