"""The long run: every target for its share of the minutes, with atheris where it is installed, else with Hypothesis.

    python tests/fuzz/fuzz_run.py --minutes 30 [--target avro] [--engine hypothesis]

What fails is kept in the target's corpus as ``crash-...``, where ``test_fuzz.py`` tries it from then on. What atheris
finds interesting is kept in .fuzz, for its next run. Exits with 1 where something failed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
SCRATCH = HERE.parents[1] / ".fuzz"
_LONGEST_INPUT = 4_096
_SECONDS_FOR_ONE = 30
_MEGABYTES = 2_048


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together (10)")
    parser.add_argument("--target", action="append", help="only this one; may be given more than once")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"), help="atheris, where it is installed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    engine = given.engine or ("hypothesis" if importlib.util.find_spec("atheris") is None else "atheris")
    if given.one:
        return (
            with_atheris(given.one, given.minutes) if engine == "atheris" else with_hypothesis(given.one, given.minutes)
        )
    wanted = given.target or sorted(directory.name for directory in CORPUS.iterdir())
    share = given.minutes / len(wanted)
    failed = []
    for target in wanted:
        print(f"{target}: {share * 60:.0f} s with {engine}", flush=True)
        command = [sys.executable, str(Path(__file__)), "--one", target, "--minutes", str(share), "--engine", engine]
        if subprocess.run(command, check=False).returncode:
            failed.append(target)
    print(f"failed: {', '.join(failed)}" if failed else "nothing has failed", flush=True)
    return 1 if failed else 0


def with_atheris(target: str, minutes: float) -> int:
    """Guided by coverage. Does not return: libFuzzer ends the process."""
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["stream_lineage"]):
        from fuzz_targets import TARGETS
    (SCRATCH / target).mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={int(minutes * 60)}",
        f"-max_len={_LONGEST_INPUT}",
        f"-timeout={_SECONDS_FOR_ONE}",
        f"-rss_limit_mb={_MEGABYTES}",
        f"-artifact_prefix={CORPUS / target}/",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(SCRATCH / target), str(CORPUS / target)], TARGETS[target])
    atheris.Fuzz()
    return 0


def with_hypothesis(target: str, minutes: float) -> int:
    """By changes of what is in the corpus, at random."""
    from fuzz_mutation import mutated
    from fuzz_targets import TARGETS
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    deadline = time.monotonic() + minutes * 60
    seeds = [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]
    last = b""

    @settings(max_examples=2_000, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(mutated(seeds), st.binary(max_size=_LONGEST_INPUT)))
    def run(data: bytes) -> None:
        nonlocal last
        last = data
        TARGETS[target](data)

    rounds: Any = iter(lambda: time.monotonic() < deadline, False)
    for _ in rounds:
        try:
            run()
        except BaseException:
            name = f"crash-{hashlib.sha256(last).hexdigest()[:16]}"
            (CORPUS / target / name).write_bytes(last)
            print(f"{target} failed: kept as {name}", flush=True)
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
