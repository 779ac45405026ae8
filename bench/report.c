/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's output for people: progress line and table. */
#include "report.h"

#include <inttypes.h>
#include <string.h>

#include "figures.h"

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

/* Who sends to whom. */
static void print_peers(FILE *out, const struct load_options *options)
{
    unsigned pairs = options->peers / 2;

    if (options->peers == 0)
        fprintf(out, "no packets");
    else if (options->traffic == LOAD_RANDOM)
        fprintf(out, "%u peers, random destinations", options->peers);
    else
        fprintf(out, "%u %s%s", pairs, pairs == 1 ? "pair" : "pairs",
                options->traffic == LOAD_BOTH_WAYS ? " both ways" : "");
    if (options->idle > 0)
        fprintf(out, ", %u idle connections", options->idle);
}

static void print_setting(FILE *out, const struct load_options *options,
                          const struct load_result *result)
{
    char rate[40];

    fprintf(out, "Relay %s: ", options->relay);
    if (options->over_tls)
        fprintf(out, "TLS, %s%s, ", result->suite != NULL ? result->suite : "no connection",
                options->tls_options.verification == TLS_VERIFY_NOTHING ? ", unverified" : "");
    print_peers(out, options);
    if (options->peers > 0) {
        fprintf(out, ", %u-byte packets, %u in each write, ", options->size, options->burst);
        if (load_is_flat_out(options))
            fprintf(out, "flat out");
        else
            fprintf(out, "%s packets/s", grouped(options->rate, rate));
    }
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
            grouped(per_second, b), figures_mbit(options, per_second));
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

static void print_loader(FILE *out, const struct load_options *options,
                         const struct load_result *result)
{
    char a[40];

    fprintf(out, "loader       %.0f %% of a core", 100 * result->cpu_share);
    if (!load_is_flat_out(options) && result->lateness.count > 0)
        fprintf(out, "; 99 %% of packets left at most %s late",
                duration(histogram_quantile(&result->lateness, 0.99), a));
    fprintf(out, "\n");
}

static void print_relay(FILE *out, const struct load_options *options,
                        const struct load_result *result)
{
    const struct load_relay *relay = &result->relay;
    char a[40], b[40];

    if (relay->pid == 0)
        return;
    fprintf(out, "relay        %.0f %% of a core", 100 * relay->cpu_share);
    if (result->arrived > 0)
        fprintf(out, ", %s ns for each packet", grouped(figures_relay_cpu_per_packet(result), a));
    fprintf(out, "; %s KiB resident (%s, process %ld)\n", grouped((double)relay->rss / 1024, b),
            relay->name, (long)relay->pid);
    fprintf(out, "connecting   %u connections in %.2f s", load_connections(options),
            result->connecting);
    fprintf(out, "; of the relay, each took %.0f us of CPU and %.1f KiB\n",
            figures_relay_cpu_per_connection(options, result),
            figures_relay_rss_per_connection(options, result) / 1024);
}

/* Says what a reader has to know before believing the figures. */
static void print_remarks(FILE *out, const struct load_options *options,
                          const struct load_result *result)
{
    char a[40], b[40];

    if (figures_fell_behind(options, result))
        fprintf(
            out,
            "\nThe loader fell behind its rate: %s packets not sent, others up to %s late. These "
            "are\nfigures of the loader. Give it more threads, a lower rate, or a machine of its "
            "own.\n",
            grouped((double)result->unmade, a), duration(result->lateness.max, b));
    else if (figures_saturated(result) && (load_is_flat_out(options) || figures_lost(result) > 0 ||
                                           result->offered > result->sent))
        fprintf(out,
                "\nThe loader had no time left: the relay might do more with a loader that has "
                "more threads.\n");
    else if (options->rate > 0 && result->broken == 0 &&
             result->offered > result->sent + result->offered / 1000)
        fprintf(out,
                "\n%s packets were due but not sent: the relay did not take them from the "
                "connections in time.\n",
                grouped((double)(result->offered - result->sent), a));
    if (result->problem[0] != '\0')
        fprintf(out, "\nThe first fault: %s.\n", result->problem);
}

static void print_packets(FILE *out, const struct load_options *options,
                          const struct load_result *result)
{
    char a[40];

    if (!load_is_flat_out(options))
        print_rate(out, options, "offered", result->offered,
                   (double)result->offered / result->seconds);
    print_rate(out, options, "sent", result->sent, (double)result->sent / result->seconds);
    print_rate(out, options, "delivered", result->delivered,
               (double)result->arrived / result->seconds);
    fprintf(out, "%-12s %14s %12.3f %%\n", "lost", grouped((double)figures_lost(result), a),
            figures_percent(figures_lost(result), result->sent));
    fprintf(out, "%-12s %14" PRIu64 "\n", "misordered", result->misordered);
    fprintf(out, "%-12s %14" PRIu64 "\n", "damaged", result->damaged);
}

void report_table(FILE *out, const struct load_options *options, const struct load_result *result)
{
    print_setting(out, options, result);
    if (options->peers > 0)
        print_packets(out, options, result);
    fprintf(out, "%-12s %14" PRIu64 " of %u connections\n", "broken", result->broken,
            load_connections(options));
    if (!load_is_flat_out(options))
        print_latency(out, result);
    print_loader(out, options, result);
    print_relay(out, options, result);
    print_remarks(out, options, result);
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
