/* SPDX-License-Identifier: BSD-3-Clause */
/* Forms of texts: each says what was expected, or NULL when the text has the form. */
#ifndef DAEMON_SCHEMA_CHECKS_H
#define DAEMON_SCHEMA_CHECKS_H

const char *check_not_empty(const char *text);
const char *check_socket_path(const char *text); /* "" too */
const char *check_hostname(const char *text);
const char *check_network(const char *text);
const char *check_home(const char *text);
const char *check_node(const char *text);
const char *check_url(const char *text);

#endif
