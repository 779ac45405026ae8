/* SPDX-License-Identifier: BSD-3-Clause */
/* The Damerau-Levenshtein distance, with three rows. */
#include "nearest.h"

#include <string.h>

#define MAX_NAME 63
#define FAR      1000

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned nearest_distance(const char *a, const char *b)
{
    unsigned rows[3][MAX_NAME + 1];
    size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len > MAX_NAME || b_len > MAX_NAME)
        return FAR;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned change = a[i - 1] != b[j - 1];
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

int nearest_is_near(const char *typed, unsigned distance)
{
    return distance <= 1 + strlen(typed) / 4;
}
