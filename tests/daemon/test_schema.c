/* SPDX-License-Identifier: BSD-3-Clause */
/* The schema's table, key by key: bounds, forms of texts, and that the library takes what it
 * allows. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <hyperderp/hyperderp.h>

#include "schema.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool is_listener(const struct schema_key *key)
{
    return strcmp(key->section, "listener") == 0;
}

/* Sets one key of a fresh configuration from a value. A problem is copied to said. */
static bool takes(const struct schema_key *key, enum document_kind kind, int64_t integer,
                  const char *text, char said[512])
{
    struct document *document = document_new();
    struct document_node *node, *value;
    struct problems problems;
    struct config config;
    bool no_memory = false;

    assert_non_null(document);
    problems_init(&problems);
    assert_int_equal(config_init(&config), 0);
    struct config_listener *listener = config_add_listener(&config);
    assert_non_null(listener);
    value = document_node_new(document, kind, (struct document_place){1, 1});
    assert_non_null(value);
    value->integer = integer;
    value->text = text ? text : "";
    value->text_len = strlen(value->text);
    node = value;
    if (key->type == SCHEMA_STRINGS) {
        node = document_node_new(document, DOCUMENT_ARRAY, (struct document_place){1, 1});
        assert_non_null(node);
        assert_true(document_append(document, node, value));
    }
    bool took = schema_set(key, is_listener(key) ? (void *)listener : &config, node, "x.toml",
                           &problems, &no_memory);
    assert_false(no_memory);
    assert_int_equal(problems.total, took ? 0 : 1);
    said[0] = '\0';
    if (!took)
        problem_format(&problems.list[0], said, 512);
    config_free(&config);
    problems_free(&problems);
    document_free(document);
    return took;
}

static bool takes_number(const struct schema_key *key, uint64_t number)
{
    char text[32], said[512];

    snprintf(text, sizeof(text), "%" PRIu64 "ms", number);
    if (key->type == SCHEMA_DURATION)
        return takes(key, DOCUMENT_STRING, 0, text, said);
    snprintf(text, sizeof(text), "%" PRIu64, number);
    bool took = takes(key, DOCUMENT_INTEGER, (int64_t)number, NULL, said);
    if (key->type == SCHEMA_SIZE)
        assert_int_equal(takes(key, DOCUMENT_STRING, 0, text, said), took);
    return took;
}

static void numbers_end_where_the_table_says(void **state)
{
    (void)state;
    unsigned seen = 0;
    char said[512];

    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        if (key->type != SCHEMA_INTEGER && key->type != SCHEMA_SIZE && key->type != SCHEMA_DURATION)
            continue;
        seen++;
        assert_true(key->min >= 1 && key->min < key->max);
        assert_true(takes_number(key, key->min));
        assert_true(takes_number(key, key->max));
        assert_int_equal(takes_number(key, 0), key->zero != NULL);
        assert_int_equal(takes_number(key, key->min - 1), key->min == 1 && key->zero);
        assert_false(takes_number(key, key->max + 1));
        assert_int_equal(takes(key, DOCUMENT_INTEGER, 0, NULL, said), key->zero != NULL);
        assert_false(takes(key, DOCUMENT_INTEGER, -1, NULL, said));
        assert_false(takes(key, DOCUMENT_INTEGER, INT64_MIN, NULL, said));
        assert_false(takes(key, DOCUMENT_STRING, 0, "99999999999999999999", said));
        assert_false(takes(key, DOCUMENT_STRING, 0, "18446744073709551615GiB", said));
        assert_false(takes(key, DOCUMENT_STRING, 0, "-1", said));
        assert_false(takes(key, DOCUMENT_STRING, 0, "", said));
    }
    assert_int_equal(seen, 18);
}

static void units_count_as_they_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *section, *name, *text, *printed; /* printed NULL: refused */
    } cases[] = {
        {"limits", "queue_bytes", "256KiB", "\"256KiB\""},
        {"limits", "queue_bytes", "262144", "\"256KiB\""},
        {"limits", "queue_bytes", "262144B", "\"256KiB\""},
        {"limits", "queue_bytes", "1MiB", "\"1MiB\""},
        {"limits", "queue_bytes", "1024KiB", "\"1MiB\""},
        {"limits", "queue_bytes", "0", "0"},
        {"limits", "queue_bytes", "256KB", NULL},
        {"limits", "queue_bytes", "256 KiB", NULL},
        {"limits", "queue_bytes", "256k", NULL},
        {"limits", "queue_bytes", "1.5MiB", NULL},
        {"limits", "memory", "2GiB", "\"2GiB\""},
        {"limits", "keepalive", "1500ms", "\"1500ms\""},
        {"limits", "keepalive", "60s", "\"60s\""},
        {"limits", "keepalive", "1m", "\"60s\""},
        {"limits", "keepalive", "5m", "\"5m\""},
        {"limits", "keepalive", "24h", "\"24h\""},
        {"limits", "keepalive", "25h", NULL},
        {"limits", "keepalive", "60", NULL},
        {"limits", "keepalive", "1d", NULL},
        {"limits", "keepalive", "1m30s", NULL},
        {"limits", "keepalive", "+1s", NULL},
        {"limits", "keepalive", "s", NULL},
        {"limits", "keepalive", "0", NULL}, /* it may not be */
        {"limits", "queue_time", "0", "0"},
        {"limits", "queue_time", "0ms", "0"},
        {"limits", "queue_time", "0h", "0"},
        {"limits", "queue_time", "00", NULL},
        {"limits", "queue_time", "0 s", NULL},
        {"limits", "queue_time", "2", NULL},
        {"limits", "queue_time", "2s", "\"2s\""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128], *printed = NULL;
        struct problems problems;
        struct config config;
        size_t size;

        int len = snprintf(text, sizeof(text), "[%s]\n%s = \"%s\"\n", cases[i].section,
                           cases[i].name, cases[i].text);
        problems_init(&problems);
        int error = config_read_bytes(&config, text, (size_t)len, "x.toml", &problems);
        assert_int_equal(error, cases[i].printed ? 0 : -EINVAL);
        if (!error) {
            FILE *out = open_memstream(&printed, &size);
            schema_print_value(schema_find(cases[i].section, cases[i].name), &config, out);
            fclose(out);
            assert_string_equal(printed, cases[i].printed);
        }
        free(printed);
        problems_free(&problems);
        config_free(&config);
    }
}

/* Texts are on the heap with not a byte behind them, so that a read over the end is found. */
static void expect_form(const char *section, const char *name, const char *const *texts, bool good)
{
    const struct schema_key *key = schema_find(section, name);

    assert_non_null(key);
    assert_non_null(key->check);
    for (; *texts; texts++) {
        char *copy = strdup(*texts);
        const char *expected = key->check(copy);
        free(copy);
        if (good && expected)
            fail_msg("%s.%s: \"%s\" refused: %s", section, name, *texts, expected);
        if (!good && !expected)
            fail_msg("%s.%s: \"%s\" accepted", section, name, *texts);
        if (expected)
            assert_int_equal(strncmp(expected, "expected ", 9), 0);
    }
}

#define GOOD(section, name, ...)                                                                   \
    expect_form(section, name, (const char *const[]){__VA_ARGS__, NULL}, true)
#define BAD(section, name, ...)                                                                    \
    expect_form(section, name, (const char *const[]){__VA_ARGS__, NULL}, false)

static void addresses_have_a_form(void **state)
{
    (void)state;
    GOOD("listener", "address", ":443", ":0", "127.0.0.1:3340", "[::1]:443", "[fe80::1%eth0]:1",
         "derp.example.com:65535", "systemd:derp", "unix:/run/x.sock");
    BAD("listener", "address", "", ":", "443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1:ssh", "127.0.0.1:000080", "::1:443", "[::1]", "[]:443",
        "[::g]:443", "[127.0.0.1]:443", "[::1:443", "a b:443", "systemd:", "unix:", "unix:run/x",
        "unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567");
    GOOD("metrics", "address", "", ":9090", "127.0.0.1:0", "[::1]:9090");
    BAD("metrics", "address", "9090", "systemd:metrics", "unix:/run/x", "[::1]", ":65536");
    GOOD("stun", "address", "", ":3478", "192.0.2.1:3478", "[::1]:0");
    BAD("stun", "address", "3478", "systemd:stun", ":65536", "::1:3478");
}

static void networks_have_a_form(void **state)
{
    (void)state;
    GOOD("listener", "trusted_proxies", "10.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "10.1.2.3/32",
         "2001:db8::/32", "::1", "::/0", "::1/128");
    BAD("listener", "trusted_proxies", "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
        "10.0.0/8", "10.0.0.0/8/8", "2001:db8::/129", "2001:db8::/1280", "::g/8", "example.com",
        "10.0.0.0/8 ", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/1");
}

static void urls_and_nodes_have_a_form(void **state)
{
    (void)state;
    static const char *const good[] = {"http://a",
                                       "https://derp.example.com",
                                       "https://a:1/b?c=d#e",
                                       "http://127.0.0.1:3340/derp",
                                       "http://[::1]",
                                       "http://[::1]:3340/derp",
                                       "https://a?x",
                                       NULL};
    static const char *const bad[] = {"http://",
                                      "https://",
                                      "http:///x",
                                      "http://?",
                                      "http://:80",
                                      "http://a:",
                                      "http://a:b",
                                      "http://a:99999999",
                                      "http://a:65536/",
                                      "http://[zz]",
                                      "http://[]",
                                      "http://[::1",
                                      "http://[::1]x",
                                      "http://[::1]:x/",
                                      "http://a b",
                                      "http://a/b c",
                                      "http://a/\x01",
                                      "http://a/\"",
                                      "http://\xc3\xa4/",
                                      "ftp://a",
                                      "HTTP",
                                      "//a",
                                      NULL};

    expect_form("access", "verify_client_url", good, true);
    expect_form("access", "verify_client_url", bad, false);
    expect_form("http", "home", good, true);
    expect_form("http", "home", bad, false);
    GOOD("http", "home", "default", "blank");
    BAD("http", "home", "", "Default", "none");
    GOOD("access", "verify_client_url", "");
    GOOD("mesh", "with", "derp1b.example.com", "derp1b.example.com:3340", "10.0.0.2", "[::1]:3340",
         "derp1b.example.com/10.0.0.2", "derp1b.example.com:3340/10.0.0.2", "http://10.0.0.2:3340",
         "https://a", "https://a/derp", "http://[::1]:3340/");
    BAD("mesh", "with", "", "/", "a/", "/a", "a/b/c", "a b", "a:b", ":443", "a:99999", "ftp://a",
        "http://", "http://a:99999", "[zz]:1", "https://a/other", "https://a?x", "a/b:443");
}

/* A file with every key set reads, in both languages, and what is printed reads back. */
static void every_key_at_once(void **state)
{
    (void)state;
    char *texts[2], *printed[2];

    for (int yaml = 0; yaml < 2; yaml++) {
        const char *section = "";
        struct problems problems;
        struct config config;
        size_t size;

        FILE *out = open_memstream(&texts[yaml], &size);
        for (size_t i = 0; i < schema_key_count; i++) {
            const struct schema_key *key = &schema_keys[i];
            bool begins = strcmp(section, key->section) != 0;
            section = key->section;
            if (begins && yaml)
                fprintf(out, "%s:\n", section);
            else if (begins)
                fprintf(out, is_listener(key) ? "[[%s]]\n" : "[%s]\n", section);
            const char *indent = !yaml || !*section ? "" : is_listener(key) && begins ? "- " : "  ";
            fprintf(out, "%s%s %c %s\n", indent, key->name, yaml ? ':' : '=', key->example);
        }
        fclose(out);
        problems_init(&problems);
        if (config_read_bytes(&config, texts[yaml], size, yaml ? "x.yml" : "x.toml", &problems))
            fail_msg("%s\nin\n%s", problems.list[0].text, texts[yaml]);
        out = open_memstream(&printed[yaml], &size);
        assert_int_equal(config_print(&config, true, out), 0);
        fclose(out);
        for (size_t i = 0; i < schema_key_count; i++) {
            char line[256];
            snprintf(line, sizeof(line), "%s = %s\n", schema_keys[i].name, schema_keys[i].example);
            if (!strstr(printed[yaml], line))
                fail_msg("%s is not in\n%s", line, printed[yaml]);
        }
        config_free(&config);

        char *again;
        assert_int_equal(config_read_bytes(&config, printed[yaml], size, "printed.toml", &problems),
                         0);
        out = open_memstream(&again, &size);
        assert_int_equal(config_print(&config, true, out), 0);
        fclose(out);
        assert_string_equal(again, printed[yaml]);
        free(again);
        config_free(&config);
        problems_free(&problems);
    }
    assert_string_equal(printed[0], printed[1]);
    for (int i = 0; i < 2; i++) {
        free(texts[i]);
        free(printed[i]);
    }
}

/* What the schema lets through, the library does not refuse. */
static void the_library_takes_the_bounds(void **state)
{
    (void)state;
    static const char *const names[] = {"queue_frames",      "queue_bytes",    "memory",
                                        "handshake_timeout", "keepalive",      "write_timeout",
                                        "queue_time",        "max_connections"};

    for (size_t i = 0; i < 2 * COUNT(names); i++) {
        const struct schema_key *key = schema_find("limits", names[i / 2]);
        uint64_t value = i % 2 ? key->max : key->min;
        hyperderp_relay_options options;
        hyperderp_relay *relay = NULL;
        struct config config = {0};

        *(uint64_t *)(void *)((char *)&config + key->offset) = value;
        hyperderp_relay_options_init(&options);
        options.workers = 1;
        options.engine = HYPERDERP_ENGINE_EPOLL;
        options.queue_frames = (unsigned)config.limits.queue_frames;
        options.queue_bytes = config.limits.queue_bytes;
        options.memory_bytes = config.limits.memory;
        options.queue_time_ms = (unsigned)config.limits.queue_time_ms;
        options.handshake_timeout_ms = (unsigned)config.limits.handshake_timeout_ms;
        options.keepalive_ms = (unsigned)config.limits.keepalive_ms;
        options.write_timeout_ms = (unsigned)config.limits.write_timeout_ms;
        /* The table of connections is allocated at once: the largest would not fit here. */
        options.max_connections = i % 2 ? 1000 : (unsigned)config.limits.max_connections;
        int error = hyperderp_relay_new(&relay, &options);
        if (error)
            fail_msg("limits.%s = %" PRIu64 ": error %d", key->name, value, error);
        hyperderp_relay_free(relay);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_end_where_the_table_says),
        cmocka_unit_test(units_count_as_they_are_named),
        cmocka_unit_test(addresses_have_a_form),
        cmocka_unit_test(networks_have_a_form),
        cmocka_unit_test(urls_and_nodes_have_a_form),
        cmocka_unit_test(every_key_at_once),
        cmocka_unit_test(the_library_takes_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
