"""`python -m fuzz TARGET`: looks for bytes that break a target, and keeps those that reach something new.

The targets classify, challenge and engine are the native engine's (native/fuzz), fuzzed by libFuzzer; stun, relay and
envelope are Python's, fuzzed by atheris, which `make fuzz` installs.
"""

import argparse
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from fuzz.corpora import corpus_of, pack, unpack

ROOT = Path(__file__).resolve().parents[1]
NATIVE, PYTHON = ("classify", "challenge", "engine"), ("stun", "relay", "envelope")
#: What is kept between runs: everything that was found interesting, and what broke a target.
WORK = ROOT / ".fuzz"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    top.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"{', '.join((*NATIVE, *PYTHON))}; all of them if none"
    )
    top.add_argument("--seconds", type=int, default=60, help="for each target; 0 is no limit")
    top.add_argument("--runs", type=float, default=-1, help="for each target, as in 1e8; -1 is no limit")
    top.add_argument("--length", type=int, default=128, help="bytes that an input has at most")
    top.add_argument(
        "--keep", action="store_true", help="puts the smallest corpus that reaches as much into fuzz/corpora"
    )
    return top


def main() -> int:
    """Exit status 0, or that of the first fuzzer that found something or could not run."""
    options = parser().parse_args()
    asked = options.targets or [*NATIVE, *PYTHON]
    if unknown := set(asked) - {*NATIVE, *PYTHON}:
        parser().error(f"no such target: {', '.join(sorted(unknown))}")
    if set(asked) & set(NATIVE) and (status := _build()):
        return status
    for target in asked:
        found, status = WORK / target, _run(target, options)
        if status:
            return status
        if options.keep:
            _keep(target, found, options.length)
    return 0


def _build() -> int:
    """Compiles the native targets with coverage; the stable compiler does it."""
    flags = {"RUSTFLAGS": "--cfg fuzzing", "RUSTC_WORKSPACE_WRAPPER": str(ROOT / "tools" / "instrument")}
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--package", "fuzz", "--bins"]
    settings = ["--config", 'profile.release.lto="off"', "--config", 'profile.release.debug="line-tables-only"']
    try:
        place = ["--target", _host(), "--target-dir", "target/fuzz"]
        built = subprocess.run([*command, *settings, *place], cwd=ROOT / "native", env=os.environ | flags, check=False)
    except FileNotFoundError:
        print("the native targets want Rust (https://rustup.rs brings it)", file=sys.stderr)
        return 1
    return built.returncode


@cache
def _host() -> str:
    """The platform that this machine's compiler builds for by itself; raises FileNotFoundError."""
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return next(line.removeprefix("host: ") for line in version.splitlines() if line.startswith("host: "))


def _fuzzer(target: str) -> list[str]:
    if target in NATIVE:
        return [str(ROOT / "native" / "target" / "fuzz" / _host() / "release" / target)]
    return [sys.executable, "-m", "fuzz.coverage", target]


def _run(target: str, options: argparse.Namespace) -> int:
    unpack(corpus_of(target), WORK / target)
    broken = WORK / "broken"
    broken.mkdir(exist_ok=True)
    limits = [f"-max_total_time={options.seconds}", f"-runs={int(options.runs)}", f"-max_len={options.length}"]
    command = [*_fuzzer(target), str(WORK / target), *limits, f"-artifact_prefix={broken}/{target}-"]
    print(" ".join(command))
    return subprocess.run([*command, "-print_final_stats=1"], cwd=ROOT, check=False).returncode


def _keep(target: str, found: Path, length: int) -> None:
    if target in NATIVE:
        # The fewest inputs that reach as much; atheris cannot merge, and finds few.
        small = WORK / f"{target}.small"
        shutil.rmtree(small, ignore_errors=True)
        small.mkdir()
        merge = [*_fuzzer(target), "-set_cover_merge=1", f"-max_len={length}", str(small), str(found)]
        subprocess.run(merge, cwd=ROOT, check=True)
        found = small
    print(f"{target}: {pack(found, corpus_of(target))} inputs are kept in {corpus_of(target)}")


if __name__ == "__main__":
    sys.exit(main())
