/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's report: the figures of a result as table and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../bench/figures.c"
#include "../../bench/histogram.c"
#include "../../bench/report.c"
#include "../../bench/report_json.c"

static const struct load_options at_a_rate = {
    .relay = "relay.example:3340",
    .peers = 20,
    .size = 1000,
    .rate = 20000,
    .burst = 2,
    .duration_s = 5,
    .warmup_s = 1,
    .threads = 3,
};

/* 1,000 packets, ten of them lost, the last of those that arrived after the measured time. */
static struct load_result result;

static int fill(void **state)
{
    (void)state;
    memset(&result, 0, sizeof(result));
    result.seconds = 5;
    result.offered = result.sent = 1000;
    result.delivered = 990;
    result.arrived = 985;
    result.cpu_share = 0.25;
    result.cores = 1;
    for (uint64_t i = 1; i <= 990; i++)
        histogram_add(&result.latency, i * 1000);
    for (uint64_t i = 1; i <= 1000; i++)
        histogram_add(&result.lateness, i);
    return 0;
}

static json_t *as_json(const struct load_options *options)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    json_t *root;

    assert_non_null(out);
    assert_int_equal(report_json(out, options, &result), 0);
    assert_int_equal(fclose(out), 0);
    root = json_loads(text, 0, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static void table_is(const struct load_options *options, const char *piece, bool expected)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    report_table(out, options, &result);
    assert_int_equal(fclose(out), 0);
    if ((strstr(text, piece) != NULL) != expected)
        fail_msg("'%s' is %s\n%s", piece, expected ? "not in" : "in", text);
    free(text);
}

static json_int_t count(const json_t *root, const char *group, const char *name)
{
    json_t *value = json_object_get(json_object_get(root, group), name);

    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void real_is(const json_t *root, const char *group, const char *name, double expected)
{
    json_t *value = json_object_get(group != NULL ? json_object_get(root, group) : root, name);

    assert_true(json_is_real(value));
    assert_true(json_real_value(value) >= expected * 0.999);
    assert_true(json_real_value(value) <= expected * 1.02);
}

static void json_has_all(void **state)
{
    json_t *root = as_json(&at_a_rate);

    (void)state;
    assert_string_equal(json_string_value(json_object_get(root, "relay")), "relay.example:3340");
    assert_int_equal(count(root, "options", "peers"), 20);
    assert_int_equal(count(root, "options", "threads"), 3);
    real_is(root, "options", "rate", 20000);
    assert_int_equal(count(root, "packets", "offered"), 1000);
    assert_int_equal(count(root, "packets", "sent"), 1000);
    assert_int_equal(count(root, "packets", "delivered"), 990);
    assert_int_equal(count(root, "packets", "lost"), 10);
    assert_int_equal(count(root, "packets", "misordered"), 0);
    assert_int_equal(count(root, "packets", "damaged"), 0);
    real_is(root, NULL, "lost_percent", 1);
    real_is(root, "per_second", "sent", 200);
    real_is(root, "per_second", "delivered", 197);
    real_is(root, "per_second", "delivered_mbit", 1.576);
    real_is(root, "latency_us", "p50", 495);
    real_is(root, "latency_us", "p99", 981);
    real_is(root, "latency_us", "max", 990);
    real_is(root, "loader", "cpu_share", 0.25);
    assert_true(json_is_false(json_object_get(json_object_get(root, "loader"), "fell_behind")));
    assert_true(json_is_true(json_object_get(root, "clean")));
    assert_true(json_is_null(json_object_get(root, "first_fault")));
    json_decref(root);
}

static void table_has_all(void **state)
{
    (void)state;
    table_is(&at_a_rate, "20,000 packets/s", true);
    table_is(&at_a_rate, "offered               1,000          200/s        1.6 Mbit/s\n", true);
    table_is(&at_a_rate, "delivered               990          197/s        1.6 Mbit/s\n", true);
    table_is(&at_a_rate, "lost                     10        1.000 %\n", true);
    table_is(&at_a_rate, "of 20 connections", true);
    table_is(&at_a_rate, "max 990 us", true);
    table_is(&at_a_rate, "fell behind", false);
    table_is(&at_a_rate, "fault", false);
}

static void flat_out_has_no_latency(void **state)
{
    struct load_options options = at_a_rate;
    json_t *root;

    (void)state;
    options.rate = 0;
    root = as_json(&options);
    assert_true(json_is_null(json_object_get(root, "latency_us")));
    json_decref(root);
    table_is(&options, "latency", false);
    table_is(&options, "offered", false);
    table_is(&options, "flat out", true);
}

/* 40 % of a core for 197 packets/s; 20 connections took 11 ms of CPU and 40 KiB. */
static void know_relay(void)
{
    result.relay = (struct load_relay){
        .pid = 4321,
        .name = "some-relay",
        .connecting_cpu = 0.011,
        .cpu_share = 0.4,
        .rss_before = 1024 * 1024,
        .rss_connected = 1064 * 1024,
        .rss = 2048 * 1024,
    };
}

static void relay_process_is_told(void **state)
{
    json_t *root;

    (void)state;
    know_relay();
    table_is(&at_a_rate, "40 % of a core, 2,030,457 ns for each packet; 2,048 KiB resident", true);
    table_is(&at_a_rate, "each took 550 us of CPU and 2.0 KiB", true);
    root = as_json(&at_a_rate);
    assert_int_equal(count(root, "relay_process", "pid"), 4321);
    assert_int_equal(count(root, "relay_process", "rss"), 2048 * 1024);
    assert_int_equal(count(root, "relay_process", "rss_before"), 1024 * 1024);
    assert_int_equal(count(root, "relay_process", "rss_connected"), 1064 * 1024);
    real_is(root, "relay_process", "cpu_share", 0.4);
    real_is(root, "relay_process", "cpu_ns_per_packet", 0.4e9 / 197);
    real_is(root, "relay_process", "cpu_us_per_connection", 550);
    json_decref(root);
}

static void unknown_relay_has_no_figures(void **state)
{
    json_t *root = as_json(&at_a_rate);

    (void)state;
    table_is(&at_a_rate, "relay        ", false);
    assert_true(json_is_null(json_object_get(root, "relay_process")));
    json_decref(root);
}

static void idle_connections_alone(void **state)
{
    struct load_options options = at_a_rate;
    json_t *root;

    (void)state;
    know_relay();
    memset(&result.latency, 0, sizeof(result.latency));
    result.sent = result.offered = result.delivered = result.arrived = 0;
    options.peers = 0;
    options.idle = 5000;
    table_is(&options, "no packets, 5000 idle connections, 5.0 s", true);
    table_is(&options, "delivered", false);
    table_is(&options, "ns for each packet", false);
    table_is(&options, "of 5000 connections", true);
    root = as_json(&options);
    assert_true(
        json_is_null(json_object_get(json_object_get(root, "relay_process"), "cpu_ns_per_packet")));
    real_is(root, "relay_process", "cpu_us_per_connection", 0.011e6 / 5000);
    json_decref(root);
}

static void faults_are_told(void **state)
{
    uint64_t *const faults[] = {&result.misordered, &result.damaged, &result.broken};

    (void)state;
    assert_true(figures_are_clean(&result));
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        *faults[i] = 1;
        assert_false(figures_are_clean(&result));
        *faults[i] = 0;
    }
    strcpy(result.problem, "connection 3 broke: the relay closed it");
    table_is(&at_a_rate, "The first fault: connection 3 broke: the relay closed it.\n", true);
}

static void late_loader_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        histogram_add(&result.lateness, 2 * LATE_NS);
    table_is(&at_a_rate, "The loader fell behind its rate: 0 packets not sent", true);
}

static void loader_without_time_is_told(void **state)
{
    json_t *root;

    (void)state;
    result.unmade = 11;
    table_is(&at_a_rate, "The loader fell behind its rate: 11 packets not sent", true);
    root = as_json(&at_a_rate);
    assert_true(json_is_true(json_object_get(json_object_get(root, "loader"), "fell_behind")));
    json_decref(root);
}

static void tls_is_told(void **state)
{
    struct load_options over_tls = at_a_rate;
    json_t *root = as_json(&at_a_rate);

    (void)state;
    assert_true(json_is_false(json_object_get(root, "tls")));
    assert_true(json_is_null(json_object_get(root, "cipher")));
    json_decref(root);
    table_is(&at_a_rate, "TLS", false);
    over_tls.over_tls = true;
    result.suite = "TLS_AES_128_GCM_SHA256";
    root = as_json(&over_tls);
    assert_true(json_is_true(json_object_get(root, "tls")));
    assert_string_equal(json_string_value(json_object_get(root, "cipher")),
                        "TLS_AES_128_GCM_SHA256");
    json_decref(root);
    table_is(&over_tls, "TLS, TLS_AES_128_GCM_SHA256, ", true);
    table_is(&over_tls, "unverified", false);
    over_tls.tls_options.verification = TLS_VERIFY_NOTHING;
    table_is(&over_tls, "TLS, TLS_AES_128_GCM_SHA256, unverified, ", true);
}

/* A loader without any time left may itself be what was measured, also where it kept its rate. */
static void saturated_loader_is_told(void **state)
{
    struct load_options flat_out = at_a_rate;
    json_t *root;

    (void)state;
    flat_out.rate = 0;
    result.cores = 3;
    result.cpu_share = 2.8;
    table_is(&flat_out, "The loader had no time left", false);
    result.cpu_share = 2.95;
    table_is(&flat_out, "The loader had no time left", true);
    table_is(&at_a_rate, "The loader had no time left", true);
    root = as_json(&at_a_rate);
    assert_true(json_is_true(json_object_get(json_object_get(root, "loader"), "saturated")));
    json_decref(root);
    /* All that was offered came through: then it was enough. */
    result.delivered = result.sent;
    table_is(&at_a_rate, "The loader had no time left", false);
}

static void relay_that_holds_back_is_told(void **state)
{
    (void)state;
    result.offered = 3000;
    table_is(&at_a_rate, "2,000 packets were due but not sent: the relay", true);
    table_is(&at_a_rate, "fell behind", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(json_has_all, fill),
        cmocka_unit_test_setup(table_has_all, fill),
        cmocka_unit_test_setup(flat_out_has_no_latency, fill),
        cmocka_unit_test_setup(relay_process_is_told, fill),
        cmocka_unit_test_setup(unknown_relay_has_no_figures, fill),
        cmocka_unit_test_setup(idle_connections_alone, fill),
        cmocka_unit_test_setup(faults_are_told, fill),
        cmocka_unit_test_setup(tls_is_told, fill),
        cmocka_unit_test_setup(saturated_loader_is_told, fill),
        cmocka_unit_test_setup(late_loader_is_told, fill),
        cmocka_unit_test_setup(loader_without_time_is_told, fill),
        cmocka_unit_test_setup(relay_that_holds_back_is_told, fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
