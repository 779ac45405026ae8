/* SPDX-License-Identifier: BSD-3-Clause */
/* Which fault, and when. */
#include "sabotage.h"

#include "choice.h"
#include "report.h"

enum sabotage sabotage;

const char *const sabotage_names[SABOTAGES] = {
    [SABOTAGE_NONE] = "none",
    [SABOTAGE_LOSE_COMPLETION] = "lose-completion",
    [SABOTAGE_LOSE_WAKE] = "lose-wake",
    [SABOTAGE_LOSE_BYTE] = "lose-byte",
    [SABOTAGE_FLIP_BIT] = "flip-bit",
    [SABOTAGE_SEND_TWICE] = "send-twice",
    [SABOTAGE_SWAP] = "swap-packets",
    [SABOTAGE_LOSE_PACKET] = "lose-packet",
    [SABOTAGE_LEAK] = "leak",
    [SABOTAGE_LEAVE_OPEN] = "leave-open",
    [SABOTAGE_KEEP_CHUNK] = "keep-chunk",
    [SABOTAGE_CLOSE_EARLY] = "close-early",
};

bool sabotage_now(enum sabotage which)
{
    if (sabotage != which || !chance_one_in(20))
        return false;
    trace("sabotage: %s", sabotage_names[which]);
    return true;
}
