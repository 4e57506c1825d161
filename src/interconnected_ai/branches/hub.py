"""What a saved system shows the world, and where it comes from: its README card, its folder or hub repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.branches.branch import BranchCard
from interconnected_ai.branches.encoder import EMBEDDED_ENCODER
from interconnected_ai.config import SystemConfig
from interconnected_ai.errors import NotAModelError, StorageError

_WANTED = ["*.json", "*.safetensors", "*.md", "*.txt", "encoder/*"]  # never pickles


def card_text(config: SystemConfig, cards: Mapping[str, BranchCard], num_params: Mapping[str, int]) -> str:
    """The README of a saved system: every branch with its classes, rows and validation accuracy, and how to load it."""
    rows = "\n".join(
        f"| {card.name} | {card.spec.num_classes} | {card.num_rows} | {card.trained or 'untrained'} | "
        + (f"{card.metrics['accuracy']:.4f} |" if "accuracy" in card.metrics else "– |")
        for card in cards.values()
    )
    return (
        "---\nlibrary_name: interconnected-ai\npipeline_tag: text-classification\n---\n\n"
        f"# A system of {len(cards)} branches on one trunk\n\n"
        f"Encoder: `{config.base_model_name or EMBEDDED_ENCODER}` (frozen). Parameters: {num_params['total']:,}, "
        f"of them {num_params['trunk'] + num_params['encoder_lora']:,} shared and trained.\n\n"
        "| branch | classes | training rows | trained | validation accuracy |\n|---|---|---|---|---|\n"
        f"{rows}\n\n"
        "```python\nfrom interconnected_ai import InterconnectedAISystem\n\n"
        'system = InterconnectedAISystem.from_pretrained("this folder")\n'
        'print(system.predict(["a text"])[0])\n```\n'
    )


def local_folder(folder_or_hub_id: str | Path) -> Path:
    """The folder of a system: the path itself, the model inside a run, or a hub repository fetched to this machine."""
    folder, name = Path(folder_or_hub_id), str(folder_or_hub_id)
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


def upload(folder: Path, repo_id: str, *, private: bool, token: str | None, api: Any = None) -> str:
    """Send a saved system's folder to a hub repository, which is made when it is absent; returns the commit's address.

    api: a `huggingface_hub.HfApi` of the caller's own (another endpoint); None is the public hub's.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(token=token) if api is None else api
    try:
        hub.create_repo(repo_id, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repo_id, folder_path=folder, allow_patterns=_WANTED, commit_message="A system of interconnected-ai"
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise StorageError(
            f"could not push to {repo_id!r} ({type(error).__name__}: {str(error).splitlines()[0]}); needs owner/name, a "
            "network, and a token that may write (hf auth login, or token=)"
        ) from error
    return str(getattr(done, "commit_url", done))
