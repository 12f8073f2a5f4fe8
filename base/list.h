/* Intrusive doubly linked list. A list is a node that is not in any struct; an unlinked node
 * points to itself or is zeroed. */
#ifndef REMUDA_BASE_LIST_H
#define REMUDA_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Walks from oldest to newest; the body may unlink the current node, not others. */
#define LIST_FOREACH(node, head)                                                                   \
    for (struct list *node = (head)->next, *node##_after = node->next; node != (head);             \
         node = node##_after, node##_after = node->next)

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline bool list_is_linked(const struct list *node)
{
    return node->next && node->next != node;
}

static inline void list_push(struct list *list, struct list *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

static inline void list_unlink(struct list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = node;
}

#endif
