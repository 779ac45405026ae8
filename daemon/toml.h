/* SPDX-License-Identifier: BSD-3-Clause */
/* TOML 1.0 (https://toml.io/en/v1.0.0), all of it. */
#ifndef DAEMON_TOML_H
#define DAEMON_TOML_H

#include "document.h"
#include "problems.h"

/* Reads a file's bytes into the document's root. After a fault it goes on at the next line, so that
 * several are told at once. 0; -EINVAL with problems added (the document is then of no use);
 * -ENOMEM. `file` names the file in problems. */
int toml_read(struct document *document, const char *bytes, size_t len, const char *file,
              struct problems *problems);

#endif
