/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree: nodes and text in blocks that go together, and one index of all entries of all
 * tables. */
#include "document.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE  65536
#define FIRST_INDEX 64 /* a power of two */

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct document {
    struct block *blocks;
    struct document_node *root;

    /* Entries by parent and key: open addressing, at most half full. */
    struct document_node **index;
    size_t index_size, index_used;
    uint64_t seed; /* so that a file cannot choose where its keys collide */
};

static void *take(struct document *document, size_t size)
{
    struct block *block = document->blocks;

    size = (size + 15) & ~(size_t)15;
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block = malloc(sizeof(*block) + room);
        if (!block)
            return NULL;
        *block = (struct block){.next = document->blocks, .size = room};
        document->blocks = block;
    }
    void *taken = block->bytes + block->used;
    block->used += size;
    return taken;
}

struct document *document_new(void)
{
    struct document *document = calloc(1, sizeof(*document));

    if (!document)
        return NULL;
    document->index = calloc(FIRST_INDEX, sizeof(struct document_node *));
    document->index_size = FIRST_INDEX;
    document->seed = (uintptr_t)document * 0x9e3779b97f4a7c15u;
    document->root = document_node_new(document, DOCUMENT_TABLE, (struct document_place){1, 1});
    if (document->index && document->root)
        return document;
    document_free(document);
    return NULL;
}

void document_free(struct document *document)
{
    if (!document)
        return;
    while (document->blocks) {
        struct block *next = document->blocks->next;
        free(document->blocks);
        document->blocks = next;
    }
    free(document->index);
    free(document);
}

struct document_node *document_root(struct document *document)
{
    return document->root;
}

struct document_node *document_node_new(struct document *document, enum document_kind kind,
                                        struct document_place place)
{
    struct document_node *node = take(document, sizeof(*node));

    if (node)
        *node = (struct document_node){.kind = kind, .place = place};
    return node;
}

const char *document_copy(struct document *document, const char *bytes, size_t len)
{
    char *copy = take(document, len + 1);

    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

/* FNV-1a over the key, begun with the table and the seed. */
static size_t slot_of(const struct document *document, const struct document_node *table,
                      const char *key, size_t key_len)
{
    uint64_t hash = 0xcbf29ce484222325u ^ document->seed ^ (uint64_t)(uintptr_t)table;

    for (size_t i = 0; i < key_len; i++)
        hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3u;
    hash ^= hash >> 29;
    return (size_t)(hash * 0x9e3779b97f4a7c15u >> 20);
}

/* Where the entry stands, or the free place for it. */
static struct document_node **look_up(const struct document *document,
                                      const struct document_node *table, const char *key,
                                      size_t key_len)
{
    size_t mask = document->index_size - 1;
    size_t at = slot_of(document, table, key, key_len) & mask;
    struct document_node *node;

    while ((node = document->index[at]) != NULL) {
        if (node->parent == table && node->key_len == key_len &&
            memcmp(node->key, key, key_len) == 0)
            break;
        at = (at + 1) & mask;
    }
    return &document->index[at];
}

static bool grow_index(struct document *document)
{
    struct document_node **before = document->index;
    size_t size = document->index_size;
    struct document_node **index = calloc(size * 2, sizeof(struct document_node *));

    if (!index)
        return false;
    document->index = index;
    document->index_size = size * 2;
    for (size_t i = 0; i < size; i++)
        if (before[i])
            *look_up(document, before[i]->parent, before[i]->key, before[i]->key_len) = before[i];
    free(before);
    return true;
}

struct document_node *document_find(const struct document *document,
                                    const struct document_node *table, const char *key,
                                    size_t key_len)
{
    return *look_up(document, table, key, key_len);
}

bool document_append(struct document *document, struct document_node *parent,
                     struct document_node *child)
{
    if (parent->kind == DOCUMENT_TABLE) {
        if (2 * (document->index_used + 1) > document->index_size && !grow_index(document))
            return false;
        child->parent = parent;
        *look_up(document, parent, child->key, child->key_len) = child;
        document->index_used++;
    }
    child->parent = parent;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
    return true;
}
