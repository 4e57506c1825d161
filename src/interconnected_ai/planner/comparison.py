"""The plan: what dense, MoE and one more branch take in parameters, FLOPs, bytes, hours and money, side by side."""

from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.config import ROWS_OF_A_FIRST_STEP, BranchSpec, FirstSteps, num_first_steps, readings_of_a_row
from interconnected_ai.planner.devices import Device, find_device
from interconnected_ai.planner.duration import Assumption, Range, Speed, usd
from interconnected_ai.planner.encoders import EncoderShape
from interconnected_ai.planner.fitting import chosen_precision, fits, nearest_change, requested_memory
from interconnected_ai.planner.memory import (
    added_branch_memory,
    feature_cache_bytes,
    inference_memory,
    overhead_of,
)
from interconnected_ai.planner.precision import BYTES, weight_bytes
from interconnected_ai.planner.recommendation import Recommendation, recommend
from interconnected_ai.planner.request import PlanRequest
from interconnected_ai.planner.system import SystemShape, expected_terms
from interconnected_ai.planner.way import Way
from interconnected_ai.planner.workload import (
    Workload,
    added_branch_step,
    answer,
    encode_rows,
    encoder_work,
    total_flops,
    training_step,
    trunk_work,
)
from interconnected_ai.types import Told

_ENCODE_BATCH = 64
# Rows held out for validation, for each row of training: a tenth of all against eight tenths (the defaults of a run).
_VALIDATION_SHARE = 0.125
# Exchange of gradients between devices that work on one batch: PCIe 4.0 reaches about this, NVLink many times more.
_BYTES_PER_SECOND_BETWEEN_DEVICES = 10e9


@dataclass(frozen=True)
class Plan:
    """The ways side by side, what they rest on, and what to choose.

    request: as it was asked. added_over_retraining: seconds of adding a branch as a share of training all again with it.
    """

    request: PlanRequest
    device: Device
    precision: str
    assumption: Assumption
    ways: tuple[Way, ...]
    retraining_seconds: Range
    retraining_usd: Range | None
    recommendation: Recommendation
    notes: tuple[str, ...]

    def way(self, name: str) -> Way:
        """The way of that name: "dense", "moe" or "added branch"."""
        return next(way for way in self.ways if way.name == name)

    @property
    def first_steps(self) -> FirstSteps:
        """What the encoder learns before all else, by the rows that are planned for."""
        return FirstSteps.of(*self.request.settled())

    @property
    def added_over_retraining(self) -> float:
        """Expected time of an added branch over that of joint training with it."""
        return self.way("added branch").run_seconds.expected / self.retraining_seconds.expected


def plan(request: PlanRequest, *, devices: str | Path | None = None, encoder: EncoderShape | None = None) -> Plan:
    """Size a system: dense twin, MoE, and one more branch on the finished MoE.

    devices: a YAML file with rows of the user's own. encoder: a shape in place of looking up `base_model_name`. Raises
    `UnknownNameError` for an unknown device or encoder and `ConfigError` for shapes that cannot be.
    """
    device = find_device(request.device, devices)
    if request.memory_bytes is not None:
        device = device.with_changes(memory_bytes=request.memory_bytes)
    shape = request.shape(encoder)
    precision = chosen_precision(request, device)
    speed = Speed.on(device, precision)
    moe = _joint_way("moe" if shape.is_moe else "dense", shape, request, speed)
    ways = [moe]
    if shape.is_moe:
        ways.insert(0, _joint_way("dense", shape.dense_twin(), request, speed))
    ways.append(_added_way(shape, request, speed))
    grown, more = _grown(shape, request)
    retraining = _run_seconds(grown, more, speed)
    return Plan(
        request=request,
        device=device,
        precision=precision,
        assumption=speed.assumption,
        ways=tuple(ways),
        retraining_seconds=retraining,
        retraining_usd=usd(retraining, device, request.num_devices),
        recommendation=recommend(request, device, {way.name: way for way in ways}, retraining),
        notes=_notes(shape, request),
    )


def _joint_way(name: str, shape: SystemShape, request: PlanRequest, speed: Speed) -> Way:
    """Trunk and all branches trained together."""
    tokens, rows = request.mean_tokens, request.rows_at_once
    cached = _is_cached(shape, request)
    step = training_step(shape, rows, tokens, cached=cached)
    once = answer(shape, request.requests_per_batch, tokens)
    overhead = overhead_of(speed.device)
    memory = requested_memory(shape, request, speed.precision, speed.device)
    inference = inference_memory(
        shape, batch=request.requests_per_batch, tokens_per_text=tokens, overhead_bytes=overhead
    )
    run = _run_seconds(shape, request, speed)
    forward = sum(part.forward_flops for part in answer(shape, rows, tokens))
    num_tokens = rows * tokens
    return Way(
        name=name,
        params=shape.num_params,
        num_trainable_params=shape.num_trainable_params,
        num_active_params=shape.num_active_params,
        num_shared_params=shape.num_shared_params,
        num_params_per_branch=(shape.num_params["total"] - shape.num_shared_params) // len(shape.config.branches),
        forward_flops_per_token=forward // num_tokens,
        training_flops_per_token=total_flops(step) // num_tokens,
        step_forward_flops=forward * request.training.accumulation_steps,
        step_training_flops=total_flops(step) * request.training.accumulation_steps,
        step_backward_flops=sum(part.backward_flops for part in step) * request.training.accumulation_steps,
        cached=cached,
        weights_bytes=_weights(shape.num_params["total"]),
        training=memory,
        checkpointed=requested_memory(shape, request, speed.precision, speed.device, checkpointing=True),
        inference=inference,
        feature_cache_bytes=_cache_bytes(shape, request) if cached else 0,
        num_steps=request.steps_per_epoch * request.training.epochs,
        step_seconds=_step_seconds(shape, request, speed),
        run_seconds=run,
        latency_seconds=speed.seconds(once),
        step_bound_by=speed.bound_by(step),
        latency_bound_by=speed.bound_by(once),
        usd=usd(run, speed.device, request.num_devices),
        fits_training=fits(memory.peak_bytes, speed.device),
        fits_inference=fits(inference.peak_bytes, speed.device),
        remedy=nearest_change(shape, request, speed.device, speed.precision),
    )


def _added_way(shape: SystemShape, request: PlanRequest, speed: Speed) -> Way:
    """One branch on the finished trunk: vectors computed once, then epochs over adapter and head alone."""
    added, tokens = request.added, request.mean_tokens
    batch = min(request.training.batch_size, added.num_rows)
    spec = _added_spec(shape, request)
    grown = shape.with_branch(spec)
    learnt = shape.num_branch_params(spec.num_classes, spec.num_terms)
    step = added_branch_step(shape, batch, spec, tokens)
    once = answer(grown, request.requests_per_batch, tokens)
    memory = added_branch_memory(shape, num_rows=added.num_rows, spec=spec, batch=batch, tokens_per_text=tokens)
    inference = inference_memory(grown, batch=request.requests_per_batch, tokens_per_text=tokens)
    steps = -(-added.num_rows // batch) * request.training.epochs
    step_seconds = speed.seconds(step)
    run = _encode_seconds(shape, round(added.num_rows * (1 + _VALIDATION_SHARE)), tokens, speed)
    run = run.plus(step_seconds.times(steps))
    forward = sum(part.forward_flops for part in answer(grown, batch, tokens))
    return Way(
        name="added branch",
        params=grown.num_params,
        num_trainable_params=learnt,
        num_active_params=grown.num_active_params,
        num_shared_params=grown.num_shared_params,
        num_params_per_branch=learnt,
        forward_flops_per_token=forward // (batch * tokens),
        training_flops_per_token=total_flops(step) // (batch * tokens),
        step_forward_flops=step[0].forward_flops,
        step_training_flops=total_flops(step),
        step_backward_flops=sum(part.backward_flops for part in step),
        cached=True,
        weights_bytes=_weights(grown.num_params["total"]),
        training=memory,
        checkpointed=memory,
        inference=inference,
        feature_cache_bytes=0,
        num_steps=steps,
        step_seconds=step_seconds,
        run_seconds=run,
        latency_seconds=speed.seconds(once),
        step_bound_by=speed.bound_by(step),
        latency_bound_by=speed.bound_by(once),
        usd=usd(run, speed.device, 1),
        fits_training=fits(memory.peak_bytes, speed.device),
        fits_inference=fits(inference.peak_bytes, speed.device),
        remedy=None,
    )


def _is_cached(shape: SystemShape, request: PlanRequest) -> bool:
    return request.training.cache_features and not shape.encoder_learns


def _step_seconds(shape: SystemShape, request: PlanRequest, speed: Speed) -> Range:
    """One optimiser step: the parts of its batch, and the exchange of gradients between devices."""
    *parts, update = training_step(shape, request.rows_at_once, request.mean_tokens, cached=_is_cached(shape, request))
    seconds = speed.seconds(parts).times(request.training.accumulation_steps).plus(speed.seconds([update]))
    if request.num_devices > 1:
        share = 2 * (request.num_devices - 1) / request.num_devices  # ring all-reduce
        exchange = 4 * shape.num_trainable_params * share / _BYTES_PER_SECOND_BETWEEN_DEVICES
        seconds = seconds.plus(Range(exchange * 0.2, exchange, exchange * 2))
    return seconds


def _run_seconds(shape: SystemShape, request: PlanRequest, speed: Speed) -> Range:
    """The whole training: the encoder's own steps, the cache, a head start, all epochs with their validation. Low: early
    stopping ends it.
    """
    tokens, training = request.mean_tokens, request.training
    cached = _is_cached(shape, request)
    validation = round(request.num_rows * _VALIDATION_SHARE)
    before = Range(0.0, 0.0, 0.0)
    if cached:
        before = _repeated(encoder_work(shape, _ENCODE_BATCH, tokens), request.num_rows + validation, speed)
    if shape.before is not None:
        readings = readings_of_a_row(request.settled()[1]) * max(1, ROWS_OF_A_FIRST_STEP // request.num_devices)
        step = training_step(shape.before, readings, request.tokens_of_a_first_text, cached=False)
        before = before.plus(speed.seconds(step).times(_num_first_steps(request)))
    if training.head_start_epochs:
        before = before.plus(_encode_seconds(shape, request.num_rows, tokens, speed))
        step = added_branch_step(shape, training.batch_size, shape.config.branches[0], tokens)
        before = before.plus(speed.seconds(step).times(training.head_start_epochs * request.steps_per_epoch))
    check = _repeated(trunk_work(shape, _ENCODE_BATCH * tokens, _ENCODE_BATCH), validation, speed)
    if not cached:
        check = check.plus(_repeated(encoder_work(shape, _ENCODE_BATCH, tokens), validation, speed))
    epoch = _step_seconds(shape, request, speed).times(request.steps_per_epoch).plus(check)
    soonest = training.epochs if training.patience is None else min(training.epochs, training.patience + 1)
    epochs = epoch.times(training.epochs)
    return before.plus(Range(epoch.low * soonest, epochs.expected, epochs.high))


def _num_first_steps(request: PlanRequest) -> int:
    steps_per_epoch = -(-request.num_rows // ROWS_OF_A_FIRST_STEP)
    tokens = ROWS_OF_A_FIRST_STEP * request.tokens_of_a_first_text
    return num_first_steps(request.settled()[1], steps_per_epoch, tokens)


def _encode_seconds(shape: SystemShape, num_rows: int, tokens: int, speed: Speed) -> Range:
    return speed.seconds(encode_rows(shape, num_rows, tokens)).times(-(-num_rows // _ENCODE_BATCH))


def _repeated(work: Workload, num_rows: int, speed: Speed) -> Range:
    return speed.seconds([work]).times(num_rows / _ENCODE_BATCH)


def _cache_bytes(shape: SystemShape, request: PlanRequest) -> int:
    texts = round(request.num_rows * (1 + _VALIDATION_SHARE))
    return feature_cache_bytes(shape, num_texts=texts, tokens_per_text=request.mean_tokens)


def _grown(shape: SystemShape, request: PlanRequest) -> tuple[SystemShape, PlanRequest]:
    """The system and the request of training everything again, the new branch's rows included."""
    branches = shape.with_branch(_added_spec(shape, request)).config.branches
    system = request.system.with_changes(branches=[spec.to_dict() for spec in branches])
    more = request.with_changes(num_rows=request.num_rows + request.added.num_rows, system=system.to_dict())
    return more.shape(shape.encoder), more


def _added_spec(shape: SystemShape, request: PlanRequest) -> BranchSpec:
    """The added branch, with the terms that its rows will probably teach it."""
    added = request.added
    num_terms = expected_terms(added.num_rows, added.num_classes, shape.config.wide_terms)
    return BranchSpec.from_mapping(
        {"name": _free_name(shape), "num_classes": added.num_classes, "num_terms": num_terms}
    )


def _free_name(shape: SystemShape) -> str:
    taken = {spec.name for spec in shape.config.branches}
    return next(name for i in range(len(taken) + 1) if (name := f"added{i or ''}") not in taken)


def _weights(num_params: int) -> dict[str, int]:
    return {precision: weight_bytes(num_params, precision, scales=True) for precision in BYTES}


def _note_on_first_steps(request: PlanRequest) -> Told:
    steps, rows, tokens = _num_first_steps(request), ROWS_OF_A_FIRST_STEP, request.tokens_of_a_first_text
    twice = readings_of_a_row(request.settled()[1]) > 1
    told = f"the encoder learns first: at most {steps} steps of {rows} rows of {tokens} tokens, "
    told += "each read twice" if twice else "each read once"
    return Told.of("first_steps_twice" if twice else "first_steps", told, count=steps, rows=rows, tokens=tokens)


def _notes(shape: SystemShape, request: PlanRequest) -> tuple[str, ...]:
    tokens, epochs, pooler = request.mean_tokens, request.training.epochs, shape.encoder.num_pooler_params
    is_given = request.tokens_per_text is not None
    notes = [
        Told.of(
            "tokens" if is_given else "tokens_at_most",
            f"{tokens} tokens a text" + ("" if is_given else " (max_seq_len: give --tokens when your texts are shorter)"),
            count=tokens,
        ),
        Told.of(
            "epochs", f"all {epochs} epochs; the low end of a range lets early stopping end the run as soon as it can",
            count=epochs,
        ),
        Told.of("checkpointing", "gradient checkpointing is computed for comparison; `iai train` does not offer it"),
    ]  # fmt: skip
    if shape.before is not None:
        notes.append(_note_on_first_steps(request))
    if pooler:
        told = f"the encoder counts without its pooler ({pooler:,} parameters), which nothing reads"
        notes.append(Told.of("pooler", told, count=pooler))
    return tuple(notes)
