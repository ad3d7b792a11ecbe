"""The process in which types are stripped from scripts: what parses foreign text stays away from the server.

A job is a script in UTF-8. The answer is the script as JavaScript, or what is wrong with it.
"""

from flowgram_core.nodes.code import sandbox
from flowgram_core.nodes.code.type_stripping import Refused, load_parser, strip_types
from flowgram_core.nodes.code.worker_protocol import ERROR, READY, VALUE, read_job, write_answer


def main(arguments: list[str]) -> None:
    """Serves jobs until the input ends.

    Args:
        arguments: Where the parser's packages are; CPU seconds of a job; address space of this process in bytes.
    """
    directory, cpu_seconds, process_bytes = arguments
    parse = load_parser(directory)
    try:
        missing = sandbox.enter(int(process_bytes), 0)
    except sandbox.ParentGone:
        return
    write_answer(READY, " ".join(missing).encode())
    cpu_time = sandbox.CPUTime(int(cpu_seconds))
    while cpu_time.renew():
        try:
            job, content = read_job()
        except EOFError:
            return
        try:
            answer = VALUE + strip_types(parse, content.decode("utf-8", "surrogatepass")).encode(
                "utf-8", "surrogatepass"
            )
        except Refused as refused:
            answer = ERROR + str(refused).encode()
        except MemoryError:
            answer = ERROR + b"out of memory"
        write_answer(job, answer)
