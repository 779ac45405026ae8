/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration: every key of the schema, both languages, faults with their places. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "schema.h"

/* The keys that operators' files rely on, by their full names: none may go or be renamed. */
static const char *const fixed[] = {"workers",
                                    "pin_workers",
                                    "key_file",
                                    "user",
                                    "sandbox",
                                    "log_level",
                                    "log_format",
                                    "listener.address",
                                    "listener.tls",
                                    "listener.proxy_protocol",
                                    "listener.trusted_proxies",
                                    "tls.cert",
                                    "tls.key",
                                    "tls.hostname",
                                    "tls.offload",
                                    "stun.address",
                                    "metrics.address",
                                    "metrics.debug_endpoints",
                                    "metrics.tls_cert",
                                    "metrics.tls_key",
                                    "http.home",
                                    "mesh.key_file",
                                    "mesh.with",
                                    "mesh.ca_file",
                                    "access.allow_keys_file",
                                    "access.tailscaled_socket",
                                    "access.verify_client_url",
                                    "access.verify_client_url_fail_open",
                                    "access.verify_timeout",
                                    "limits.max_connections",
                                    "limits.accept_rate",
                                    "limits.accept_burst",
                                    "limits.connections_per_ip",
                                    "limits.client_rate",
                                    "limits.client_burst",
                                    "limits.queue_frames",
                                    "limits.queue_bytes",
                                    "limits.queue_time",
                                    "limits.memory",
                                    "limits.handshake_timeout",
                                    "limits.keepalive",
                                    "limits.write_timeout",
                                    "limits.drain_timeout",
                                    "takeover.socket",
                                    "takeover.spread",
                                    "io.engine",
                                    "io.sqpoll",
                                    "io.socket_buffer"};

#define FIXED (sizeof(fixed) / sizeof(fixed[0]))

struct outcome {
    int error;
    struct config config;
    struct problems problems;
};

static void read_text(struct outcome *outcome, const char *file, const char *text)
{
    problems_init(&outcome->problems);
    outcome->error =
        config_read_bytes(&outcome->config, text, strlen(text), file, &outcome->problems);
}

static void let_go(struct outcome *outcome)
{
    config_free(&outcome->config);
    problems_free(&outcome->problems);
}

static void fail_with(const struct outcome *outcome, const char *what)
{
    char line[1024];

    for (size_t i = 0; i < outcome->problems.count; i++) {
        problem_format(&outcome->problems.list[i], line, sizeof(line));
        print_message("%s\n", line);
    }
    fail_msg("%s", what);
}

/* The problem, whole: "x.toml:1:2: text". */
static void expect_problem(const struct outcome *outcome, size_t at, const char *text)
{
    char line[1024];

    if (at >= outcome->problems.count)
        fail_with(outcome, "fewer problems than expected");
    problem_format(&outcome->problems.list[at], line, sizeof(line));
    assert_string_equal(line, text);
}

static void expect_only(const char *file, const char *config, const char *text)
{
    struct outcome outcome;

    read_text(&outcome, file, config);
    assert_int_equal(outcome.error, -EINVAL);
    expect_problem(&outcome, 0, text);
    if (outcome.problems.total != 1)
        fail_with(&outcome, "more than one problem");
    let_go(&outcome);
}

/* A file that sets one key. */
static const char *file_with(const struct schema_key *key, const char *value, bool yaml,
                             char out[512])
{
    bool listener = strcmp(key->section, "listener") == 0;
    const char *equals = yaml ? ": " : " = ";

    if (!*key->section)
        snprintf(out, 512, "%s%s%s\n", key->name, equals, value);
    else if (yaml)
        snprintf(out, 512, "%s:\n  %s%s: %s\n", key->section, listener ? "- " : "", key->name,
                 value);
    else
        snprintf(out, 512, "%s%s%s\n%s = %s\n", listener ? "[[" : "[", key->section,
                 listener ? "]]" : "]", key->name, value);
    return out;
}

static char *print_value(const struct schema_key *key, const struct config *config)
{
    bool listener = strcmp(key->section, "listener") == 0;
    const void *base = listener ? (const void *)config->listeners : config;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    schema_print_value(key, base, out);
    fclose(out);
    return text;
}

static void the_schema_has_the_fixed_keys(void **state)
{
    (void)state;
    char name[128];

    assert_int_equal(schema_key_count, FIXED);
    for (size_t i = 0; i < schema_key_count; i++) {
        snprintf(name, sizeof(name), "%s%s%s", schema_keys[i].section,
                 *schema_keys[i].section ? "." : "", schema_keys[i].name);
        assert_string_equal(name, fixed[i]);
        assert_true(strlen(schema_keys[i].doc) > 10);
    }
}

static void every_key_takes_a_good_value(void **state)
{
    (void)state;
    struct outcome outcome;
    char text[512];

    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        for (int yaml = 0; yaml < 2; yaml++) {
            read_text(&outcome, yaml ? "x.yaml" : "x.toml",
                      file_with(key, key->preset, yaml, text));
            if (outcome.error)
                fail_with(&outcome, text);
            char *preset = print_value(key, &outcome.config);
            let_go(&outcome);

            read_text(&outcome, yaml ? "x.yml" : "x.toml",
                      file_with(key, key->example, yaml, text));
            char *example = print_value(key, &outcome.config);
            if (outcome.error)
                fail_with(&outcome, text);
            assert_string_not_equal(preset, example);
            assert_string_equal(example, key->example);
            free(preset);
            free(example);
            let_go(&outcome);
        }
    }
}

static void every_key_refuses_a_bad_value(void **state)
{
    (void)state;
    static const char *const wrong_kinds[] = {"2026-01-31", "{}", "1.5"};
    struct outcome outcome;
    char text[512];

    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        for (size_t j = 0; j < 4; j++) {
            const char *value = j < 3 ? wrong_kinds[j] : key->bad;
            read_text(&outcome, "x.toml", file_with(key, value, false, text));
            if (outcome.error != -EINVAL || outcome.problems.total != 1)
                fail_with(&outcome, text);
            const struct problem *problem = &outcome.problems.list[0];
            assert_int_equal(problem->place.line, *key->section ? 2 : 1);
            if (!strstr(problem->text, "expected") || !strstr(problem->text, key->name))
                fail_with(&outcome, text);
            let_go(&outcome);
        }
    }
}

static char *print_whole(const struct config *config)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_int_equal(config_print(config, true, out), 0);
    fclose(out);
    return text;
}

/* All keys that this build has, with other values than the defaults. */
static const char full_toml[] = "workers = 3\n"
                                "pin_workers = [0, 2]\n"
                                "key_file = \"/k \\\"q\\\".key\"\n"
                                "log_level = \"warn\"\n"
                                "log_format = \"json\"\n"
                                "[[listener]]\naddress = \":1\"\ntls = false\n"
                                "[[listener]]\naddress = \"[::1]:2\"\ntls = false\n"
                                "[tls]\ncert = \"/c\"\nkey = \"/k\"\nhostname = \"::1\"\n"
                                "offload = \"user\"\n"
                                "[stun]\naddress = \"[::1]:3479\"\n"
                                "[metrics]\naddress = \"\"\ndebug_endpoints = true\n"
                                "[limits]\nqueue_bytes = \"2MiB\"\nqueue_time = \"30s\"\n"
                                "memory = 1000000\n"
                                "keepalive = \"1500ms\"\ndrain_timeout = \"2m\"\n"
                                "[io]\nengine = \"epoll\"\nsqpoll = true\n";
static const char full_yaml[] =
    "workers: 3\n"
    "pin_workers: [0, 2]\n"
    "key_file: '/k \"q\".key'\n"
    "log_level: warn\n"
    "log_format: json\n"
    "listener:\n"
    "  - address: ':1'\n    tls: false\n"
    "  - {address: '[::1]:2', tls: false}\n"
    "tls: {cert: /c, key: /k, hostname: '::1', offload: user}\n"
    "stun: {address: '[::1]:3479'}\n"
    "metrics:\n  address: ''\n  debug_endpoints: true\n"
    "limits:\n  queue_bytes: 2MiB\n  queue_time: 30s\n  memory: 1000000\n"
    "  keepalive: 1500ms\n  drain_timeout: 2m\n"
    "io: {engine: epoll, sqpoll: true}\n";

static void what_is_printed_reads_back_to_the_same(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"x.toml", ""}, {"x.yaml", ""}, {"x.toml", full_toml}, {"x.yaml", full_yaml}};
    char *seen[4];

    for (size_t i = 0; i < 4; i++) {
        struct outcome first, second;
        read_text(&first, files[i][0], files[i][1]);
        if (first.error)
            fail_with(&first, files[i][1]);
        seen[i] = print_whole(&first.config);
        read_text(&second, "printed.toml", seen[i]);
        if (second.error)
            fail_with(&second, seen[i]);
        char *again = print_whole(&second.config);
        assert_string_equal(again, seen[i]);
        free(again);
        let_go(&first);
        let_go(&second);
    }
    assert_string_equal(seen[0], seen[1]);
    assert_string_equal(seen[2], seen[3]);
    assert_non_null(strstr(seen[2], "keepalive = \"1500ms\"\n"));
    assert_non_null(strstr(seen[2], "queue_bytes = \"2MiB\"\nqueue_time = \"30s\"\n"
                                    "memory = \"1000000B\"\n"));
    for (size_t i = 0; i < 4; i++)
        free(seen[i]);
}

static void all_problems_are_told_with_their_places(void **state)
{
    (void)state;
    struct outcome outcome;

    read_text(&outcome, "bad.toml",
              "wrokers = 2\n"
              "log_level = \"loud\"\n"
              "\n"
              "[limits]\n"
              "keepalive = 60\n"
              "address = \":1\"\n"
              "queue_frames = -1   # \xc3\xa4\n"
              "[mertics]\n"
              "address = \":1\"\n"
              "[[listener]]\n"
              "address = \"127.0.0.1:66000\"\n"
              "tls = \"no\"\n"
              "x = [1,\n"
              "workers 2\n");
    assert_int_equal(outcome.error, -EINVAL);
    /* What cannot be parsed comes first, then what is wrong with what could. */
    expect_problem(&outcome, 0,
                   "bad.toml:14:1: workers is no value: text needs quotes, numbers look "
                   "like 42, 1_000, 0xff or 1.5");
    expect_problem(&outcome, 1, "bad.toml:1:1: unknown key wrokers: did you mean workers?");
    expect_problem(&outcome, 2,
                   "bad.toml:2:13: log_level: expected \"debug\", \"info\", \"warn\" or \"error\", "
                   "found \"loud\"");
    expect_problem(&outcome, 3,
                   "bad.toml:5:13: limits.keepalive: expected a duration with a unit (\"500ms\", "
                   "\"10s\", \"5m\", \"1h\") from 1ms to 24h, found an integer");
    expect_problem(&outcome, 4,
                   "bad.toml:6:1: unknown key address in limits: it belongs into listener");
    expect_problem(
        &outcome, 5,
        "bad.toml:7:16: limits.queue_frames: expected an integer from 1 to 1048576, or 0, "
        "found -1");
    expect_problem(&outcome, 6, "bad.toml:8:2: unknown key mertics: did you mean metrics?");
    expect_problem(&outcome, 7,
                   "bad.toml:11:11: listener.address: expected HOST:PORT, :PORT, [IPV6]:PORT, "
                   "systemd:NAME or unix:/PATH, found \"127.0.0.1:66000\"");
    expect_problem(&outcome, 8,
                   "bad.toml:12:7: listener.tls: expected true or false, found a string");
    assert_int_equal(outcome.problems.total, 9);
    let_go(&outcome);
}

static void yaml_faults_have_places_too(void **state)
{
    (void)state;
    expect_only("x.yaml", "limits:\n  keepalive: 60s\n  keepalive: 30s\n",
                "x.yaml:3:3: keepalive is set already, on line 2: each key may stand once");
    expect_only("x.yaml", "a: &x 1\n",
                "x.yaml:1:4: anchors and tags are not read: write the value itself");
    expect_only("x.yaml", "key_file: !!str x\n",
                "x.yaml:1:11: anchors and tags are not read: write the value itself");
    expect_only("x.yaml", "key_file: *x\n",
                "x.yaml:1:11: aliases (*name) are not read: write the value itself");
    expect_only("x.yaml", "key_file:\n",
                "x.yaml:1:10: no value: write one, or leave the key out; the "
                "empty text is \"\"");
    expect_only("x.yaml", "- a\n", "x.yaml:1:1: expected keys and values at the top: KEY: VALUE");
    expect_only("x.yaml", "workers: 1\n---\nworkers: 2\n",
                "x.yaml:2:1: a second document: a configuration is one");
    expect_only("x.yaml", "metrics:\n  debug_endpoints: yes\n",
                "x.yaml:2:20: metrics.debug_endpoints: expected true or false, found a string");
}

static void the_whole_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"[tls]\ncert = \"/c\"\n", "x.toml: tls.cert and tls.key: give both or neither"},
        {"[tls]\nkey = \"/k\"\n", "x.toml: tls.cert and tls.key: give both or neither"},
        {"[[listener]]\naddress = \":1\"\nproxy_protocol = true\n",
         "x.toml:1:3: listener :1: proxy_protocol needs trusted_proxies, the networks that its "
         "headers may come from"},
        {"[[listener]]\ntls = false\n[[listener]]\naddress = \"unix:/run/x\"\n"
         "trusted_proxies = [\"10.0.0.1\"]\n",
         "x.toml:3:3: listener unix:/run/x: trusted_proxies are given, and proxy_protocol is not "
         "true: set it, or leave them out"},
        {"[[listener]]\naddress = \":1\"\ntls = false\n[[listener]]\naddress = \":1\"\ntls = "
         "false\n",
         "x.toml:4:3: listener :1: given twice"},
        {"[[listener]]\ntls = false\n[metrics]\ntls_key = \"/k\"\n",
         "x.toml: metrics.tls_cert and metrics.tls_key: give both or neither"},
        {"[access]\nverify_client_url = \"http://x/\"\nverify_timeout = \"10s\"\n",
         "x.toml: access.verify_timeout must be shorter than limits.handshake_timeout: clients "
         "would be closed before the answer comes"},
        {"[access]\ntailscaled_socket = \"/s\"\n[limits]\nhandshake_timeout = \"4s\"\n",
         "x.toml: access.verify_timeout must be shorter than limits.handshake_timeout: clients "
         "would be closed before the answer comes"},
    };
    struct outcome outcome;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_text(&outcome, "x.toml", cases[i].text);
        assert_int_equal(outcome.error, 0);
        assert_int_equal(config_check(&outcome.config, "x.toml", &outcome.problems), -EINVAL);
        expect_problem(&outcome, 0, cases[i].problem);
        assert_int_equal(outcome.problems.total, 1);
        let_go(&outcome);
    }
    /* Who can connect to a socket in the file system is trusted; systemd's may be one. */
    read_text(&outcome, "x.toml",
              "[[listener]]\naddress = \"unix:/run/x\"\nproxy_protocol = true\n"
              "[[listener]]\naddress = \"systemd:derp\"\nproxy_protocol = true\n"
              "[[listener]]\naddress = \":1\"\nproxy_protocol = true\n"
              "trusted_proxies = [\"::1\", \"10.0.0.0/8\"]\n");
    assert_int_equal(config_check(&outcome.config, "x.toml", &outcome.problems), 0);
    let_go(&outcome);
    read_text(&outcome, "x.toml",
              "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
              "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n");
    assert_int_equal(config_check(&outcome.config, "x.toml", &outcome.problems), 0);
    let_go(&outcome);
}

static void hostnames_are_names_or_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {
        "derp.example.com", "derp1", "203.0.113.5", "2001:db8::5", "xn--nxasmq6b.example", ""};
    static const char *const bad[] = {
        "a b",        "[2001:db8::5]", "203.0.113", "1.2.3.4.5",     "a..b",          ".a",
        "derp_1.net", "https://a",     "a:443",     "*.example.com", "203.0.113.5/24"};
    struct outcome outcome;
    char text[128];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "[tls]\nhostname = \"%s\"\n", good[i]);
        read_text(&outcome, "x.toml", text);
        if (outcome.error)
            fail_with(&outcome, text);
        assert_string_equal(outcome.config.tls.hostname, good[i]);
        let_go(&outcome);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char said[256];
        snprintf(text, sizeof(text), "[tls]\nhostname = \"%s\"\n", bad[i]);
        snprintf(said, sizeof(said),
                 "x.toml:2:12: tls.hostname: expected a name, or an IP address without brackets, "
                 "found \"%s\"",
                 bad[i]);
        expect_only("x.toml", text, said);
    }
}

static void names_and_files_decide_what_is_read(void **state)
{
    (void)state;
    struct outcome outcome;

    expect_only("config.json", "{}",
                "config.json: the ending of the name must tell the language: .toml, .yaml or .yml");
    problems_init(&outcome.problems);
    outcome.error = config_read(&outcome.config, "/nonexistent/x.toml", &outcome.problems);
    assert_int_equal(outcome.error, -EINVAL);
    expect_problem(&outcome, 0, "/nonexistent/x.toml: cannot be read: No such file or directory");
    let_go(&outcome);
    problems_init(&outcome.problems);
    assert_int_equal(config_read(&outcome.config, "/tmp", &outcome.problems), -EINVAL);
    let_go(&outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schema_has_the_fixed_keys),
        cmocka_unit_test(every_key_takes_a_good_value),
        cmocka_unit_test(every_key_refuses_a_bad_value),
        cmocka_unit_test(what_is_printed_reads_back_to_the_same),
        cmocka_unit_test(all_problems_are_told_with_their_places),
        cmocka_unit_test(yaml_faults_have_places_too),
        cmocka_unit_test(the_whole_is_checked),
        cmocka_unit_test(hostnames_are_names_or_addresses),
        cmocka_unit_test(names_and_files_decide_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
