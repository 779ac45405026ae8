/* SPDX-License-Identifier: BSD-3-Clause */
/* libcurl, which only those need who have clients verified: with what it needs in turn, 1.6 MB. */
#ifndef DAEMON_CURL_LIBRARY_H
#define DAEMON_CURL_LIBRARY_H

#include <curl/curl.h>

/* The oldest that has all options that are set, 7.85; the Makefile asks for it, too. */
#define CURL_OLDEST 0x075500u

/* The functions that are called, without their prefix. */
#define CURL_FUNCTIONS(each)                                                                       \
    each(global_init) each(global_cleanup) each(easy_init) each(easy_setopt) each(easy_getinfo)    \
        each(easy_strerror) each(easy_cleanup) each(slist_append) each(slist_free_all)             \
            each(multi_init) each(multi_add_handle) each(multi_remove_handle) each(multi_perform)  \
                each(multi_poll) each(multi_wakeup) each(multi_info_read) each(multi_cleanup)      \
                    each(version_info)

struct curl_library {
#define CURL_FUNCTION(name) __typeof__(curl_##name) *name;
    CURL_FUNCTIONS(CURL_FUNCTION)
#undef CURL_FUNCTION
};

/* Fixed once it is loaded. */
extern struct curl_library curl;

/* Loads it, the first time. 0, or -ELIBACC with the reason logged. The main thread, before
 * anything of it is called. */
int curl_library_load(void);

#endif
