/* SPDX-License-Identifier: BSD-3-Clause */
/* Placeholders of the integration branch, so that the daemon links: each goes with its real code.
 */
#include <errno.h>

#include <hyperderp/hyperderp.h>

int hyperderp_relay_set_limits(hyperderp_relay *relay, const hyperderp_limits *limits)
{
    (void)relay, (void)limits;
    return -ENOSYS;
}
void hyperderp_relay_set_log_level(hyperderp_relay *relay, hyperderp_log_level level)
{
    (void)relay, (void)level;
}
void hyperderp_relay_wake(hyperderp_relay *relay)
{
    (void)relay;
}
const char *hyperderp_connection_state_name(hyperderp_connection_state state)
{
    (void)state;
    return "unknown";
}
const char *hyperderp_refusal_name(hyperderp_refusal reason)
{
    (void)reason;
    return "unknown";
}
int hyperderp_relay_worker(const hyperderp_relay *relay, unsigned worker,
                           hyperderp_worker_info *out)
{
    (void)relay, (void)worker, (void)out;
    return -ENOSYS;
}
int hyperderp_relay_peers_sized(const hyperderp_relay *relay, hyperderp_peer_info **out,
                                size_t *count, size_t size)
{
    (void)relay, (void)out, (void)count, (void)size;
    return -ENOSYS;
}
void hyperderp_peers_free(hyperderp_peer_info *peers)
{
    (void)peers;
}
