"""What the same hand-off costs in Python, for bench/handoff: one process asks another to take a
payload and say how long it is.

  pool   concurrent.futures.ProcessPoolExecutor: the payload is an argument, pickled into a pipe
  shm    the same pool, the payload in a multiprocessing.shared_memory that both keep open: it is
         copied in by who asks, and only its name is an argument

Nobody looks at the octets but to copy them. Pinned and paused as handoff.c does it. Prints a line for
each way and size: way, octets, microseconds of the round trip (p50, p99), CPU of each process.

Usage: handoff_peers.py ROUNDS PAUSE_US OCTETS...
"""

import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, resource_tracker, shared_memory

BYTES_MAX = 2_000_000_000  # of one measurement: large payloads have fewer rounds
ROUNDS_MIN = 10

kept = {}  # in the worker: shared memory that is open there


def cpus():
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1 % len(allowed)]


def begin_worker(cpu):
    os.sched_setaffinity(0, {cpu})


def cpu_us():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


def take_payload(payload):
    return len(payload)


def take_name(name, size):
    if name not in kept:
        kept[name] = shared_memory.SharedMemory(name=name)
    return len(kept[name].buf[:size])


def measure(way, pool, size, rounds, pause_s, ask):
    rounds = max(ROUNDS_MIN, min(rounds, BYTES_MAX // size))
    for _ in range(5):
        ask()
    laps = []
    here, there = cpu_us(), pool.submit(cpu_us).result()
    for _ in range(rounds):
        time.sleep(pause_s)
        before = time.perf_counter_ns()
        if ask() != size:
            sys.exit(f"{way}: another length came back")
        laps.append((time.perf_counter_ns() - before) / 1e3)
    here, there = cpu_us() - here, pool.submit(cpu_us).result() - there
    laps.sort()
    p99 = laps[rounds - 1 - rounds // 100]
    print(f"{way} {size} {laps[rounds // 2]:.1f} {p99:.1f} {here / rounds:.1f} {there / rounds:.1f}",
          flush=True)


def main():
    rounds, pause_s = int(sys.argv[1]), int(sys.argv[2]) / 1e6
    sizes = [int(size) for size in sys.argv[3:]]
    mine, others = cpus()
    resource_tracker.ensure_running()  # one for both, else the worker's complains at its end
    with ProcessPoolExecutor(1, get_context("fork"), begin_worker, (others,)) as pool:
        pool.submit(cpu_us).result()
        os.sched_setaffinity(0, {mine})
        for size in sizes:
            payload = b"b" * size
            measure("pool", pool, size, rounds, pause_s,
                    lambda: pool.submit(take_payload, payload).result())
        for size in sizes:
            payload = b"b" * size
            memory = shared_memory.SharedMemory(create=True, size=size)

            def ask():
                memory.buf[:size] = payload
                return pool.submit(take_name, memory.name, size).result()

            measure("shm", pool, size, rounds, pause_s, ask)
            memory.close()
            memory.unlink()


if __name__ == "__main__":
    main()
