"""How this run was started and with which options, so that printed commands can say it again."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from argparse import Action, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# Options of pytest and of well-known plugins that decide how a run is shown, spread or cut short, not which tests there
# are or what they find; by the names under which the parser stores them. All others, a project's own among them, are
# said again: a test that needs --runslow to run needs it when it runs alone.
_SHOWN = """
verbose showcapture capture tbstyle showlocals reportchars durations durations_min color code_highlight no_header
no_summary fold_skipped force_short_summary disable_warnings fulltrace pastebin traceconfig debug log_cli_level
log_cli_format log_cli_date_format xmlpath junitprefix report_log htmlpath css self_contained_html metadata
metadata_from_json metadata_from_json_file no_cov_on_fail htp_report
"""
# Which tests, where that is not said by the test's own id: needed to run all of them again.
_NARROWING = """
deselect ignore ignore_glob lf last_failed_no_failures splits group durations_path splitting_algorithm num_shards
shard_id testmon testmon_forceselect picked
"""
_CUT_SHORT = """
keepduplicates failedfirst newfirst stepwise stepwise_skip stepwise_reset maxfail cacheclear cacheshow collectonly
setuponly setupshow setupplan usepdb usepdb_cls trace basetemp continue_on_collection_errors store_durations
clean_durations htp_prune htp_cache_verify
"""
_SPREAD = """
numprocesses maxprocesses maxworkerrestart maxschedchunk dist distload tx px rsyncdir rsyncignore testrunuid
loadscopereorder looponfail
"""
_OF_THIS_RUN_ONLY = frozenset(f"{_SHOWN} {_CUT_SHORT} {_SPREAD}".split())
# syrupy's and pytest-cov's, which are many.
_OF_THIS_RUN_ONLY_BEGIN = ("--snapshot-", "--cov")
_PLUGINS_OF_THIS_RUN_ONLY = ("no:faulthandler", "no:cacheprovider")
_NO_VALUE_BEHIND = ("htp_report", "htp_cache")  # see plugin.pytest_load_initial_conftests

_KEY = pytest.StashKey["Typed"]()
_WORKER_KEY = "htp_launcher"


@dataclass(frozen=True)
class Typed:
    """The words of the command line that started this run.

    Attributes:
        launcher: ``pytest``, or ``python -m pytest``.
        options: those that are to be said again, as typed.
        places: files, folders and node ids.
        open_ended: whether an option takes all the words behind it, so that places go first.
        keyword: ``-k`` as typed.
        override: the same where there is a configured ``-k`` that it overrides.
        narrowing: other options that leave tests out, as typed.
    """

    launcher: tuple[str, ...]
    options: tuple[str, ...]
    places: tuple[str, ...]
    open_ended: bool
    keyword: tuple[str, ...]
    override: tuple[str, ...]
    narrowing: tuple[str, ...]

    @classmethod
    def of(cls, config: pytest.Config) -> Typed:
        """The words of this run, read at the first call; on xdist's workers those of the controller."""
        if _KEY not in config.stash:
            config.stash[_KEY] = _read(config)
        return config.stash[_KEY]

    def command(self, *places: str, more: Sequence[str] = (), selection: Sequence[str] = ()) -> str:
        """A command line for a shell: of places that are quoted where needed, what was typed, and ``more`` options."""
        options = [shlex.quote(word) for word in (*self.options, *selection)]
        words = [*places, *options] if self.open_ended else [*options, *places]
        return " ".join([*map(shlex.quote, self.launcher), *words, *more])


def hand_on(config: pytest.Config, workerinput: dict[str, object]) -> None:
    """On the controller: give a worker what pytest was started with; it gets the options by itself."""
    workerinput[_WORKER_KEY] = list(Typed.of(config).launcher)


def _read(config: pytest.Config) -> Typed:
    given = getattr(config, "workerinput", {}).get(_WORKER_KEY)
    launcher = tuple(given) if given is not None else _launcher(config)
    known: Mapping[str, Action] = getattr(config._parser.optparser, "_option_string_actions", {})
    options: list[str] = []
    places: list[str] = []
    keyword: list[str] = []
    narrowing: list[str] = []
    open_ended = False
    for action, words in _groups(_expanded(config.invocation_params.args), known):
        if action is None and not words[0].startswith("-"):
            places += words
        elif action is not None and action.dest == "keyword":
            keyword += words
        elif action is not None and _narrows(action, known):
            narrowing += words
        elif not _is_of_this_run_only(action, words):
            options += words
            open_ended |= action is not None and action.nargs in ("*", "+", "?") and "=" not in words[0]
    override = keyword if _keyword_is_configured(config) else []
    return Typed(launcher, tuple(options), tuple(places), open_ended, tuple(keyword), tuple(override), tuple(narrowing))


def _keyword_is_configured(config: pytest.Config) -> bool:
    """Whether ``addopts`` has a ``-k``, which would deselect a test again that was selected by another one."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-k")
    words = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    return bool(parser.parse_known_args(words)[0].k)


def _narrows(action: Action, known: Mapping[str, Action]) -> bool:
    if action.dest == "group" and "--splits" not in known:
        return False  # a project's own: pytest-split's comes with --splits
    return action.dest in _NARROWING.split()


def _is_of_this_run_only(action: Action | None, words: Sequence[str]) -> bool:
    if words[0].startswith(_OF_THIS_RUN_ONLY_BEGIN) or words[-1].removeprefix("-p") in _PLUGINS_OF_THIS_RUN_ONLY:
        return True
    return action is not None and action.dest in _OF_THIS_RUN_ONLY


def _expanded(words: Sequence[str | os.PathLike[str]]) -> Iterator[str]:
    """The words, those of an ``@file`` instead of its name."""
    for word in map(str, words):
        if not word.startswith("@"):
            yield word
            continue
        try:
            yield from Path(word[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            yield word


def _groups(given: Iterator[str], known: Mapping[str, Action]) -> Iterator[tuple[Action | None, list[str]]]:
    """Each option with its values, and each place, as argparse would part them."""
    words = list(given)
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            yield from ((None, [place]) for place in words[position:])
            return
        if not word.startswith("-") or word == "-":
            yield None, [word]
            continue
        name, equals, _ = word.partition("=")
        if word.startswith("--") or word in known:
            action = known.get(name)
            count = 0 if action is None or equals else _values(action, words[position:])
            yield action, [word, *words[position : position + count]]
            position += count
            continue
        # Letters in one word: flags, the last of which may have its value behind it.
        letters = word[1:]
        while letters:
            flag, letters = f"-{letters[0]}", letters[1:]
            action = known.get(flag)
            if action is not None and action.nargs == 0:
                yield action, [flag]
                continue
            count = 0 if action is None or letters else _values(action, words[position:])
            yield action, [flag + letters, *words[position : position + count]]
            position += count
            break


def _values(action: Action, following: Sequence[str]) -> int:
    """How many of the following words are an option's values."""
    if isinstance(action.nargs, int):
        return action.nargs
    if action.nargs is None:
        return 1
    if action.dest in _NO_VALUE_BEHIND:
        return 0
    free = next((count for count, word in enumerate(following) if word.startswith("-")), len(following))
    return min(free, 1) if action.nargs == "?" else free


def _launcher(config: pytest.Config) -> tuple[str, ...]:
    if sys.argv[1:] != [str(word) for word in config.invocation_params.args]:
        return ("pytest",)  # pytest.main() in some program
    program = Path(sys.argv[0])
    here = config.invocation_params.dir
    if program.name != "__main__.py":
        return (_as_called(sys.argv[0], here),) if program.stem in ("pytest", "py.test") else ("pytest",)
    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    if words[-2:] != ["-m", "pytest"] or any(not word.startswith("-") for word in words[1:-2][::2]):
        words = [sys.executable, "-m", "pytest"]  # started by another program, such as coverage
    return (_as_called(words[0], here), *words[1:])


def _as_called(program: str, here: Path) -> str:
    """A program as it can be called in this shell and folder: by its name where that finds it."""
    path = Path(program)
    if not path.is_absolute():
        return program
    found = shutil.which(path.name)
    if found is not None and Path(found) == path:
        return path.name
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else program
