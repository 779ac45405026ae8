/* SPDX-License-Identifier: BSD-3-Clause */
/* The program: runs seeds, and says which one has failed. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "report.h"
#include "simulation.h"

int main(int argc, char **argv)
{
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, to = argc > 2 ? strtoull(argv[2], NULL, 0) : from;
    report_traces = from == to;
    simulation_prepare();
    for (uint64_t s = from; s <= to; s++) {
        if (from!=to) fprintf(stderr, "\rseed %" PRIu64 " ", s);
        simulation_run(s, NULL, 0, SABOTAGE_NONE);
    }
    for (int i = 0; i < FAULTS; i++)
        printf("%s: %" PRIu64 "\n", fault_names[i], report.faults[i]);
    printf("sent %" PRIu64 " got %" PRIu64 " conns %" PRIu64 " turns %" PRIu64 "\n", report.packets_sent,
           report.packets_got, report.connections, report.turns);
    return 0;
}
