/* SPDX-License-Identifier: BSD-3-Clause */
/* What the program does besides running: it prints something and ends. Each returns the exit
 * status. */
#ifndef DAEMON_COMMANDS_H
#define DAEMON_COMMANDS_H

#include "flags.h"

int command_check_config(const struct flags *flags);
int command_print_config(const struct flags *flags);
int command_keygen(const struct flags *flags);
int command_derpmap(const struct flags *flags);

#endif
