/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML 1.1 through libyaml: the part of it that says the same as TOML. Aliases, tags, several
 * documents and keys that are not strings are refused; plain scalars are typed as in the YAML 1.2
 * core schema (true/false, integers, floats, else strings; no yes/no/on/off, and null is refused).
 */
#ifndef DAEMON_YAML_H
#define DAEMON_YAML_H

#include "document.h"
#include "problems.h"

/* Reads a file's bytes into the document's root. A value that is not read is told and left out, and
 * reading goes on behind it, so that several faults are told at once; after one in the syntax it
 * ends. 0; -EINVAL with problems added (the document then holds what could be read); -ENOMEM.
 * `file` names the file in problems. */
int yaml_read(struct document *document, const char *bytes, size_t len, const char *file,
              struct problems *problems);

#endif
