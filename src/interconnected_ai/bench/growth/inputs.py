"""What the verbs are given: seeded words, rows, a tiny encoder, systems and experts, all made in memory."""

import random
from functools import cache
from typing import Any

import torch

from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.config import BranchSpec, TrainingConfig
from interconnected_ai.data import Rows
from interconnected_ai.experts import Expert, ExpertModel
from interconnected_ai.text import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LABELS = ("first", "second", "third")
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()
_CPU = {"device": "cpu", "precision": "float32", "monitors": []}


@cache
def vocabulary() -> tuple[str, ...]:
    """Two thousand words of two to four syllables."""
    luck = random.Random(0)
    return tuple(sorted({"".join(luck.choices(_SYLLABLES, k=luck.randint(2, 4))) for _ in range(2000)}))


def texts(count: int, *, words: int = 12, seed: int = 0) -> list[str]:
    """Sentences of about `words` words."""
    luck = random.Random(f"{seed} {words}")
    return [
        " ".join(luck.choices(vocabulary(), k=luck.randint(words // 2, words + words // 2))) + "." for _ in range(count)
    ]


def rows(num_branches: int, per_branch: int, *, seed: int = 0) -> Rows:
    """Rows of branches `branch-0` …, three classes each."""
    return Rows.joined(
        Rows.of_branch(
            f"branch-{number}",
            texts(per_branch, seed=1000 * seed + number),
            [LABELS[row % len(LABELS)] for row in range(per_branch)],
        )
        for number in range(num_branches)
    )


def specs(count: int) -> list[BranchSpec]:
    """Branches with the labels of `rows`."""
    return [BranchSpec.from_mapping({"name": f"branch-{number}", "labels": LABELS}) for number in range(count)]


@cache
def encoder() -> Encoder:
    """Two layers, 32 numbers wide, random."""
    from tokenizers import Tokenizer as FastTokenizer
    from tokenizers import models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate((*SPECIAL, *vocabulary()))}
    fast = FastTokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    fast.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(vocab_size=len(numbers), max_position_embeddings=64, **shape), add_pooling_layer=False
        )
    return Encoder(model, PreTrainedTokenizerFast(tokenizer_object=fast, **names), max_seq_len=32)


def system(num_branches: int, **settings: Any) -> InterconnectedAISystem:
    """Untrained, on the tiny encoder."""
    shape = {"num_experts": 4, "max_seq_len": 32, "d_ff": 48, **settings}
    return InterconnectedAISystem(branches=specs(num_branches), encoder=encoder(), **shape)


def training(**settings: Any) -> TrainingConfig:
    """One epoch on the CPU."""
    return TrainingConfig.from_mapping({"epochs": 1, "batch_size": 64, "patience": None, **_CPU, **settings})


@cache
def tokenizer(seed: int = 0) -> Tokenizer:
    """Byte-level, 500 tokens."""
    return Tokenizer.train(texts(200, seed=seed), 500)


def expert(*, seed: int = 0, max_seq_len: int = 512, n_layers: int = 2) -> Expert:
    """A random language model of `n_layers` layers, 64 numbers wide."""
    words = tokenizer(seed)
    generator = torch.Generator().manual_seed(seed)
    model = ExpertModel(words.vocab_size, 64, n_layers, 4, max_seq_len=max_seq_len, dropout=0.0, generator=generator)
    return Expert(model.eval(), words)
