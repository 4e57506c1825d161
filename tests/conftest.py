"""A tiny encoder built in memory stands where others download one; real data is used where it is present."""

import gc
import os
import time
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.config import BranchSpec
from interconnected_ai.data import Rows
from properties import PROFILE

WORDS = (
    "bank card money account loan pay transfer cash balance fee rain sun snow wind storm cloud cold hot warm fog "
    "cat dog horse bird fish cow sheep lion tiger bear the a of in on my is was will please tell show me now today"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOPICS = {"money": WORDS[:10], "weather": WORDS[10:20], "animals": WORDS[20:30]}
FILLERS = WORDS[30:]

pytest_plugins = ["memory_stores", "serving.browser.browsing"]  # fixtures of both stores, and of the page

# Tiny products gain nothing from a second thread and lose much by waiting for it.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # nor those of commands that tests start
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TZ"] = "UTC"  # wherever the tests run: the zone of this machine is the default for printed days
time.tzset()


def make_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def make_encoder(seed: int = 0, max_seq_len: int = 32) -> Encoder:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    return Encoder(BertModel(config, add_pooling_layer=False), make_tokenizer(), max_seq_len=max_seq_len)


def make_rows(branch: str, count: int, *, seed: int = 0, marker: str = "") -> Rows:
    """Sentences whose topic words say their class."""
    random = torch.Generator().manual_seed(seed)

    def pick(words: list[str], number: int) -> list[str]:
        return [words[i] for i in torch.randint(len(words), (number,), generator=random).tolist()]

    texts, labels = [], []
    for row in range(count):
        topic = list(TOPICS)[row % len(TOPICS)]
        words = [*pick(TOPICS[topic], 3), *pick(FILLERS, 1 + row % 5), *pick(TOPICS[topic], 1)]
        texts.append(" ".join([*words, marker]).strip())
        labels.append(topic)
    return Rows.of_branch(branch, texts, labels)


def spec(name: str, *labels: str) -> BranchSpec:
    return BranchSpec.from_mapping({"name": name, "labels": labels or ("animals", "money", "weather")})


def make_system(*names: str, encoder: Encoder | None = None, **settings: object) -> InterconnectedAISystem:
    return InterconnectedAISystem(
        num_experts=4,
        branches=[spec(name) for name in names],
        encoder=encoder or make_encoder(),
        **{"max_seq_len": 32, "d_ff": 48, **settings},
    )


def randomize(system: InterconnectedAISystem, seed: int = 1) -> InterconnectedAISystem:
    """Give every trained tensor random values, so that nothing stands at its initial zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in system.named_parameters():
            if not name.startswith("encoder.") or ".lora." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return system


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the garbage collector need not walk through a million objects of theirs."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    return f"properties: {PROFILE}"


@pytest.fixture
def encoder() -> Encoder:
    return make_encoder()


def save_encoder(folder: Path) -> Path:
    """A Hugging Face encoder on disk, as a user would have it."""
    made = make_encoder()
    made.model.save_pretrained(folder)  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    return save_encoder(tmp_path / "tiny-bert")


@pytest.fixture
def shared_data() -> Path:
    """Public data sets beside the checkout; tests that need them skip where they are absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, which is not beside this checkout")
    return folder


@pytest.fixture
def no_optional_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an extra would bring is not installed."""

    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("interconnected_ai.extras.import_module", absent)
