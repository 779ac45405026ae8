/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's report: the figures of a result as table and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../bench/histogram.c"
#include "../../bench/report.c"

static const struct load_options at_a_rate = {
    .relay = "relay.example:3340",
    .pairs = 10,
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
    assert_int_equal(count(root, "options", "pairs"), 10);
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

static void faults_are_told(void **state)
{
    uint64_t *const faults[] = {&result.misordered, &result.damaged, &result.broken};

    (void)state;
    assert_true(report_is_clean(&result));
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        *faults[i] = 1;
        assert_false(report_is_clean(&result));
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
        cmocka_unit_test_setup(faults_are_told, fill),
        cmocka_unit_test_setup(late_loader_is_told, fill),
        cmocka_unit_test_setup(loader_without_time_is_told, fill),
        cmocka_unit_test_setup(relay_that_holds_back_is_told, fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
