/* SPDX-License-Identifier: BSD-3-Clause */
/* What works here, found out by trying. */
#include <hyperderp/version.h>

#include "io/loop.h"
#include "tls/gcm.h"
#include "tls/ktls.h"

/* Receive chunks of a loop that is only made to be freed. */
#define FEW_CHUNKS 8

static bool has_io_uring(void)
{
    struct io_loop *loop;

    if (io_loop_new(&loop, IO_ENGINE_URING, FEW_CHUNKS, false) != 0)
        return false;
    io_loop_free(loop);
    return true;
}

bool hyperderp_has_feature(hyperderp_feature feature)
{
    struct ktls_support ktls;

    switch (feature) {
    case HYPERDERP_FEATURE_IO_URING:
        return has_io_uring();
    case HYPERDERP_FEATURE_KTLS:
        return ktls_probe(&ktls) == 0;
    case HYPERDERP_FEATURE_KTLS_KEY_UPDATE:
        return ktls_probe(&ktls) == 0 && ktls.updates;
    case HYPERDERP_FEATURE_IPSEC_MB:
        return gcm_works();
    }
    return false;
}
