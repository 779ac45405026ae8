/* SPDX-License-Identifier: BSD-3-Clause */
/* The page at / of the metrics address: status_page.html, as it stands in the tree. */
#ifndef DAEMON_STATUS_PAGE_H
#define DAEMON_STATUS_PAGE_H

#include <stddef.h>

extern const char status_page[];
extern const char status_page_end[];

static inline size_t status_page_size(void)
{
    return (size_t)(status_page_end - status_page);
}

#endif
