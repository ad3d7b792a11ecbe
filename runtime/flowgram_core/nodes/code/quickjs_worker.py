"""The process in which scripts of code nodes run. Each job has a fresh JavaScript context.

The time limit is the server's business: it kills this process. A job has two frames, the script and its parameters, both as
JSON text; so is what an answer holds. `worker_protocol` says how they travel.
"""

import gc
import sys

from flowgram_core.nodes.code import sandbox
from flowgram_core.nodes.code.quickjs_engine import Engine
from flowgram_core.nodes.code.worker_protocol import (
    READY,
    TOO_LARGE,
    read_job,
    split_frames,
    write_answer,
)


def main(arguments: list[str]) -> None:
    """Serves jobs until the input ends.

    Args:
        arguments: Heap and stack of a script in bytes; CPU seconds of a job; length of an answer; address space of this
            process in bytes.
    """
    heap_bytes, stack_bytes, cpu_seconds, answer_bytes, process_bytes = map(int, arguments)
    engine = Engine(heap_bytes, stack_bytes)
    gc.freeze()  # what is there now stays
    try:
        missing = sandbox.enter(process_bytes, stack_bytes)
    except sandbox.ParentGone:
        return
    write_answer(READY, " ".join(missing).encode())
    cpu_time = sandbox.CPUTime(cpu_seconds)
    while cpu_time.renew():
        context = engine.prepare()  # while nobody waits for it
        try:
            job, content = read_job()
        except EOFError:
            return
        script, params = split_frames(content)
        answer = context.run(script, params)
        if len(answer) - 1 > answer_bytes:
            answer = TOO_LARGE
        write_answer(job, answer)
        del content, script, params, answer
        context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
