/* What timing needs besides the timed: a clock, and how busy others keep the machine meanwhile. */
#ifndef DRIVER_CLOCK_H
#define DRIVER_CLOCK_H

double pare_now_ms(void); /* of a monotonic clock */

/* The machine at one moment. */
typedef struct pare_moment {
    double ms;
    double all, own; /* seconds that all processes, and this one, have used so far; all < 0: the
                        system does not tell */
} pare_moment;
pare_moment pare_moment_now(void);
/* Processors that other processes used since then, on average; -1 where the system does not tell.
 */
double pare_foreign_since(const pare_moment *start);

#endif
