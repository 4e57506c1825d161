"""What the shell may put in the place of an argument: verbs, runs, branches, experts. Looks at names and small files alone.

Every answer comes while somebody waits for the tab key: no torch, no weights, no search below a few folders, and no error.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

_MOST_FOLDERS = 500  # looked into for one answer
_USUAL_PLACES = {"run": "runs", "expert": "experts"}


class FolderPath(click.Path):
    """A path that the shell completes with folders of one kind: those below what is typed, and those in the usual place."""

    def __init__(self, kind: str, is_one: Callable[[Path], bool]) -> None:
        super().__init__(path_type=Path)
        self._kind, self._is_one = kind, is_one

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The folders of this kind; where there is none, the shell's own folders."""
        found = [CompletionItem(name) for name in dict.fromkeys(self._matching(incomplete))]
        return found or [CompletionItem(incomplete, type="dir")]

    def _matching(self, incomplete: str) -> Iterator[str]:
        typed = Path(incomplete)
        above = typed if incomplete.endswith("/") else typed.parent
        places = [above] if incomplete else [Path(), Path(_USUAL_PLACES[self._kind])]
        for place in places:
            for folder in _folders_in(place):
                inside = () if self._is_one(folder) else _folders_in(folder)
                for each in (folder, *inside):
                    if str(each).startswith(incomplete) and self._is_one(each):
                        yield str(each)


class RunPath(FolderPath):
    """A run, or a model that was saved."""

    def __init__(self) -> None:
        super().__init__("run", lambda folder: (folder / "run.yaml").is_file() or _is_model(folder, tokenizer=False))


class ExpertPath(FolderPath):
    """An expert's folder, of any kind that its files tell."""

    def __init__(self) -> None:
        super().__init__("expert", _is_expert)


class BranchName(StringParamType):
    """A branch of the run that the command names."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The branches of the run, as its model's config has them."""
        # Where the option has no value yet, click has not come to the arguments.
        given = ctx.params.get("run") or next((word for word in ctx.args if not word.startswith("-")), None)
        if given is None:
            return []
        run = Path(given)
        names = _branches_in(run / "model" / "config.json") or _branches_in(run / "config.json")
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Verb(StringParamType):
    """A verb of `iai`, or of the verb before it."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The verbs that may stand there."""
        root = ctx.find_root()
        group: click.Command | None = root.command
        for name in ctx.params.get(param.name or "") or ():
            group = group.get_command(root, name) if isinstance(group, click.Group) else None
        if not isinstance(group, click.Group):
            return []
        return [CompletionItem(name) for name in group.list_commands(root) if name.startswith(incomplete)]


def _folders_in(place: Path) -> list[Path]:
    """The folders in a folder, by name; none where they cannot be seen."""
    try:
        inside = sorted(each for each in place.iterdir() if not each.name.startswith(".") and each.is_dir())
    except OSError:
        return []
    return inside[:_MOST_FOLDERS]


def _is_expert(folder: Path) -> bool:
    """One of ours, an adapter, or the description of a server."""
    others = ("adapter_config.json", "remote.json")
    return _is_model(folder, tokenizer=True) or any((folder / name).is_file() for name in others)


def _is_model(folder: Path, *, tokenizer: bool) -> bool:
    """Whether a model of ours stands there, with a tokenizer of its own (an expert) or without (a system)."""
    has_both = (folder / "config.json").is_file() and (folder / "manifest.json").is_file()
    return has_both and (folder / "tokenizer.json").is_file() == tokenizer


def _branches_in(config: Path) -> list[str]:
    try:
        content: Any = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(name) for name in _names(content)]


def _names(content: Any) -> Iterator[Any]:
    branches = content.get("system", content).get("branches", []) if isinstance(content, dict) else []
    return (branch.get("name") for branch in branches if isinstance(branch, dict))
