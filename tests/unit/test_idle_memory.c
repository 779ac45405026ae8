/* SPDX-License-Identifier: BSD-3-Clause */
/* What an idle connection takes: docs/performance.md has this table, and its bounds, so that no
 * field creeps in unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay/conn.h"
#include "relay/peer.h"
#include "relay/secure.h"
#include "relay/sink.h"
#include "relay/slab.h"
#include "relay/websocket.h"

/* Bytes that docs/performance.md states. */
#define BOUND_PLAIN     800
#define BOUND_TLS       1184
#define BOUND_WEBSOCKET (BOUND_PLAIN + 32)

/* A part of a connection: what it is, and what it takes of the heap or the vault. */
struct part {
    const char *name;
    size_t object, taken;
};

/* glibc's heap puts 8 bytes in front of an object and rounds up to 16. */
static size_t on_heap(size_t object)
{
    return (object + 8 + 15) / 16 * 16;
}

static size_t sum(const char *of, const struct part *parts, size_t count)
{
    size_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        print_message("%-10s %-22s %4zu bytes, takes %4zu\n", of, parts[i].name, parts[i].object,
                      parts[i].taken);
        taken += parts[i].taken;
    }
    print_message("%-10s %-22s             takes %4zu\n", of, "in all", taken);
    return taken;
}

static size_t sum_plain(void)
{
    /* Tables double: so a place in them takes between one and two. */
    const struct part parts[] = {
        {"conn", sizeof(struct conn), on_heap(sizeof(struct conn))},
        {"sink", sizeof(struct sink), on_heap(sizeof(struct sink))},
        {"peer", sizeof(struct peer), on_heap(sizeof(struct peer))},
        {"slot of the conn", sizeof(struct slab_slot), sizeof(struct slab_slot)},
        {"bucket of the peer", sizeof(struct peer *), 2 * sizeof(struct peer *)},
    };

    return sum("plain", parts, sizeof(parts) / sizeof(parts[0]));
}

static void test_plain(void **state)
{
    (void)state;
    assert_in_range(sum_plain(), 1, BOUND_PLAIN);
}

static void test_tls(void **state)
{
    const struct part parts[] = {
        {"secure (vault)", sizeof(struct secure), VAULT_OBJECT},
        {"sink_tls (vault)", sizeof(struct sink_tls), VAULT_OBJECT},
    };

    (void)state;
    assert_in_range(sum_plain() + sum("TLS", parts, 2), 1, BOUND_TLS);
}

static void test_websocket(void **state)
{
    const struct part part = {"websocket", sizeof(struct websocket),
                              on_heap(sizeof(struct websocket))};

    (void)state;
    assert_in_range(sum_plain() + sum("WebSocket", &part, 1), 1, BOUND_WEBSOCKET);
}

/* The page states what is held here. */
static void test_page_says_so(void **state)
{
    char line[512], wanted[3][64];
    bool found[3] = {false};
    FILE *page = fopen("docs/performance.md", "re");

    (void)state;
    snprintf(wanted[0], sizeof(wanted[0]), "| sum, plain | | %d |", BOUND_PLAIN);
    snprintf(wanted[1], sizeof(wanted[1]), "| sum, TLS | | %d |", BOUND_TLS);
    snprintf(wanted[2], sizeof(wanted[2]), "| sum, WebSocket | | %d |", BOUND_WEBSOCKET);
    assert_non_null(page);
    while (fgets(line, sizeof(line), page))
        for (unsigned i = 0; i < 3; i++)
            found[i] = found[i] || strncmp(line, wanted[i], strlen(wanted[i])) == 0;
    fclose(page);
    for (unsigned i = 0; i < 3; i++)
        if (!found[i])
            fail_msg("docs/performance.md does not have the line \"%s\"", wanted[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_page_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
