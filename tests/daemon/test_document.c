/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree: order, keys of any bytes, and many of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "document.h"

#define MANY 100000

static const struct document_place here = {3, 4};

static struct document_node *add(struct document *document, struct document_node *table,
                                 const char *key, size_t len)
{
    struct document_node *node = document_node_new(document, DOCUMENT_INTEGER, here);

    assert_non_null(node);
    node->key = document_copy(document, key, len);
    node->key_len = len;
    assert_non_null(node->key);
    assert_true(document_append(document, table, node));
    return node;
}

static void a_new_one_is_an_empty_table(void **state)
{
    struct document *document = document_new();
    const struct document_node *root = document_root(document);

    (void)state;
    assert_int_equal(root->kind, DOCUMENT_TABLE);
    assert_int_equal(root->count, 0);
    assert_null(root->first);
    assert_null(document_find(document, root, "", 0));
    assert_null(document_find(document, root, "a", 1));
    document_free(document);
    document_free(NULL);
}

static void keys_may_hold_any_byte(void **state)
{
    struct document *document = document_new();
    struct document_node *root = document_root(document);

    (void)state;
    struct document_node *empty = add(document, root, "", 0);
    struct document_node *one = add(document, root, "a", 1);
    struct document_node *nul = add(document, root, "a\0", 2);
    struct document_node *more = add(document, root, "a\0b", 3);
    assert_ptr_equal(document_find(document, root, "", 0), empty);
    assert_ptr_equal(document_find(document, root, "a", 1), one);
    assert_ptr_equal(document_find(document, root, "a\0", 2), nul);
    assert_ptr_equal(document_find(document, root, "a\0b", 3), more);
    assert_null(document_find(document, root, "a\0c", 3));
    document_free(document);
}

static void each_table_has_keys_of_its_own(void **state)
{
    struct document *document = document_new();
    struct document_node *root = document_root(document);
    struct document_node *table = document_node_new(document, DOCUMENT_TABLE, here);

    (void)state;
    table->key = "t";
    table->key_len = 1;
    assert_true(document_append(document, root, table));
    struct document_node *outer = add(document, root, "k", 1);
    assert_null(document_find(document, table, "k", 1));
    struct document_node *inner = add(document, table, "k", 1);
    assert_ptr_equal(document_find(document, root, "k", 1), outer);
    assert_ptr_equal(document_find(document, table, "k", 1), inner);
    assert_ptr_equal(inner->parent, table);
    document_free(document);
}

static void many_keys_stay_in_order_and_are_found(void **state)
{
    struct document *document = document_new();
    struct document_node *root = document_root(document);
    char key[16];
    int64_t next = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        int len = snprintf(key, sizeof(key), "k%d", i);
        add(document, root, key, (size_t)len)->integer = i;
    }
    assert_int_equal(root->count, MANY);
    for (const struct document_node *node = root->first; node; node = node->next)
        assert_int_equal(node->integer, next++);
    assert_int_equal(next, MANY);
    for (int i = 0; i < MANY; i++) {
        int len = snprintf(key, sizeof(key), "k%d", i);
        const struct document_node *node = document_find(document, root, key, (size_t)len);
        assert_non_null(node);
        assert_int_equal(node->integer, i);
    }
    assert_null(document_find(document, root, "k100000", 7));
    document_free(document);
}

/* An array's elements have no keys, and a long text does not lie across a block's end. */
static void arrays_and_long_texts(void **state)
{
    struct document *document = document_new();
    struct document_node *array = document_node_new(document, DOCUMENT_ARRAY, here);
    const size_t len = 300000;
    char *text = malloc(len);

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < 3; i++) {
        struct document_node *node = document_node_new(document, DOCUMENT_INTEGER, here);
        node->integer = i;
        assert_true(document_append(document, array, node));
        assert_ptr_equal(node->parent, array);
    }
    assert_int_equal(array->count, 3);
    assert_int_equal(array->first->next->next->integer, 2);
    assert_ptr_equal(array->first->next->next, array->last);
    memset(text, 'x', len);
    const char *copy = document_copy(document, text, len);
    assert_non_null(copy);
    assert_memory_equal(copy, text, len);
    assert_int_equal(copy[len], '\0');
    assert_string_equal(document_copy(document, NULL, 0), "");
    free(text);
    document_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_an_empty_table),
        cmocka_unit_test(keys_may_hold_any_byte),
        cmocka_unit_test(each_table_has_keys_of_its_own),
        cmocka_unit_test(many_keys_stay_in_order_and_are_found),
        cmocka_unit_test(arrays_and_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
