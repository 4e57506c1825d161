"""An edited model guards itself: whoever saves it through transformers gets what `MoE.save` writes, or an error of ours."""

import copy
import gc
import io
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
from transformers.utils import hub

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import make, prompts
from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery import MoE, Program, Rule

IDS = prompts()
MARK = "ignore:.*(surgery.open|without router rules|without the adapters).*:UserWarning"


@torch.no_grad()
def logits(model: Any) -> Tensor:
    out: Tensor = model(IDS).logits
    return out


def close_one(moe: MoE) -> None:
    for layer in moe.layers:
        moe.insert(layer.number, [None])


def adapt(moe: MoE) -> None:
    for parameter in moe.lora({0: [1, 2]}, rank=2).parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(1))


def rule(moe: MoE) -> None:
    moe.set_program(Program(rules=(Rule(do="only", experts=(1, 2, 3)),)))


def pack(moe: MoE) -> None:
    moe.pack_experts()


def uneven(moe: MoE) -> None:
    moe.set_top_k(3, layers=[1])


EDITS: dict[str, Callable[[MoE], None]] = {
    "closed": close_one, "adapter": adapt, "rule": rule, "packed": pack, "uneven": uneven,
}  # fmt: skip


@pytest.fixture(params=EDITS)
def edited(request: Any) -> MoE:
    moe = MoE(make("qwen3_moe"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "four bits moved the logits")
        EDITS[request.param](moe)
    return moe


def trainer_of(model: Any, folder: Path) -> Trainer:
    return Trainer(model=model, args=TrainingArguments(output_dir=str(folder), report_to=[], use_cpu=True))


def by_itself(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)


def by_trainer(model: Any, folder: Path) -> None:
    trainer_of(model, folder).save_model(str(folder))


def by_accelerate(model: Any, folder: Path) -> None:
    accelerator = Accelerator(cpu=True)
    prepared = accelerator.prepare(model)
    state = accelerator.get_state_dict(prepared)
    accelerator.unwrap_model(prepared).save_pretrained(folder, is_main_process=True, state_dict=state)


WAYS = [by_itself, by_trainer, by_accelerate]


@pytest.mark.filterwarnings(MARK)
@pytest.mark.parametrize("way", WAYS)
def test_an_edited_model_saved_through_transformers_comes_back_with_its_edits(
    edited: MoE, way: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    expected = logits(edited.model)
    way(edited.model, tmp_path / "out")
    again = surgery.open(tmp_path / "out")
    torch.testing.assert_close(logits(again.model), expected, rtol=1e-5, atol=1e-6)
    assert "surgery.open" in (tmp_path / "out" / "SURGERY.md").read_text()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["Qwen3MoeForCausalLM"]


def test_it_says_what_vanilla_would_not_give(edited: MoE, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"surgery\.open"):
        edited.model.save_pretrained(tmp_path / "out")


@pytest.mark.filterwarnings(MARK)
@pytest.mark.parametrize("edit", [close_one, uneven])
def test_weights_of_an_older_save_do_not_stay_beside_those_of_an_edited_one(
    edit: Callable[[MoE], None], tmp_path: Path
) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.model.save_pretrained(tmp_path / "out")
    (tmp_path / "out" / "optimizer.pt").write_bytes(b"a trainer's own")
    edit(moe)
    moe.model.save_pretrained(tmp_path / "out")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "optimizer.pt").read_bytes() == b"a trainer's own"


@pytest.mark.parametrize("way", WAYS)
def test_what_the_format_holds_is_saved_as_transformers_does(way: Callable[[Any, Path], None], tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    for layer in (0, 1):
        moe.remove(layer, [3, 4])
    moe.set_top_k(3)
    way(moe.model, tmp_path / "out")
    vanilla = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(vanilla), logits(moe.model), rtol=1e-5, atol=1e-6)
    assert not (tmp_path / "out" / "surgery.json").exists()


def test_a_trainer_saves_steps_of_an_adapter_that_open_again(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.lora({0: [1, 2]}, rank=2)
    rows = [{"input_ids": row, "labels": row} for row in IDS]
    settings = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, save_steps=1, report_to=[], use_cpu=True, learning_rate=0.1,
        disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="without the adapters lora"):
        Trainer(model=moe.model, args=settings, train_dataset=rows).train()  # type: ignore[arg-type]
    again = surgery.open(tmp_path / "checkpoint-2")
    torch.testing.assert_close(logits(again.model), logits(moe.model.eval()), rtol=1e-5, atol=1e-6)


def test_a_rule_in_python_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_program(Program(), [lambda hidden, scores, forward: scores])
    for way in WAYS:
        with pytest.raises(ConfigError, match="function in Python"):
            way(moe.model, tmp_path / "out")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_is_uploaded_is_what_save_writes(edited: MoE, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: dict[str, int] = {}

    def upload(model: Any, folder: str, *args: Any, **settings: Any) -> str:
        uploaded.update({path.name: path.stat().st_size for path in Path(folder).iterdir()})
        return "done"

    monkeypatch.setattr(hub.PushToHubMixin, "_upload_modified_files", upload)
    monkeypatch.setattr(hub, "hf_api", lambda: _Hub())
    monkeypatch.setattr(hub, "create_and_tag_model_card", lambda *args, **settings: _Card())
    with pytest.warns(UserWarning, match=r"surgery\.open"):
        edited.model.push_to_hub("me/edited")
    assert "SURGERY.md" in uploaded
    assert "surgery.json" in uploaded


def test_what_cannot_be_saved_is_refused_before_a_repository_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_program(Program(), [lambda hidden, scores, forward: scores])
    made: list[str] = []
    monkeypatch.setattr(hub, "hf_api", lambda: made.append("asked"))
    with pytest.raises(ConfigError, match="function in Python"):
        moe.model.push_to_hub("me/edited")
    assert made == []


class _Hub:
    def create_repo(self, repo_id: str, **settings: Any) -> Any:
        return type("Repo", (), {"repo_id": repo_id})


class _Card:
    def save(self, path: str) -> None:
        Path(path).write_text("# a model")


def test_an_edited_model_is_not_copied(edited: MoE) -> None:
    for thing in (edited.model, edited, edited.session):
        with pytest.raises(ConfigError, match=r"copied.*surgery\.open"):
            copy.deepcopy(thing)


def test_a_copy_of_what_the_format_holds_is_a_model_of_transformers(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    for layer in (0, 1):
        moe.let_in(layer, moe.insert(layer, [None]))
    rule(moe)
    moe.undo()  # what was there once leaves nothing
    moe.follow()
    twin = copy.deepcopy(moe.model)
    torch.testing.assert_close(logits(twin), logits(moe.model))
    twin.save_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), logits(moe.model))


def test_a_model_whose_moe_is_gone_is_not_saved_as_another_model(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.warns(UserWarning, match="four bits"):
        pack(moe)
    model = moe.model
    del moe
    gc.collect()
    with pytest.raises(ConfigError, match=r"its MoE, which knows them, is gone"):
        model.save_pretrained(tmp_path / "out")
    with pytest.raises(ConfigError, match="would lose"):
        model.push_to_hub("me/edited")
    assert not (tmp_path / "out").exists()


def test_an_edited_model_is_not_pickled(edited: MoE) -> None:
    for write in (pickle.dumps, lambda model: torch.save(model, io.BytesIO())):
        with pytest.raises(ConfigError, match="cannot be pickled"):
            write(edited.model)


def test_an_opened_model_is_pickled_as_transformers_class() -> None:
    moe = MoE(make("qwen3_moe"))
    again = pickle.loads(pickle.dumps(moe.model))  # noqa: S301  # its own
    assert type(again).__mro__[1].__name__ != "GuardedModel"
    torch.testing.assert_close(logits(again), logits(moe.model))


def test_the_state_of_closed_experts_does_not_fit_into_another_model(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    close_one(moe)
    Accelerator(cpu=True).save_model(moe.model, tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        make("qwen3_moe").load_state_dict(load_file(tmp_path / "model.safetensors"), strict=False)


def test_settings_that_split_an_edited_model_are_refused(edited: MoE, tmp_path: Path) -> None:
    for settings in ({"push_to_hub": True}, {"distributed_checkpoint": True}, {"variant": "fp16"}):
        with pytest.raises(ConfigError, match="cannot be kept"):
            edited.model.save_pretrained(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
    edited.model.save_pretrained(tmp_path / "out", is_main_process=False)
    assert not (tmp_path / "out").exists()
