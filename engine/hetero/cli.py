"""The command ``hetero VERB ...``, made from the settings of each verb."""

import contextlib
import dataclasses
import json
import os
import sys
import traceback
import warnings
from typing import Annotated, Any

import hetero
from hetero.errors import Cancelled, HeteroError, is_out_of_memory, printable, refusal_of_system
from hetero.progress import Progress, silent

# The verbs, and with them numpy and pandas, are imported inside main(), where Ctrl-C already has its sentence.

DONE, BAD_INPUT, BUG, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns 0 (done), 1 (bad input), 2 (a bug of ours) or 130 (stopped by Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    verb = arguments[0] if arguments else "--help"
    warnings.showwarning = _say_warning
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Å shows ? in its place
    try:
        if verb in ("-h", "--help"):
            print(_overview())
            return DONE
        if verb == "--version":
            print(f"hetero {hetero.__version__}")
            return DONE
        if verb == "serve" and len(arguments) == 1:
            from hetero.serve import serve

            return serve()
        return _run(verb, arguments[1:])
    except BrokenPipeError:
        # Whoever read our answer has left (hetero info maps | head). Python would complain again at its exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except HeteroError as error:
        print(f"hetero {verb}: {error}", file=sys.stderr)
        return BAD_INPUT
    except (KeyboardInterrupt, Cancelled) as stopped:
        print(f"hetero {verb}: {str(stopped) or 'stopped; nothing half-written was left.'}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # the last door: a bug shows its traceback, and says so
        if is_out_of_memory(error):
            print(f"hetero {verb}: this needs more memory than the machine gives it.", file=sys.stderr)
            return BAD_INPUT
        if refusal := refusal_of_system(error):
            print(f"hetero {verb}: {refusal}", file=sys.stderr)
            return BAD_INPUT
        traceback.print_exc()
        print(
            f"hetero {verb}: this is a bug in Hetero, not in your data; please report the lines above.",
            file=sys.stderr,
        )
        return BUG


def _run(verb: str, arguments: list[str]) -> int:
    from hetero.commands import load

    module = load(verb)
    options = _parse(verb, module.Settings, arguments)
    settings = module.Settings(**{f.name: getattr(options, f.name) for f in dataclasses.fields(module.Settings)})
    speaks = _leads()
    if options.quiet or options.json or not speaks:
        result = module.run(settings, silent)
    else:
        with _ProgressBar() as progress:
            result = module.run(settings, progress)
    if not speaks:
        return DONE
    if options.json:
        print(json.dumps(result, allow_nan=False))
    elif not options.quiet:
        print("\n".join(map(printable, module.describe(result).split("\n"))))
    failed = [row["error"] for row in result.get("maps", []) if "error" in row]
    for sentence in failed if options.quiet else []:
        print(f"hetero {verb}: {sentence}", file=sys.stderr)
    return BAD_INPUT if failed else DONE


def _leads() -> bool:
    """Whether this process answers: of those that ``torchrun`` starts for one training, the first."""
    return os.environ.get("RANK", "0") == "0"


def _parse(verb: str, settings: type, arguments: list[str]) -> Any:
    """The verb's settings plus ``--json`` and ``--quiet``, from the command line."""
    import tyro

    from hetero.commands import settings_types

    types = settings_types(settings)
    fields = []
    for f in dataclasses.fields(settings):
        kind = tyro.conf.Positional[types[f.name]] if f.metadata.get("positional") else types[f.name]
        if "flag" in f.metadata:
            kind = Annotated[kind, tyro.conf.arg(name=f.metadata["flag"])]
        fields.append((f.name, kind, dataclasses.field(default=f.default)))
    fields += [("json", bool, dataclasses.field(default=False)), ("quiet", bool, dataclasses.field(default=False))]
    options = dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)
    options.__doc__ = settings.__doc__.rstrip() + (
        "\n        json: Answer in JSON, for programs.\n        quiet: Print only what went wrong.\n"
    )
    try:
        return tyro.cli(options, prog=f"hetero {verb}", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as leaving:
        # argparse's habit is 2 for a wrong flag; ours is 1 for bad input.
        raise SystemExit(BAD_INPUT if leaving.code else DONE) from None


class _ProgressBar:
    """A bar on stderr that follows ``progress(done, total, message)``."""

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        bar_format = "{desc} {bar:30} {n_fmt}/{total_fmt} {elapsed}"
        # disable=None: no bar where stderr is a file or a pipe.
        self._bar = tqdm(total=1, leave=False, file=sys.stderr, disable=None, bar_format=bar_format, delay=0.3)
        return self._update

    def _update(self, done: int, total: int, message: str) -> None:
        self._bar.total = total
        self._bar.n = done
        self._bar.set_description_str(message, refresh=False)
        if not self._bar.disable and (
            total == 0 or done >= total or self._bar.format_dict["elapsed"] - self._drawn > 0.1
        ):
            self._drawn = self._bar.format_dict["elapsed"]
            self._bar.refresh()

    _drawn = 0.0

    def __exit__(self, *exception) -> None:
        self._bar.close()


def _say_warning(message, category, filename, lineno, file=None, line=None) -> None:
    from hetero.maps import MapWarning

    if not _leads():
        return
    if issubclass(category, MapWarning):
        print(f"warning: {printable(str(message))}", file=sys.stderr)
    else:
        print(f"warning: {category.__name__}: {message} ({filename}:{lineno})", file=sys.stderr)


def _overview() -> str:
    from hetero.commands import VERBS

    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {line}" for verb, line in VERBS.items())
    return (
        "Heterogeneity of protein complexes in cryo-EM.\n\n"
        f"usage: hetero VERB ...\n\n{verbs}\n  {'serve':{width}}  answer requests from ChimeraX (JSON lines)\n\n"
        "hetero VERB --help tells the settings of a verb. Every verb takes --json and --quiet.\n"
        "Exit status: 0 done, 1 bad input, 2 a bug, 130 stopped by Ctrl-C."
    )
