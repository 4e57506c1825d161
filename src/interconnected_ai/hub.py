"""Folders of models by path or by Hugging Face hub id: fetched when they are not on this machine, uploaded when asked.

And `ONE_NETWORK`, the lock under which transformers makes networks.
"""

import os
import threading
from pathlib import Path
from typing import Any

from interconnected_ai.errors import NotAModelError, StorageError

_WANTED = ["*.json", "*.safetensors", "*.md", "*.txt", "*.jinja", "encoder/*"]  # never pickles

ONE_NETWORK = threading.RLock()
"""Held while transformers makes a network. It switches initial weights and tied ones off for the whole process meanwhile, so
that of two made at once one may lack weights, or have random ones (github.com/huggingface/transformers/pull/44940)."""


def local_folder(folder_or_hub_id: str | Path) -> Path:
    """The folder of a model: the path itself, the model inside a run, or a hub repository fetched to this machine.

    Raises `NotAModelError` for what is neither a path nor a name on the hub.
    """
    if not isinstance(folder_or_hub_id, str | Path):
        raise NotAModelError(
            f"{folder_or_hub_id!r} names no model: needed is a folder, or a repository of the hub as owner/name"
        )
    folder, name = Path(folder_or_hub_id), str(folder_or_hub_id)
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise NotAModelError(f"{name!r} is no path: it holds half a character; check the spelling") from error
    if (folder / "model").is_dir() and not (folder / "config.json").exists():
        return folder / "model"
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise NotAModelError(
            f"no folder at {name!r}, and no such repository could be fetched from the hub ({type(error).__name__}); "
            "check the spelling and the network"
        ) from error


def upload(folder: Path, repo_id: str, *, what: str, private: bool, token: str | None, api: Any = None) -> str:
    """Send a saved model's folder to a hub repository, which is made when it is absent; returns the commit's address.

    what: names the model in the commit's message. api: a `huggingface_hub.HfApi` of the caller's own (another endpoint);
    None is the public hub's. Raises `StorageError` when the hub refuses or is out of reach.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(token=token) if api is None else api
    try:
        hub.create_repo(repo_id, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repo_id, folder_path=folder, allow_patterns=_WANTED, commit_message=f"{what} of interconnected-ai"
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise StorageError(
            f"could not push to {repo_id!r} ({type(error).__name__}: {str(error).splitlines()[0]}); needs owner/name, a "
            "network, and a token that may write (hf auth login, or token=)"
        ) from error
    return str(getattr(done, "commit_url", done))
