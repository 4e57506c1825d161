"""Every family of encoders either serves, checked against the model itself, or is refused with a remedy."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, processors
from torch import nn
from transformers import AutoModel, AutoModelForTextEncoding, BertConfig, BertModel, PreTrainedTokenizerFast

from conftest import SPECIAL, WORDS, make_encoder, make_rows, make_system, make_tokenizer, spec
from interconnected_ai.branches import Encoder, InterconnectedAISystem, fit_branch, inference
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import ConfigError, DataError, EncoderError, IntegrityError
from interconnected_ai.storage import SYSTEM, atomic_folder, read_json, write_json
from interconnected_ai.training import FeatureCache

SIZE = len(SPECIAL) + len(WORDS)
TEXTS = ["cat", "the cat will show me the money in my bank account today", "please tell me now"]
FAST = TrainingConfig(epochs=2, batch_size=8, head_start_epochs=0)
BERT_LIKE = {
    "vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
GPT_LIKE = {"vocab_size": SIZE, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40, "pad_token_id": 0}
LLAMA_LIKE = {**BERT_LIKE, "num_key_value_heads": 2, "head_dim": 16, "bos_token_id": 2, "eos_token_id": 3}
T5_LIKE = {
    "vocab_size": SIZE,
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 2,
    "pad_token_id": 0,
}
XLM_LIKE = {
    "vocab_size": SIZE,
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "max_position_embeddings": 40,
    "pad_index": 0,
}

# Family → settings of a tiny model.
SERVING: dict[str, dict[str, Any]] = {
    "bert": BERT_LIKE,
    "roberta": {**BERT_LIKE, "max_position_embeddings": 41},
    "camembert": BERT_LIKE,
    "xlm-roberta": BERT_LIKE,
    "data2vec-text": BERT_LIKE,
    "distilbert": {"vocab_size": SIZE, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48,
                   "max_position_embeddings": 40},
    "albert": {**BERT_LIKE, "embedding_size": 16},
    "electra": {**BERT_LIKE, "embedding_size": 16},
    "deberta": BERT_LIKE,
    "deberta-v2": {**BERT_LIKE, "relative_attention": True, "position_biased_input": False},
    "mpnet": BERT_LIKE,
    "modernbert": {**BERT_LIKE, "global_attn_every_n_layers": 2, "bos_token_id": 2, "eos_token_id": 3,
                   "cls_token_id": 2, "sep_token_id": 3},
    "ernie": BERT_LIKE,
    "rembert": {**BERT_LIKE, "input_embedding_size": 16, "output_embedding_size": 16},
    "roformer": {**BERT_LIKE, "embedding_size": 16},
    "nystromformer": {**BERT_LIKE, "segment_means_seq_len": 40, "num_landmarks": 40},
    "convbert": {**BERT_LIKE, "embedding_size": 32, "conv_kernel_size": 3},
    "xlnet": {"vocab_size": SIZE, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "pad_token_id": 0},
    "funnel": {"vocab_size": SIZE, "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48, "block_sizes": [1, 1],
               "block_repeats": [1, 1], "architectures": ["FunnelModel"],
               "num_decoder_layers": 1},
    "longformer": {**BERT_LIKE, "attention_window": 8},
    "big_bird": BERT_LIKE,
    "xlm": XLM_LIKE,
    "flaubert": XLM_LIKE,
    "t5": T5_LIKE,
    "mt5": T5_LIKE,
    "umt5": T5_LIKE,
    "gpt2": GPT_LIKE,
    "opt": {"vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 48,
            "word_embed_proj_dim": 32, "max_position_embeddings": 40, "pad_token_id": 0},
    "llama": LLAMA_LIKE,
    "mistral": LLAMA_LIKE,
    "gpt_neox": BERT_LIKE,
    "bloom": {"vocab_size": SIZE, "hidden_size": 32, "n_layer": 2, "n_head": 2, "pad_token_id": 0},
    "mamba": {"vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "pad_token_id": 0},
}  # fmt: skip

REFUSED: dict[str, dict[str, Any]] = {
    "bart": {"vocab_size": SIZE, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 40},
    "perceiver": {"num_latents": 4, "d_latents": 16, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 1,
                  "num_self_attention_heads": 2, "num_cross_attention_heads": 2, "vocab_size": SIZE},
    "vit": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
            "image_size": 8, "patch_size": 4},
    "clip": {"text_config": {**BERT_LIKE}, "vision_config": {"hidden_size": 32, "num_hidden_layers": 1, "image_size": 8,
             "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 4}, "projection_dim": 16},
    "wav2vec2": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
                 "conv_dim": [16], "conv_kernel": [3], "conv_stride": [2], "num_conv_pos_embeddings": 4,
                 "num_conv_pos_embedding_groups": 2},
}  # fmt: skip


def tiny(family: str, settings: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    kind = AutoModelForTextEncoding if family in ("t5", "mt5", "umt5") else AutoModel
    config = transformers.CONFIG_MAPPING[family](**settings)
    model: nn.Module = kind.from_config(config, dtype=torch.float32)
    with torch.no_grad():  # or the weights are so small that all vectors are nearly the same
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5)
    return model.eval()


def tokenizer_for(family: str) -> PreTrainedTokenizerFast:
    """MPNet takes the id 1 for padding, whatever its config says."""
    tokenizer = make_tokenizer()
    if family != "mpnet":
        return tokenizer
    swapped = tokenizer.backend_tokenizer.to_str().replace('"[PAD]":0', '"[PAD]":1').replace('"[UNK]":1', '"[UNK]":0')
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(swapped), **names)


def saved(folder: Path, model: nn.Module, tokenizer: Any = None) -> str:
    model.save_pretrained(folder)  # type: ignore[operator]
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("family", SERVING)
@torch.no_grad()
def test_a_familys_vectors_are_the_models_own_alone_and_beside_longer_texts(family: str, tmp_path: Path) -> None:
    model = tiny(family, SERVING[family])
    encoder = Encoder.load(saved(tmp_path / family, model, tokenizer_for(family)), max_seq_len=24)
    assert encoder.max_seq_len == 24
    rows = encoder.tokenize(TEXTS)
    found = encoder(*encoder.pad(rows))
    assert found.shape == (3, max(map(len, rows)), encoder.d_model)
    for row, ids in enumerate(rows):
        wanted = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        torch.testing.assert_close(found[row, : len(ids)], wanted.last_hidden_state[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", SERVING)
def test_a_familys_system_learns_is_saved_with_its_encoder_and_comes_back(family: str, tmp_path: Path) -> None:
    encoder = Encoder(tiny(family, SERVING[family]), tokenizer_for(family), max_seq_len=24)
    system = InterconnectedAISystem(branches=[spec("a")], encoder=encoder, num_experts=2, d_ff=16, max_seq_len=24)
    rows = make_rows("a", 24)
    fit_branch(system, "a", rows.texts, [str(label) for label in rows.labels["a"]], config=FAST)
    system.save_pretrained(tmp_path / "saved", include_encoder=True)
    again = InterconnectedAISystem.from_pretrained(tmp_path / "saved")
    assert all(check.identical for check in again.verify())


@pytest.mark.parametrize("family", SERVING)
def test_a_familys_lora_learns_or_is_refused(family: str) -> None:
    encoder = Encoder(tiny(family, SERVING[family]), tokenizer_for(family), max_seq_len=24)
    batch = encoder.pad(encoder.tokenize(TEXTS))
    before = encoder(*batch)
    if family == "gpt2":
        with pytest.raises(EncoderError, match=r"no linear layer.*encoder_lora_rank to 0"):
            encoder.add_lora(2, alpha=4.0, dropout=0.0, generator=None)
        return
    fingerprint = encoder.fingerprint
    encoder.add_lora(2, alpha=4.0, dropout=0.0, generator=None)
    adapters = [p for n, p in encoder.named_parameters() if n.endswith(".lora.lora_b")]
    torch.testing.assert_close(encoder(*batch), before)
    with encoder.attention_that_trains_fast():
        encoder.train()(*batch).square().sum().backward()
    encoder.eval()
    with torch.no_grad():
        for adapter in adapters:
            if adapter.grad is not None:
                adapter += 0.1 * torch.randn_like(adapter)
        assert not torch.allclose(encoder(*batch), before, atol=1e-3)
    del encoder.__dict__["fingerprint"], encoder.__dict__["weights_fingerprint"]
    assert encoder.fingerprint == fingerprint


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_of_another_kind_is_refused_with_a_remedy(family: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / family, tiny(family, REFUSED[family]))
    with pytest.raises(EncoderError, match=r"(needed is|Needs) a "):
        Encoder.load(folder, max_seq_len=24)


def test_canine_cannot_read_the_shortest_texts_and_says_so() -> None:
    config = {**BERT_LIKE, "num_hash_buckets": 64, "local_transformer_stride": 8, "bos_token_id": 2, "eos_token_id": 3}
    with pytest.raises(EncoderError, match="cannot compute a batch of 1 x 3 token ids"):
        Encoder(tiny("canine", config), make_tokenizer(), max_seq_len=24)


def test_a_model_that_shortens_texts_is_refused() -> None:
    shortening = transformers.FunnelBaseModel(transformers.CONFIG_MAPPING["funnel"](**SERVING["funnel"]))
    with pytest.raises(EncoderError, match=r"of a batch of \d+ x \d+ token ids the encoder makes \(\d+, \d+, 32\)"):
        Encoder(shortening, make_tokenizer(), max_seq_len=24)


@pytest.mark.parametrize("family", ["convbert", "funnel", "bert", "llama"])
@torch.no_grad()
def test_padding_changes_no_answer_of_any_family(family: str) -> None:
    encoder = Encoder(tiny(family, SERVING[family]), make_tokenizer(), max_seq_len=24)
    assert encoder.stands_padding == (family in ("bert", "llama"))
    system = make_system("a", encoder=encoder, max_seq_len=24)
    together = system.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(system.encode([text])[0], together[row], atol=1e-5, rtol=1e-4)


def test_where_padding_leaks_rows_padded_on_the_left_are_answered_too() -> None:
    encoder = Encoder(tiny("convbert", SERVING["convbert"]), make_tokenizer(), max_seq_len=24)
    ids = torch.tensor([[0, 0, 2, 7, 3], [2, 7, 8, 9, 3]])
    found = encoder(ids, ids != 0)
    torch.testing.assert_close(found[0, 2:], encoder(ids[:1, 2:], ids[:1, 2:] != 0)[0])
    assert not found[0, :2].any()


def test_a_model_that_reads_from_left_to_right_has_no_use_for_cls_pooling() -> None:
    encoder = Encoder(tiny("llama", LLAMA_LIKE), make_tokenizer(), max_seq_len=24)
    assert not encoder.reads_both_ways
    assert make_encoder().reads_both_ways
    with pytest.raises(ConfigError, match=r"reads from left to right.*take pooling='mean'"):
        make_system("a", encoder=encoder, pooling="cls")


# The tokenizer


def bert(**changes: Any) -> BertModel:
    torch.manual_seed(0)
    return BertModel(BertConfig(**{**BERT_LIKE, **changes}), add_pooling_layer=False)


def test_an_added_token_without_a_row_in_the_embedding_is_refused_and_with_one_it_serves() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["thecat"])
    with pytest.raises(EncoderError, match=rf"'thecat' has the id {SIZE}.*{SIZE} rows.*resize_token_embeddings"):
        Encoder(bert(), tokenizer, max_seq_len=24)
    model = bert()
    model.resize_token_embeddings(len(tokenizer))
    system = make_system("a", encoder=Encoder(model, tokenizer, max_seq_len=24), max_seq_len=24)
    assert system.predict(["thecat"])[0].text == "thecat"


def test_a_padding_token_without_a_row_may_be_left_out() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    with pytest.raises(EncoderError, match=r"'<pad>' has the id 50.*No padding token is needed"):
        Encoder(bert(), tokenizer, max_seq_len=24)


def without_pad() -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlnet"])
def test_without_a_padding_token_no_real_token_is_padding(family: str) -> None:
    tokenizer = without_pad()
    system = make_system("a", encoder=Encoder(tiny(family, SERVING[family]), tokenizer, max_seq_len=24), max_seq_len=24)
    ids = torch.tensor([[2, 0, 7, 0, 3], [0, 0, 0, 0, 0]])  # 0 is a word like any other
    assert system.encoder.mask_of(ids).all()
    with_mask = system(ids, torch.ones_like(ids)).logits["a"]
    assert torch.equal(system(ids).logits["a"], with_mask)
    answers = inference(system, ids, "a")
    assert all(0.3 < answer["confidence"] <= 1 for answer in answers)
    together = system.encode(TEXTS)
    torch.testing.assert_close(together[0], system.encode(TEXTS[:1])[0], atol=1e-5, rtol=1e-4)


def test_a_padding_token_that_means_something_else_too_is_no_padding_without_a_mask() -> None:
    tokenizer = make_tokenizer()
    tokenizer.pad_token = "[SEP]"
    encoder = Encoder(bert(pad_token_id=3), tokenizer, max_seq_len=24)
    assert encoder.mask_of(torch.tensor([[2, 7, 3]])).all()
    assert make_encoder().mask_of(torch.tensor([[2, 7, 3, 0]])).tolist() == [[True, True, True, False]]


def test_a_row_of_padding_alone_is_refused_and_not_answered_with_a_label() -> None:
    system = make_system("a")
    with pytest.raises(DataError, match="row 1 of the token ids is padding alone"):
        inference(system, torch.tensor([[2, 7, 3], [0, 0, 0]]), "a")


def test_roberta_whose_padding_is_another_token_than_the_tokenizers_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"the id 7 for padding, which is the tokenizer's 'money'"):
        Encoder(tiny("roberta", {**BERT_LIKE, "pad_token_id": 7}), make_tokenizer(), max_seq_len=24)


@pytest.mark.parametrize("limit", [0, -1, int(1e30), 512])
def test_what_the_tokenizer_says_of_its_longest_text_does_not_matter(limit: int) -> None:
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = limit
    encoder = Encoder(bert(), tokenizer, max_seq_len=24)
    assert [len(ids) for ids in encoder.tokenize([" ".join(WORDS), "cat"])] == [24, 3]
    assert len(encoder.tokenize([" ".join(WORDS)], cut=False)[0]) == len(WORDS) + 2


@pytest.mark.parametrize(
    ("family", "changes", "limit"),
    [
        ("bert", {"max_position_embeddings": 20}, 20),
        ("roberta", {"max_position_embeddings": 20}, 19),
        ("longformer", {"max_position_embeddings": 20}, 19),
        ("opt", {"max_position_embeddings": 20}, 20),
        ("gpt2", {"n_positions": 20}, 20),
        ("distilbert", {"max_position_embeddings": 20}, 20),
        ("xlnet", {}, 128),
        ("t5", {}, 128),
    ],
)
def test_the_length_limit_is_what_the_model_has_positions_for(family: str, changes: dict[str, Any], limit: int) -> None:
    encoder = Encoder(tiny(family, {**SERVING[family], **changes}), make_tokenizer(), max_seq_len=128)
    assert encoder.max_seq_len == limit
    assert make_system("a", encoder=encoder).encode([" ".join(WORDS * 4)]).isfinite().all()


@pytest.mark.parametrize("limit", [0, -3, True, 2.5, "8", None])
def test_a_limit_that_is_no_positive_number_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigError, match="max_seq_len"):
        Encoder(bert(), make_tokenizer(), max_seq_len=limit)


def test_a_text_of_which_the_tokenizer_knows_nothing_is_its_unknown_token() -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace("zzz", ""), normalizers.Lowercase()]
    )
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()  # adds no special tokens
    encoder = Encoder(bert(), tokenizer, max_seq_len=24)
    assert encoder.tokenize(["zzz", "cat"]) == [[1], encoder.tokenize(["cat"])[0]]
    assert make_system("a", encoder=encoder).encode(["zzz", "cat zzz"]).isfinite().all()


@pytest.mark.parametrize("tokenizer", [None, "bert", 3, lambda text: text, lambda text, **settings: {}])
def test_what_is_no_tokenizer_is_refused(tokenizer: Any) -> None:
    with pytest.raises(EncoderError, match="tokenizer"):
        Encoder(bert(), tokenizer, max_seq_len=24)


def test_a_tokenizer_that_makes_the_same_of_all_texts_is_refused() -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex(".*"), "cat")
    with pytest.raises(EncoderError, match="the same token ids of every text"):
        Encoder(bert(), tokenizer, max_seq_len=24)


# The weights


def test_weights_that_give_nan_are_refused() -> None:
    model = bert()
    model.embeddings.word_embeddings.weight.data[10:] = float("nan")
    with pytest.raises(EncoderError, match="makes NaN or infinite numbers"):
        Encoder(model, make_tokenizer(), max_seq_len=24)


def test_weights_that_lack_what_the_config_describes_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "enc", bert())
    config = json.loads((tmp_path / "enc" / "config.json").read_text())
    (tmp_path / "enc" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(EncoderError, match=r"lack 'encoder\.layer\.2\..*would be random"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"model_type": "nothing"}', '{"model_type": "bert", "hidden_size": -3}']
)
def test_a_config_that_cannot_be_is_refused(tmp_path: Path, content: str) -> None:
    folder = saved(tmp_path / "enc", bert())
    (tmp_path / "enc" / "config.json").write_text(content)
    with pytest.raises(EncoderError, match="cannot load the encoder"):
        Encoder.load(folder)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "enc")
    with pytest.raises(EncoderError, match="tokenizer"):
        Encoder.load(str(tmp_path / "enc"))


# The fingerprint


def with_added(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.add_tokens([AddedToken("catdog")])


def case_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()


def accents_stripped(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace("é", "e"), normalizers.Replace("caf", "cat ")]
    )


def without_separator(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    )


CHANGES = [with_added, case_kept, accents_stripped, without_separator]


def changed(change: Callable[[PreTrainedTokenizerFast], None], *, rows: int = SIZE + 1) -> Encoder:
    tokenizer = make_tokenizer()
    change(tokenizer)
    return Encoder(bert(vocab_size=rows), tokenizer, max_seq_len=24)


@pytest.mark.parametrize("change", CHANGES)
def test_another_tokenizer_is_another_encoder_with_a_cache_of_its_own(
    change: Callable[[PreTrainedTokenizerFast], None], tmp_path: Path
) -> None:
    usual, other = changed(lambda tokenizer: None), changed(change)
    assert usual.weights_fingerprint == other.weights_fingerprint
    assert usual.fingerprint == changed(lambda tokenizer: None).fingerprint != other.fingerprint
    folders = [FeatureCache(tmp_path, make_system("a", encoder=encoder)).folder for encoder in (usual, other)]
    assert folders[0] != folders[1]
    make_system("a", encoder=usual, max_seq_len=24).save_pretrained(tmp_path / "saved")
    with pytest.raises(IntegrityError, match=r"with another tokenizer .*its files were changed"):
        InterconnectedAISystem.from_pretrained(tmp_path / "saved", encoder=other)


def test_using_a_tokenizer_leaves_the_fingerprint_as_it_is() -> None:
    used = changed(lambda tokenizer: None)
    used.tokenize(TEXTS, cut=False)
    used.tokenizer(TEXTS, padding=True, truncation=True, max_length=5)
    used.tokenize([""])
    assert used.fingerprint == changed(lambda tokenizer: None).fingerprint


def test_the_fingerprint_is_the_same_in_every_process_and_after_saving(encoder_folder: Path) -> None:
    code = f"from interconnected_ai.branches import Encoder; print(Encoder.load({str(encoder_folder)!r}).fingerprint)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    ).stdout.strip()
    assert found == Encoder.load(str(encoder_folder)).fingerprint


def test_a_system_saved_before_tokenizers_were_told_apart_is_known_by_its_encoders_weights(tmp_path: Path) -> None:
    encoder = make_encoder()
    system = make_system("a", encoder=encoder)
    with atomic_folder(tmp_path / "saved", kind=SYSTEM) as scratch:
        system._write(scratch, include_encoder=False)
        config = read_json(scratch / "config.json")
        del config["tokenizer_sha256"]
        write_json(scratch / "config.json", config)
    assert InterconnectedAISystem.from_pretrained(tmp_path / "saved", encoder=encoder).branch_names == ["a"]
    with pytest.raises(IntegrityError, match="other weights or prefix"):
        InterconnectedAISystem.from_pretrained(tmp_path / "saved", encoder=make_encoder(seed=5))


# Where it stands


def test_an_encoder_given_by_a_relative_path_is_found_from_everywhere(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(encoder_folder.parent)
    system = InterconnectedAISystem(f"./{encoder_folder.name}", branches=[spec("a")], num_experts=2, d_ff=16)
    assert system.config.base_model_name == system.encoder.name == str(encoder_folder.resolve())
    system.save_pretrained(tmp_path / "saved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = InterconnectedAISystem.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.encode(TEXTS), system.encode(TEXTS))
    with pytest.raises(EncoderError, match=rf"no folder at './{encoder_folder.name}' \(seen from .*elsewhere\)"):
        Encoder.load(f"./{encoder_folder.name}")
