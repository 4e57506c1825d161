"""One small thing of every kind that commands read, in one folder, and a correct call of every command on them."""

import hashlib
import json
from pathlib import Path

import torch
import yaml
from command_line import run_main
from tokenizers import Tokenizer as WordTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from conftest import make_encoder, make_rows
from interconnected_ai import surgery
from interconnected_ai.data import write_rows
from interconnected_ai.experts import Expert, ExpertModel
from interconnected_ai.serving import KeyFile
from interconnected_ai.text import PretrainedTokenizer, Tokenizer

WORDS = "sun rain cloud wind snow storm mist warm coin bank loan stock fund money price trade the of is was".split()


def make_artefacts(folder: Path) -> None:
    """A trained run, a config, rows, texts, rules, a router, an expert, a council, a memory, a mixture and a recipe for it."""
    _run(folder)
    _texts(folder)
    _expert(folder)
    make_base(folder / "base")
    _council(folder)
    _memory(folder)
    _mixture(folder)
    surgery.upcycle(str(folder / "base"), num_experts=2, top_k=1).save(folder / "upcycled")
    KeyFile(folder / "keys.json").add("laptop")
    (folder / "empty.txt").touch()
    (folder / "cp1251.txt").write_bytes("привет, мир".encode("cp1251"))
    (folder / "binary.bin").write_bytes(bytes(range(256)) * 4)
    (folder / "broken.json").write_text('{"a": [1, ', encoding="utf-8")
    (folder / "deep.yaml").write_text("[" * 5000, encoding="utf-8")
    (folder / "list.yaml").write_text("- 1\n- 2\n", encoding="utf-8")


def _run(folder: Path) -> None:
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    write_rows(folder / "topics.jsonl", *make_rows("topics", 30).of("topics"))
    config = {
        "output": "trained-run",
        "system": {"base_model_name": str(folder / "encoder"), "num_experts": 2, "max_seq_len": 16, "d_ff": 16},
        "data": {"branches": [{"name": "topics", "path": "topics.jsonl"}], "test_fraction": 0.2},
        "training": {"epochs": 1, "batch_size": 8, "precision": "float32", "device": "cpu", "monitors": []},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "first.yaml").write_text(yaml.safe_dump({**config, "output": str(folder / "run")}), encoding="utf-8")
    assert run_main("train", str(folder / "first.yaml")) == 0
    assert run_main("branch", "export", str(folder / "run"), "topics", "--out", str(folder / "topics.safetensors")) == 0
    assert (
        run_main("route", "train", str(folder / "topics.jsonl"), "--out", str(folder / "router"), *_router(folder)) == 0
    )
    (folder / "rules.yaml").write_text("experts: [money]\nrules:\n- {to: money, words: [bank]}\n", encoding="utf-8")


def _router(folder: Path) -> list[str]:
    """How a router learns the topics."""
    return ["--label", "label", "--encoder", str(folder / "encoder")]


def _texts(folder: Path) -> None:
    sentences = [" ".join(WORDS[(start + i) % len(WORDS)] for i in range(12)) for start in range(40)]
    (folder / "corpus.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    (folder / "texts").mkdir()
    for number, sentence in enumerate(sentences[:6]):
        (folder / "texts" / f"{number}.txt").write_text(sentence, encoding="utf-8")


def _expert(folder: Path) -> None:
    words = Tokenizer.train(["the sun is warm, солнце греет"], 300)
    generator = torch.Generator().manual_seed(0)
    model = ExpertModel(words.vocab_size, 16, 1, 2, max_seq_len=64, generator=generator)
    Expert(model, words).save_pretrained(folder / "experts" / "tiny")


def _council(folder: Path) -> None:
    config = {
        "experts": {"tiny": {"place": "experts/tiny"}},
        "fallback": "tiny",
        "semantic": False,
        "max_new_tokens": 2,
    }
    (folder / "council.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def make_base(folder: Path) -> None:
    """A tiny Llama with random weights and a byte-level tokenizer, to adapt."""
    torch.manual_seed(0)
    fast = WordTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(vocab_size=280, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    words = PretrainedTokenizer(fast, names={"eos_token": "<|im_end|>"})
    config = LlamaConfig(
        vocab_size=words.vocab_size, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, bos_token_id=None, eos_token_id=words.end_id, pad_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save(folder)


def _memory(folder: Path) -> None:
    chat = [
        {"role": "user", "content": "Меня зовут Иван. Я живу в Москве.", "id": "m1", "time": "2026-03-01T10:00:00+00:00"},
        {"role": "assistant", "content": "Nice to meet you, Ivan!", "id": "m2"},
    ]  # fmt: skip
    (folder / "chat.jsonl").write_text("\n".join(json.dumps(row) for row in chat), encoding="utf-8")
    (folder / "chats").mkdir()
    (folder / "chats" / "chat.jsonl").write_text((folder / "chat.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    assert run_main("memory", "import", str(folder / "chat.jsonl"), "--store", str(folder / "memory.db")) == 0


def _mixture(folder: Path) -> None:
    make_mixture(folder / "mixture")
    opened = surgery.open(folder / "mixture")
    opened.set_top_k(1)
    opened.recipe().save(folder / "recipe.yaml")


def make_mixture(folder: Path, *, layers: int = 2, experts: int = 4) -> None:
    """A tiny Qwen3-MoE with random weights, which reads `WORDS`."""
    torch.manual_seed(0)
    tokenizer = WordTokenizer(
        models.WordLevel({word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}, "<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = Qwen3MoeConfig(
        vocab_size=len(WORDS) + 3, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, moe_intermediate_size=8, num_experts=experts, num_experts_per_tok=2, norm_topk_prob=True,
        max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(folder)


def calls(folder: Path) -> dict[str, list[str]]:
    """Verb → arguments with which it works on the artefacts; what it writes goes to the current folder."""
    at = {path.name: str(path) for path in [*folder.iterdir(), folder / "experts" / "tiny"]}
    run, expert, store, mixture, corpus = at["run"], at["tiny"], at["memory.db"], at["mixture"], at["corpus.txt"]
    return {
        "help": ["train"],
        "init": [at["topics.jsonl"]],
        "train": [at["config.yaml"]],
        "doctor": [run],
        "predict": [run, "bank card"],
        "evaluate": [run],
        "branch add": [run, "later", "--data", at["topics.jsonl"], "--epochs", "1"],
        "branch export": [run, "topics", "--out", "topics.safetensors"],
        "branch import": [run, at["topics.safetensors"], "--name", "second"],
        "branch list": [run],
        "branch remove": [run, "topics", "--yes"],
        "branch verify": [run],
        "compare": [run, run],
        "generate": [expert, "the sun", "--max-new-tokens", "2"],
        "chat": [expert, "the sun", "--max-new-tokens", "2"],
        "council init": [at["experts"]],
        "council plan": ["--tokens", "100000", "--domains", "3", "--minutes", "1", "--device", "L4"],
        "council route": [at["council.yaml"], "bank card"],
        "report": [run, "--output", "page.html"],
        "expert data": [corpus, "--unit", "paragraph"],
        "expert train": [
            "--text", corpus, "--unit", "paragraph", "--out", "trained", "--d-model", "16", "--layers", "1", "--heads", "2",
            "--vocab-size", "300", "--seq-len", "16", "--batch-size", "2", "--steps", "2", "--seed", "0",
        ],
        "expert adapt": [
            "--base", at["base"], "--text", corpus, "--unit", "paragraph", "--out", "adapted", "--rank", "2", "--steps", "1",
            "--seq-len", "16", "--batch-size", "2", "--seed", "0",
        ],
        "expert evaluate": [expert, "--text", corpus],
        "expert list": [at["experts"]],
        "expert quantize": [expert, "--to", "int8", "--out", "small"],
        "expert export": [expert, "--to", "onnx", "--out", "exported"],
        "plan system": ["--device", "L4"],
        "plan fit": ["--device", "L4", "--memory-gb", "2"],
        "plan expert": ["--preset", "tiny"],
        "plan pool": ["--experts", "4", "--ram-gb", "1", "--preset", "tiny"],
        "plan surgery": ["--config", mixture],
        "plan explain": ["top_k"],
        "plan document": [],
        "route evaluate": [at["topics.jsonl"], "--router", at["router"], "--timed", "1"],
        "route explain": ["bank card", "--rules", at["rules.yaml"]],
        "route train": [at["topics.jsonl"], "--out", "routed", *_router(folder)],
        "serve": [at["council.yaml"], "--check"],
        "key add": ["phone", "--keys", "keys.json"],
        "key list": ["--keys", at["keys.json"]],
        "key revoke": ["laptop", "--keys", at["keys.json"]],
        "surgery inspect": [mixture],
        "surgery usage": [mixture, "--texts", at["texts"]],
        "surgery compare": [mixture, mixture, "--page", "out.md"],
        "surgery top-k": [mixture, "1", "--output", "edited"],
        "surgery replace": [mixture, "--layer", "0", "--expert", "1", "--with", "1:2", "--output", "edited"],
        "surgery insert": [mixture, "--like", "1", "--output", "edited"],
        "surgery remove": [mixture, "--experts", "3", "--output", "edited"],
        "surgery prune": [
            mixture, "--texts", at["texts"], "--keep", "0.5", "--seq-tokens", "8", "--output", "edited",
        ],
        "surgery role": [
            mixture, "--name", "weather", "--texts", at["texts"], "--steps", "1", "--seq-tokens", "8", "--experts", "0",
            "--output", "edited",
        ],
        "surgery export": [at["upcycled"], "--output", "mixture.gguf"],
        "surgery apply": [at["recipe.yaml"], mixture, "--output", "edited"],
        "memory backup": [store, "copy.db"],
        "memory check": [store],
        "memory context": [store, "where"],
        "memory export": [store, "out.jsonl"],
        "memory fact correct": [store, "1", "Пётр"],
        "memory fact retract": [store, "1"],
        "memory fact set": [store, "lives in", "Riga"],
        "memory facts": [store],
        "memory forget": [store, "m2", "--yes"],
        "memory import": [at["chat.jsonl"], "--store", "new.db"],
        "memory pin": [store, "Answer briefly."],
        "memory rebuild": [store],
        "memory rekey": [store, "--plain"],
        "memory restore": [store, "--store", "restored.db"],
        "memory search": [store, "where"],
        "memory serve": [store, "--mcp", "--tools"],
        "memory show": [store],
        "memory stats": [store],
        "memory users": [store],
        "memory zone": [store, "Europe/Riga"],
        "memory watch": [at["chats"], "--store", "new.db", "--once"],
        "memory why": [store, "where", "--message", "m1"],
    }  # fmt: skip


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below the folder with its contents' hash, and every empty folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }
