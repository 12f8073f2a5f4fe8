/* Named points where a test makes a call fail. REMUDA_FAULT="name:errno[:skip[:count]],…" is read
 * at the first use; the points exist only in builds with REMUDA_DEBUG and cost nothing in release.
 */
#ifndef REMUDA_BASE_FAULT_H
#define REMUDA_BASE_FAULT_H

#ifdef REMUDA_DEBUG
/* Returns 0 to go on, or the positive errno with which the call named `point` shall fail now. */
int fault_check(const char *point);
#define FAULT(point) fault_check(point)
#else
#define FAULT(point) 0
#endif

#endif
