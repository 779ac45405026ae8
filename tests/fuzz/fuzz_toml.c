/* SPDX-License-Identifier: BSD-3-Clause */
/* TOML: what is read is a sound tree within its bounds, and what is refused says where and why. */
#include <errno.h>

#include "fuzz.h"
#include "toml.h"

struct bounds {
    const struct document *document;
    unsigned lines;
    size_t bytes; /* no line has more characters */
};

static void require_place(const struct bounds *bounds, struct document_place place)
{
    REQUIRE(place.line >= 1 && place.line <= bounds->lines);
    REQUIRE(place.column >= 1 && place.column <= bounds->bytes + 1);
}

static void require_scalar(const struct document_node *node)
{
    REQUIRE(node->kind <= DOCUMENT_LOCAL_TIME);
    REQUIRE(!node->first && !node->last && node->count == 0);
    if (node->kind != DOCUMENT_STRING && node->kind < DOCUMENT_OFFSET_DATETIME)
        return;
    REQUIRE(node->text && node->text[node->text_len] == '\0');
    /* A moment is normalised: no blank, no small letter. */
    if (node->kind != DOCUMENT_STRING)
        REQUIRE(!strpbrk(node->text, " tz") && strlen(node->text) == node->text_len);
}

static void require_tree(const struct bounds *bounds, const struct document_node *node,
                         unsigned depth)
{
    size_t count = 0;

    REQUIRE(depth <= DOCUMENT_MAX_DEPTH);
    require_place(bounds, node->place);
    if (node->kind != DOCUMENT_TABLE && node->kind != DOCUMENT_ARRAY) {
        require_scalar(node);
        return;
    }
    for (const struct document_node *child = node->first; child; child = child->next) {
        count++;
        REQUIRE(child->parent == node);
        REQUIRE(child->next || child == node->last);
        if (node->kind == DOCUMENT_TABLE) {
            require_place(bounds, child->key_place);
            REQUIRE(child->key && child->key[child->key_len] == '\0');
            /* Found by its key, and so the only one that has it. */
            REQUIRE(document_find(bounds->document, node, child->key, child->key_len) == child);
        }
        require_tree(bounds, child, depth + 1);
    }
    REQUIRE(count == node->count);
}

static void require_problems(const struct bounds *bounds, const struct problems *problems)
{
    REQUIRE(problems->total > 0 && problems->count > 0 && problems->count <= PROBLEMS_MAX);
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->list[i];
        require_place(bounds, problem->place);
        REQUIRE(problem->text[0] != '\0');
        for (const char *c = problem->text; *c; c++)
            REQUIRE((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = fuzz_copy(data, size);
    struct document *document = document_new();
    struct bounds bounds = {.document = document, .lines = 1, .bytes = size};
    struct problems problems;

    REQUIRE(document);
    for (size_t i = 0; i < size; i++)
        bounds.lines += bytes[i] == '\n';
    problems_init(&problems);
    int error = toml_read(document, bytes, size, "fuzz", &problems);
    REQUIRE(error == 0 || error == -EINVAL);
    if (error == 0) {
        REQUIRE(problems.total == 0);
        require_tree(&bounds, document_root(document), 0);
    } else if (size <= DOCUMENT_MAX_BYTES) {
        require_problems(&bounds, &problems);
    }
    problems_free(&problems);
    document_free(document);
    free(bytes);
    return 0;
}
