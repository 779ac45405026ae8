/* SPDX-License-Identifier: BSD-3-Clause */
/* Puts the page into the program. The Makefile runs the compiler at the top of the tree, and knows
 * that this depends on the page. */
#include "status_page.h"

__asm__(".section .rodata\n"
        ".global status_page\n"
        "status_page:\n"
        ".incbin \"daemon/status_page.html\"\n"
        ".global status_page_end\n"
        "status_page_end:\n"
        ".byte 0\n"
        ".previous\n");
