/* SPDX-License-Identifier: BSD-3-Clause */
/* The figures of bench/figures.h. */
#include "figures.h"

#define LATE_NS         5000000u
#define SATURATED_SHARE 0.97 /* of the cores that the loader's threads can fill */

bool figures_are_clean(const struct load_result *result)
{
    return result->misordered == 0 && result->damaged == 0 && result->broken == 0;
}

bool figures_fell_behind(const struct load_options *options, const struct load_result *result)
{
    return !load_is_flat_out(options) && (histogram_quantile(&result->lateness, 0.99) > LATE_NS ||
                                          result->unmade > result->offered / 100);
}

bool figures_saturated(const struct load_result *result)
{
    return result->cores > 0 && result->cpu_share > SATURATED_SHARE * result->cores;
}

uint64_t figures_lost(const struct load_result *result)
{
    return result->sent > result->delivered ? result->sent - result->delivered : 0;
}

double figures_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

double figures_mbit(const struct load_options *options, double packets)
{
    return packets * options->size * 8 / 1e6;
}

double figures_relay_cpu_per_packet(const struct load_result *result)
{
    if (result->relay.pid == 0 || result->arrived == 0)
        return 0;
    return result->relay.cpu_share * 1e9 * result->seconds / (double)result->arrived;
}

double figures_relay_cpu_per_connection(const struct load_options *options,
                                        const struct load_result *result)
{
    return result->relay.connecting_cpu * 1e6 / load_connections(options);
}

double figures_relay_rss_per_connection(const struct load_options *options,
                                        const struct load_result *result)
{
    return ((double)result->relay.rss_connected - (double)result->relay.rss_before) /
           load_connections(options);
}
