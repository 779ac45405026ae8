/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's output: progress line, table, JSON. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include <hyperderp/version.h>

/* The loader fell behind when more than one packet in a hundred left later than this by its fault,
 * or was not sent at all. */
#define LATE_NS 5000000u

bool report_is_clean(const struct load_result *result)
{
    return result->misordered == 0 && result->damaged == 0 && result->broken == 0;
}

static bool fell_behind(const struct load_result *result)
{
    return histogram_quantile(&result->lateness, 0.99) > LATE_NS ||
           result->unmade > result->offered / 100;
}

static uint64_t lost(const struct load_result *result)
{
    return result->sent > result->delivered ? result->sent - result->delivered : 0;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static double mbit(const struct load_options *options, double packets)
{
    return packets * options->size * 8 / 1e6;
}

/* Writes a number with a comma after each three digits. */
static const char *grouped(double number, char text[40])
{
    char digits[32];
    size_t len, at = 0;

    snprintf(digits, sizeof(digits), "%.0f", number);
    len = strlen(digits);
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

/* Writes a duration with three digits or so and its unit. */
static const char *duration(uint64_t ns, char text[40])
{
    double us = (double)ns / 1e3;

    if (us < 1000)
        snprintf(text, 40, us < 10 ? "%.1f us" : "%.0f us", us);
    else if (us < 1e6)
        snprintf(text, 40, us < 1e5 ? "%.1f ms" : "%.0f ms", us / 1e3);
    else
        snprintf(text, 40, "%.2f s", us / 1e6);
    return text;
}

static void print_setting(FILE *out, const struct load_options *options,
                          const struct load_result *result)
{
    char rate[40];

    fprintf(out, "Relay %s: %u %s%s, %u-byte packets, %u in each write, ", options->relay,
            options->pairs, options->pairs == 1 ? "pair" : "pairs",
            options->both_ways ? " both ways" : "", options->size, options->burst);
    if (options->rate > 0)
        fprintf(out, "%s packets/s", grouped(options->rate, rate));
    else
        fprintf(out, "flat out");
    fprintf(out, ", %.1f s after %g s of warm-up%s\n\n", result->seconds, options->warmup_s,
            result->interrupted                             ? " (interrupted)"
            : result->seconds < options->duration_s * 0.999 ? " (its connections broke)"
                                                            : "");
}

static void print_rate(FILE *out, const struct load_options *options, const char *name,
                       uint64_t packets, double per_second)
{
    char a[40], b[40];

    fprintf(out, "%-12s %14s %12s/s %10.1f Mbit/s\n", name, grouped((double)packets, a),
            grouped(per_second, b), mbit(options, per_second));
}

static void print_latency(FILE *out, const struct load_result *result)
{
    const struct histogram *h = &result->latency;
    char a[40], b[40], c[40], d[40];

    if (h->count == 0)
        return;
    fprintf(out, "latency      p50 %s, p99 %s, p99.9 %s, max %s\n",
            duration(histogram_quantile(h, 0.5), a), duration(histogram_quantile(h, 0.99), b),
            duration(histogram_quantile(h, 0.999), c), duration(h->max, d));
}

/* Says what a reader has to know before believing the figures. */
static void print_remarks(FILE *out, const struct load_options *options,
                          const struct load_result *result)
{
    char a[40], b[40];

    fprintf(out, "loader       %.0f %% of a core", 100 * result->cpu_share);
    if (options->rate > 0 && result->lateness.count > 0)
        fprintf(out, "; 99 %% of packets left at most %s late",
                duration(histogram_quantile(&result->lateness, 0.99), a));
    fprintf(out, "\n");
    if (options->rate > 0 && fell_behind(result))
        fprintf(
            out,
            "\nThe loader fell behind its rate: %s packets not sent, others up to %s late. These "
            "are\nfigures of the loader. Give it more threads, a lower rate, or a machine of its "
            "own.\n",
            grouped((double)result->unmade, a), duration(result->lateness.max, b));
    else if (options->rate > 0 && result->broken == 0 &&
             result->offered > result->sent + result->offered / 1000)
        fprintf(out,
                "\n%s packets were due but not sent: the relay did not take them from the "
                "connections in time.\n",
                grouped((double)(result->offered - result->sent), a));
    if (result->problem[0] != '\0')
        fprintf(out, "\nThe first fault: %s.\n", result->problem);
}

void report_table(FILE *out, const struct load_options *options, const struct load_result *result)
{
    char a[40];

    print_setting(out, options, result);
    if (options->rate > 0)
        print_rate(out, options, "offered", result->offered,
                   (double)result->offered / result->seconds);
    print_rate(out, options, "sent", result->sent, (double)result->sent / result->seconds);
    print_rate(out, options, "delivered", result->delivered,
               (double)result->arrived / result->seconds);
    fprintf(out, "%-12s %14s %12.3f %%\n", "lost", grouped((double)lost(result), a),
            percent(lost(result), result->sent));
    fprintf(out, "%-12s %14" PRIu64 "\n", "misordered", result->misordered);
    fprintf(out, "%-12s %14" PRIu64 "\n", "damaged", result->damaged);
    fprintf(out, "%-12s %14" PRIu64 " of %u connections\n", "broken", result->broken,
            options->pairs * 2);
    if (options->rate > 0)
        print_latency(out, result);
    print_remarks(out, options, result);
}

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

static int put_options(json_t *object, const struct load_options *options)
{
    json_t *inner = put_object(object, "options");
    int err = 0;

    err |= put_count(inner, "pairs", options->pairs);
    err |= put_bool(inner, "both_ways", options->both_ways);
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
    err |= put_count(inner, "lost", lost(result));
    err |= put_count(inner, "misordered", result->misordered);
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
    err |= put_real(inner, "delivered_mbit", mbit(options, arrived));
    return err;
}

static int put_loader(json_t *object, const struct load_options *options,
                      const struct load_result *result)
{
    json_t *inner = put_object(object, "loader");
    int err = 0;

    err |= put_bool(inner, "fell_behind", options->rate > 0 && fell_behind(result));
    err |= put_count(inner, "unmade", result->unmade);
    err |= put_quantiles(inner, "late_us", &result->lateness);
    err |= put_real(inner, "cpu_share", result->cpu_share);
    return err;
}

static int put_result(json_t *root, const struct load_options *options,
                      const struct load_result *result)
{
    static const struct histogram none;
    const char *fault = result->problem;
    int err = 0;

    err |= json_object_set_new(root, "version", json_string(HYPERDERP_VERSION));
    err |= json_object_set_new(root, "relay", json_string(options->relay));
    err |= put_options(root, options);
    err |= put_real(root, "seconds", result->seconds);
    err |= put_bool(root, "interrupted", result->interrupted);
    err |= put_bool(root, "clean", report_is_clean(result));
    err |= put_packets(root, result);
    err |= put_rates(root, options, result);
    err |= put_real(root, "lost_percent", percent(lost(result), result->sent));
    err |= put_count(root, "broken_connections", result->broken);
    err |= put_quantiles(root, "latency_us", options->rate > 0 ? &result->latency : &none);
    err |= put_loader(root, options, result);
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

void report_progress(void *file, const struct load_progress *p)
{
    static const char *const phases[] = {"connecting", "warming up", "measuring",
                                         "waiting for stragglers"};
    char a[40], b[40];

    fprintf(file, "\r\033[K%s: ", phases[p->phase]);
    if (p->phase == LOAD_CONNECTING)
        fprintf(file, "%u of %u connections", p->connected, p->connections);
    else
        fprintf(file, "%.0f of %.0f s, %s packets sent, %s delivered", p->elapsed_s, p->total_s,
                grouped((double)p->sent, a), grouped((double)p->delivered, b));
    fflush(file);
}

void report_progress_end(FILE *file)
{
    fprintf(file, "\r\033[K");
    fflush(file);
}
