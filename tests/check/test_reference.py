# SPDX-License-Identifier: BSD-3-Clause
"""What docs/generate/reference.py makes of a header, and what it refuses."""

import os
import re
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "docs", "generate"))

import drawing  # noqa: E402
import man_pages  # noqa: E402
import markdown_pages  # noqa: E402
from doc_comment import parse_doc, results_of  # noqa: E402
from pages import Reference  # noqa: E402

UMBRELLA = "/** @file hyperderp.h\n * All of it. */\n#include <hyperderp/toy.h>\n"
HEAD = """/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file toy.h
 * Toys. For tests.
 *
 * @par Threads
 * One at a time.
 */
#ifndef HYPERDERP_TOY_H
#define HYPERDERP_TOY_H
#ifdef __cplusplus
extern "C" {
#endif
"""
TAIL = "#ifdef __cplusplus\n}\n#endif\n#endif\n"


def reference(text, **others):
    with tempfile.TemporaryDirectory() as folder:
        files = {"hyperderp.h": UMBRELLA, "toy.h": HEAD + text + TAIL}
        files.update({name + ".h": body for name, body in others.items()})
        for name, body in files.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(body)
        return Reference(folder)


def line_of(text, what):
    """The line of what in toy.h."""
    before = (HEAD + text).split(what)[0]
    return before.count("\n") + 1


class Pages(unittest.TestCase):
    def pages(self, text):
        made = reference(text)
        self.assertEqual(made.problems, [])
        return man_pages.render(made), markdown_pages.render(made)

    def test_a_function_has_a_page_of_its_own(self):
        man, web = self.pages("""
/**
 * Winds a toy up: it runs. See hyperderp_toy_stop().
 *
 * @param turns  how often, 1 to 9.
 * @return the turns it has; -EINVAL for another number; -EBUSY or -EAGAIN while it runs; or the
 *         -errno of open(). Nothing is lost then.
 */
HYPERDERP_API int hyperderp_toy_wind(unsigned turns);
/** Stops it. */
HYPERDERP_API void hyperderp_toy_stop(void);
""")
        self.assertEqual(set(man), {"libhyperderp.3", "hyperderp_toy_wind.3", "hyperderp_toy_stop.3"})
        page = man["hyperderp_toy_wind.3"]
        for line in (".Nd winds a toy up", ".In hyperderp/toy.h", ".Ft int", '.Fa "unsigned turns"',
                     ".Xr hyperderp_toy_stop 3 .", ".It Fa turns", "How often, 1 to 9.",
                     "returns the turns it has, or a negative error number.",
                     "Nothing is lost then.", ".It Er \\-EINVAL", ".It Er \\-EBUSY , Er \\-EAGAIN",
                     "While it runs.", ".It Any other", ".Xr open 2 .", "One at a time."):
            self.assertIn(line, page.split("\n"))
        self.assertLess(page.index(".Sh RETURN VALUES"), page.index(".Sh ERRORS"))
        self.assertLess(page.index(".Sh ERRORS"), page.index(".Sh SEE ALSO"))
        self.assertIn("int hyperderp_toy_wind(unsigned turns);", web["reference/toy.md"])
        self.assertIn("[`hyperderp_toy_stop()`](toy.md#hyperderp_toy_stop)", web["reference/toy.md"])
        self.assertIn("(reference/toy.md#hyperderp_toy_wind)", web["reference.md"])

    def test_a_macro_and_its_sized_function_share_a_page(self):
        man, _ = self.pages("""
/** A toy. */
typedef struct hyperderp_toy { size_t size; /**< its bytes */ } hyperderp_toy;
/**
 * Fills a toy with the defaults; more is said here than there.
 *
 * @param toy   the toy.
 * @param size  its size.
 */
HYPERDERP_API void hyperderp_toy_init_sized(hyperderp_toy *toy, size_t size);
/** Fills a toy. */
#define hyperderp_toy_init(toy) hyperderp_toy_init_sized((toy), sizeof(hyperderp_toy))
""")
        self.assertEqual(man["hyperderp_toy_init_sized.3"], ".so man3/hyperderp_toy_init.3\n")
        page = man["hyperderp_toy_init.3"]
        self.assertIn('.Fo hyperderp_toy_init\n.Fa "hyperderp_toy *toy"\n.Fc', page)
        self.assertIn('.Fa "size_t size"', page)
        self.assertIn("more is said here", page)
        self.assertIn(".Xr hyperderp_toy_init 3", man["hyperderp_toy.3"])

    def test_a_group_shares_the_page_of_its_first_function(self):
        man, _ = self.pages("""
/**
 * @name Toys of wood
 * They burn.
 */
/**@{*/
/** Saws one. */
HYPERDERP_API void hyperderp_wood_saw(void);
/** Burns one. */
HYPERDERP_API void hyperderp_wood_burn(void);
/**@}*/
/** Melts one. */
HYPERDERP_API void hyperderp_tin_melt(void);
""")
        self.assertEqual(man["hyperderp_wood_burn.3"], ".so man3/hyperderp_wood_saw.3\n")
        self.assertIn(".Nd toys of wood\n", man["hyperderp_wood_saw.3"])
        self.assertIn("They burn.", man["hyperderp_wood_saw.3"])
        self.assertIn(".Nd melts one\n", man["hyperderp_tin_melt.3"])

    def test_names_of_an_enum_are_on_its_page(self):
        man, _ = self.pages("""
/** What it is made of. */
typedef enum hyperderp_stuff {
    HYPERDERP_WOOD = 0, /**< of a tree */
    /** of the ground,
     * and soft */
    HYPERDERP_TIN = 1
} hyperderp_stuff;
/** Names a stuff. */
HYPERDERP_API const char *hyperderp_stuff_name(hyperderp_stuff stuff);
""")
        self.assertEqual(man["hyperderp_stuff_name.3"], ".so man3/hyperderp_stuff.3\n")
        self.assertIn(".It Va HYPERDERP_TIN = 1\nOf the ground, and soft.", man["hyperderp_stuff.3"])

    def test_fields_of_all_kinds(self):
        man, web = self.pages("""
/** Settings. */
typedef struct hyperderp_settings {
    size_t size; /**< bytes
                  * of it */
    /**
     * @name Limits
     * Zero: none.
     */
    /**@{*/
    unsigned width, height; /**< in pixels */
    /**@}*/
    /**
     * Asks.
     *
     * @param user  as it is.
     * @return 0 or not.
     */
    int (*ask)(void *user, const char *const *names);
    union {
        uint8_t bytes[4]; /**< as bytes */
        uint32_t word;    /**< as a word */
    } address; /**< where */
    struct hyperderp_settings *next; /**< or NULL */
    uint64_t table[2][3]; /**< rows of columns */
    unsigned small : 3;   /**< a few bits */
} hyperderp_settings;
""")
        page = man["hyperderp_settings.3"]
        for line in (".It Va unsigned width", ".It Va unsigned height", ".Ss Limits",
                     ".It Va int (*ask)(void *user, const char *const *names)",
                     ".It Va union address", ".It Va uint32_t word", ".It Va uint64_t table[2][3]",
                     ".It Va struct hyperderp_settings *next", ".It Fa user", "Bytes of it."):
            self.assertIn(line, page.split("\n"))
        self.assertIn("- `unsigned height`: In pixels.", web["reference/toy.md"])

    def test_an_opaque_type_lists_its_functions(self):
        man, _ = self.pages("""
/** A toy. Opaque. */
typedef struct hyperderp_toy hyperderp_toy;
/** Turns it round. */
HYPERDERP_API void hyperderp_toy_turn(hyperderp_toy *toy);
""")
        self.assertIn(".It Xr hyperderp_toy_turn 3\nTurns it round.", man["hyperderp_toy.3"])

    def test_c_that_is_no_prototype(self):
        man, _ = self.pages("""
/** Room. */
#define HYPERDERP_ROOM \\
    32
#if defined(__GNUC__)
#define HYPERDERP_CHECKED __attribute__((warn_unused_result))
#else
#define HYPERDERP_CHECKED
#endif
_Static_assert(sizeof(int) == 4, "int");
/** A callback. Its `user` is yours. */
typedef void (*hyperderp_call)(void *user);
/** Fills HYPERDERP_ROOM bytes. "Quoted; words." A line.
 * @param room  the bytes. .so is no request.
 * @param ...   what goes in.
 * @return what came. */
HYPERDERP_API HYPERDERP_CHECKED const unsigned char *
hyperderp_fill(char room[HYPERDERP_ROOM], ...) __attribute__((format(printf, 1, 2)));
/** Doubles. */
static inline unsigned hyperderp_double(unsigned n)
{
    if (n) { return 2 * n; }
    return 0;
}
/* A comment with a { brace. */
/** The last one. */
HYPERDERP_API void hyperderp_last(void);
""")
        self.assertIn('.Ft "const unsigned char *"', man["hyperderp_fill.3"])
        self.assertIn(".Fd #define HYPERDERP_ROOM 32", man["hyperderp_fill.3"])
        self.assertEqual(set(man) - {"libhyperderp.3"},
                         {"hyperderp_call.3", "hyperderp_fill.3", "hyperderp_double.3",
                          "hyperderp_last.3"})

    def test_examples_and_lists(self):
        man, web = self.pages("""
/**
 * Plays.
 *
 * - alone
 * - with others, who
 *   must be there
 *
 * @par Example
 * Like this:
 * @code
 * .if (x)
 *     printf("%s\\n", @x);
 * @endcode
 */
HYPERDERP_API void hyperderp_play(void);
""")
        page = man["hyperderp_play.3"]
        self.assertIn(".It\nWith others".lower(), page.lower())
        self.assertIn("with others, who must be there", page)
        self.assertIn('.Sh EXAMPLES\nLike this:\n.Bd -literal -offset indent\n\\&.if (x)\n'
                      '    printf("%s\\en", @x);\n.Ed', page)
        self.assertIn('```c\n.if (x)\n    printf("%s\\n", @x);\n```', web["reference/toy.md"])


class Refusals(unittest.TestCase):
    def refused(self, text, at, what):
        problems = reference(text).problems
        self.assertTrue(any(os.path.basename(path) == "toy.h" and line == line_of(text, at)
                            and what in said for path, line, said in problems), problems)

    def test_a_function_without_a_comment(self):
        self.refused("/** One. */\nHYPERDERP_API void hyperderp_one(void);\n"
                     "HYPERDERP_API void hyperderp_two(void);\n", "HYPERDERP_API void hyperderp_two",
                     "hyperderp_two has no doc comment")

    def test_a_field_without_a_comment(self):
        self.refused("/** It. */\ntypedef struct hyperderp_it {\n    int a; /**< a */\n    int b;\n"
                     "} hyperderp_it;\n", "int b;", "b of hyperderp_it has no doc comment")

    def test_a_value_of_an_enum_without_a_comment(self):
        self.refused("/** It. */\ntypedef enum hyperderp_it {\n    HYPERDERP_A,\n    HYPERDERP_B /**< b */\n"
                     "} hyperderp_it;\n", "HYPERDERP_A", "HYPERDERP_A of hyperderp_it")

    def test_a_parameter_that_is_not_documented(self):
        self.refused("/** It.\n * @param a  one. */\nHYPERDERP_API void hyperderp_it(int a, int b);\n",
                     "HYPERDERP_API void hyperderp_it", "b is not documented")

    def test_a_parameter_that_is_not_there(self):
        self.refused("/** It.\n * @param c  one. */\nHYPERDERP_API void hyperderp_it(int a);\n",
                     " * @param c", "no parameter c")

    def test_a_result_that_is_not_documented(self):
        self.refused("/** It. */\nHYPERDERP_API int hyperderp_it(int a);\n", "HYPERDERP_API int",
                     "what it returns is not said")

    def test_an_unknown_tag(self):
        self.refused("/** It.\n * @bug none */\nHYPERDERP_API void hyperderp_it(void);\n", " * @bug",
                     "unknown tag @bug")

    def test_a_group_that_nothing_closes(self):
        self.refused("/** @name Group */\n/**@{*/\n/** It. */\nHYPERDERP_API void hyperderp_it(void);\n",
                     "/** @name Group", "nothing closes")

    def test_what_is_not_understood(self):
        self.refused("/** It. */\nint hyperderp_global = 3;\n", "int hyperderp_global", "not understood")

    def test_a_header_without_a_comment(self):
        problems = reference("", other="int x(void);\n").problems
        self.assertTrue(any(path.endswith("other.h") and "@file" in said for path, _, said in problems))


class Results(unittest.TestCase):
    def results(self, text):
        return results_of(parse_doc(f"/** It.\n * @return {text} */", 1, self.fail))

    def test_errors_behind_commas(self):
        self.assertEqual(self.results("0, -EINVAL for NULL or a size of 0, or -ENOMEM."),
                         ("0", [(["-EINVAL"], "for NULL or a size of 0"), (["-ENOMEM"], "")], []))

    def test_codes_that_are_examples(self):
        success, errors, _ = self.results("0; or the -errno of bind(), such as -EACCES, -EADDRINUSE.")
        self.assertEqual((success, errors),
                         ("0", [(["-errno"], "of bind(), such as -EACCES, -EADDRINUSE")]))

    def test_an_error_alone(self):
        self.assertEqual(self.results("0 or -ENOMEM; then both are NULL."),
                         ("0", [(["-ENOMEM"], "")], ["Then both are NULL."]))

    def test_retval(self):
        doc = parse_doc("/** It.\n * @retval 0 done\n * @retval -EIO it broke\n */", 1, self.fail)
        self.assertEqual(results_of(doc), ("0: done", [(["-EIO"], "it broke")], []))


class Drawings(unittest.TestCase):
    def test_a_text_that_does_not_fit(self):
        made = drawing.Drawing(200, 100, "T", "t")
        made.box(20, 40, 60, 30, "own", "much too long for this box")
        self.assertRaises(drawing.Overflow, made.render)

    def test_texts_that_overlap(self):
        made = drawing.Drawing(200, 100, "T", "t")
        made.text(20, 60, "one")
        made.text(30, 62, "two")
        self.assertRaises(drawing.Overflow, made.render)

    def test_what_is_drawn_is_closed(self):
        made = drawing.Drawing(200, 100, "A & B", "t")
        made.arrow((10, 50), (90, 50))
        svg = made.render()
        self.assertIn("A &amp; B", svg)
        self.assertFalse(re.search(r"https?://(?!www\.w3\.org/2000/svg)", svg))


if __name__ == "__main__":
    unittest.main()
