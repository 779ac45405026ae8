/* SPDX-License-Identifier: BSD-3-Clause */
/* A locked list. */
#include "relay/mailbox.h"

#include <stddef.h>

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){0};
    pthread_mutex_init(&mailbox->lock, NULL);
}

void mailbox_destroy(struct mailbox *mailbox)
{
    pthread_mutex_destroy(&mailbox->lock);
}

bool mailbox_post(struct mailbox *mailbox, struct message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    bool open = !mailbox->closed;
    if (open) {
        if (mailbox->head)
            mailbox->tail->next = message;
        else
            mailbox->head = message;
        mailbox->tail = message;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return open;
}

struct message *mailbox_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct message *messages = mailbox->head;
    mailbox->head = NULL;
    pthread_mutex_unlock(&mailbox->lock);
    return messages;
}

bool mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->closed = mailbox->head == NULL;
    bool closed = mailbox->closed;
    pthread_mutex_unlock(&mailbox->lock);
    return closed;
}
