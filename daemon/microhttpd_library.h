/* SPDX-License-Identifier: BSD-3-Clause */
/* libmicrohttpd, which only the metrics address needs: with GnuTLS, which it needs, 2.3 MB. */
#ifndef DAEMON_MICROHTTPD_LIBRARY_H
#define DAEMON_MICROHTTPD_LIBRARY_H

#include <microhttpd.h>

/* The functions that are called, without their prefix. */
#define MICROHTTPD_FUNCTIONS(each)                                                                 \
    each(is_feature_supported) each(start_daemon) each(stop_daemon) each(get_daemon_info)          \
        each(get_timeout) each(run) each(create_response_from_buffer) each(add_response_header)    \
            each(queue_response) each(destroy_response)

struct microhttpd_library {
#define MICROHTTPD_FUNCTION(name) __typeof__(MHD_##name) *name;
    MICROHTTPD_FUNCTIONS(MICROHTTPD_FUNCTION)
#undef MICROHTTPD_FUNCTION
};

/* Fixed once it is loaded. */
extern struct microhttpd_library mhd;

/* Loads it, the first time. 0, or -ELIBACC with the reason logged. The main thread, before
 * anything of it is called. */
int microhttpd_library_load(void);

#endif
