/* SPDX-License-Identifier: BSD-3-Clause */
/* What the pieces of C in docs/embedding.md take for given; see embedding.sh. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

/* From the first program of the page. */
void check(int result, const char *what);
extern hyperderp_relay *relay;
extern hyperderp_relay_options options;
extern hyperderp_listener_options listener;
extern hyperderp_key key;

/* What the program around the relay has. */
struct directory;
extern struct directory *directory;
bool directory_has(struct directory *directory, const hyperderp_key *key);
void directory_remove(struct directory *directory, const hyperderp_key *key);
extern const char *chain_pem, *key_pem;
extern atomic_bool changes_lost;
int take_command(int fd);
