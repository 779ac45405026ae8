/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's output for programs: one JSON object. */
#include <errno.h>
#include <jansson.h>

#include <hyperderp/version.h>

#include "figures.h"
#include "report.h"

/* The functions below add members to an object. They return 0 or, when memory runs out, -1. */

static int put_count(json_t *object, const char *name, uint64_t count)
{
    return json_object_set_new(object, name, json_integer((json_int_t)count));
}

static int put_real(json_t *object, const char *name, double number)
{
    return json_object_set_new(object, name, json_real(number));
}

static int put_bool(json_t *object, const char *name, bool truth)
{
    return json_object_set_new(object, name, json_boolean(truth));
}

/* A new object inside of another, or NULL. */
static json_t *put_object(json_t *object, const char *name)
{
    json_t *inner = json_object();

    return json_object_set_new(object, name, inner) == 0 ? inner : NULL;
}

static int put_quantiles(json_t *object, const char *name, const struct histogram *h)
{
    json_t *inner;
    int err = 0;

    if (h->count == 0)
        return json_object_set_new(object, name, json_null());
    inner = put_object(object, name);
    err |= put_real(inner, "p50", (double)histogram_quantile(h, 0.5) / 1e3);
    err |= put_real(inner, "p99", (double)histogram_quantile(h, 0.99) / 1e3);
    err |= put_real(inner, "p99.9", (double)histogram_quantile(h, 0.999) / 1e3);
    err |= put_real(inner, "max", (double)h->max / 1e3);
    return err;
}

static int put_text(json_t *object, const char *name, const char *text)
{
    return json_object_set_new(object, name, json_string(text));
}

static int put_options(json_t *object, const struct load_options *options)
{
    static const char *const traffic[] = {"one way", "both ways", "random"};
    json_t *inner = put_object(object, "options");
    int err = 0;

    err |= put_count(inner, "peers", options->peers);
    err |= put_text(inner, "traffic", traffic[options->traffic]);
    err |= put_count(inner, "idle", options->idle);
    err |= put_count(inner, "size", options->size);
    err |= put_real(inner, "rate", options->rate);
    err |= put_count(inner, "burst", options->burst);
    err |= put_real(inner, "duration", options->duration_s);
    err |= put_real(inner, "warmup", options->warmup_s);
    err |= put_count(inner, "threads", options->threads);
    return err;
}

static int put_packets(json_t *object, const struct load_result *result)
{
    json_t *inner = put_object(object, "packets");
    int err = 0;

    err |= put_count(inner, "offered", result->offered);
    err |= put_count(inner, "sent", result->sent);
    err |= put_count(inner, "delivered", result->delivered);
    err |= put_count(inner, "lost", figures_lost(result));
    err |= put_count(inner, "misordered", result->misordered);
    err |= put_count(inner, "order_unknown", result->order_unknown);
    err |= put_count(inner, "damaged", result->damaged);
    return err;
}

static int put_rates(json_t *object, const struct load_options *options,
                     const struct load_result *result)
{
    json_t *inner = put_object(object, "per_second");
    double arrived = (double)result->arrived / result->seconds;
    int err = 0;

    err |= put_real(inner, "offered", (double)result->offered / result->seconds);
    err |= put_real(inner, "sent", (double)result->sent / result->seconds);
    err |= put_real(inner, "delivered", arrived);
    err |= put_real(inner, "delivered_mbit", figures_mbit(options, arrived));
    return err;
}

static int put_loader(json_t *object, const struct load_options *options,
                      const struct load_result *result)
{
    json_t *inner = put_object(object, "loader");
    int err = 0;

    err |= put_bool(inner, "fell_behind", figures_fell_behind(options, result));
    err |= put_bool(inner, "saturated", figures_saturated(result));
    err |= put_count(inner, "unmade", result->unmade);
    err |= put_quantiles(inner, "late_us", &result->lateness);
    err |= put_real(inner, "cpu_share", result->cpu_share);
    return err;
}

static int put_connecting(json_t *object, const struct load_options *options,
                          const struct load_result *result)
{
    json_t *inner = put_object(object, "connecting");
    int err = 0;

    err |= put_count(inner, "connections", load_connections(options));
    err |= put_real(inner, "seconds", result->connecting);
    return err;
}

static int put_relay(json_t *object, const struct load_options *options,
                     const struct load_result *result)
{
    const struct load_relay *relay = &result->relay;
    json_t *inner;
    int err = 0;

    if (relay->pid == 0)
        return json_object_set_new(object, "relay_process", json_null());
    inner = put_object(object, "relay_process");
    err |= put_count(inner, "pid", (uint64_t)relay->pid);
    err |= put_text(inner, "command", relay->name);
    err |= put_real(inner, "cpu_share", relay->cpu_share);
    if (result->arrived > 0)
        err |= put_real(inner, "cpu_ns_per_packet", figures_relay_cpu_per_packet(result));
    else
        err |= json_object_set_new(inner, "cpu_ns_per_packet", json_null());
    err |=
        put_real(inner, "cpu_us_per_connection", figures_relay_cpu_per_connection(options, result));
    err |= put_count(inner, "rss_before", relay->rss_before);
    err |= put_count(inner, "rss_connected", relay->rss_connected);
    err |= put_count(inner, "rss", relay->rss);
    return err;
}

static int put_result(json_t *root, const struct load_options *options,
                      const struct load_result *result)
{
    static const struct histogram none;
    const char *fault = result->problem;
    int err = 0;

    err |= put_text(root, "version", HYPERDERP_VERSION);
    err |= put_text(root, "relay", options->relay);
    err |= put_bool(root, "tls", options->over_tls);
    err |= json_object_set_new(root, "cipher",
                               result->suite != NULL ? json_string(result->suite) : json_null());
    err |= put_options(root, options);
    err |= put_real(root, "seconds", result->seconds);
    err |= put_bool(root, "interrupted", result->interrupted);
    err |= put_bool(root, "clean", figures_are_clean(result));
    err |= put_packets(root, result);
    err |= put_rates(root, options, result);
    err |= put_real(root, "lost_percent", figures_percent(figures_lost(result), result->sent));
    err |= put_count(root, "broken_connections", result->broken);
    err |= put_quantiles(root, "latency_us", load_is_flat_out(options) ? &none : &result->latency);
    err |= put_loader(root, options, result);
    err |= put_connecting(root, options, result);
    err |= put_relay(root, options, result);
    err |= json_object_set_new(root, "first_fault",
                               fault[0] != '\0' ? json_string(fault) : json_null());
    return err;
}

int report_json(FILE *out, const struct load_options *options, const struct load_result *result)
{
    json_t *root = json_object();
    int err = put_result(root, options, result);

    if (err == 0)
        err = json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    fprintf(out, "\n");
    return err != 0 ? -ENOMEM : 0;
}
