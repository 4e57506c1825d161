"""`/v1/plan`: what a system takes in parameters, bytes, hours and money before it is built."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from interconnected_ai.planner import DEVICES, Plan, PlanRequest, encoder_shape, known_encoders
from interconnected_ai.planner import plan as planned
from interconnected_ai.serving.door import Anyone, AtTheDoor, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.answers import answer, plain
from interconnected_ai.types import clauses_of

router = APIRouter(tags=["planner"])
_MOST_BRANCHES, _MOST_CLASSES = 10_000, 1_000_000


@router.post("/v1/plan", responses=errors(408), response_model=None)
async def plan(
    asked: Annotated[dict[str, Any], Body(description="The keys of `PlanRequest`; system.branches may be a number")],
    door: AtTheDoor,
    caller: Anyone,
) -> Response:
    """Dense, MoE and one more branch side by side, and which to choose. An encoder is named, never a place on this machine."""
    return answer(await door.errands.run(lambda: _told(_found(asked))))


@router.get("/v1/plan/devices", responses=errors(), response_model=None)
async def devices(door: AtTheDoor, caller: Anyone) -> Response:
    """The devices that plans know, beside "this machine"."""
    return answer({"object": "list", "data": [{"object": "device", **plain(each.to_dict())} for each in DEVICES]})


@router.get("/v1/plan/encoders", responses=errors(), response_model=None)
async def encoders(door: AtTheDoor, caller: Anyone) -> Response:
    """The encoders that plans know by name, the narrowest first."""
    return answer({
        "object": "list",
        "data": [
            {
                "object": "encoder", "id": each.name, "d_model": each.d_model, "num_layers": each.n_layers,
                "num_params": each.num_params, "max_seq_len": each.max_seq_len,
            }
            for each in known_encoders()
        ],
    })  # fmt: skip


@router.post(
    "/v1/plan/file",
    responses={**errors(408), 200: {"content": {"application/yaml": {"schema": {"type": "object"}}}}},
    response_class=Response,
)
async def file(
    asked: Annotated[dict[str, Any], Body(description="As for `/v1/plan`")], door: AtTheDoor, caller: Anyone
) -> Response:
    """The plan's file, every setting in it: `iai plan system plan.yaml` reads it, and says the same."""
    text = await door.errands.run(lambda: _request(asked).to_yaml())
    return Response(
        text, media_type="application/yaml", headers={"Content-Disposition": 'attachment; filename="plan.yaml"'}
    )


def _request(asked: Mapping[str, Any]) -> PlanRequest:
    system = asked.get("system", {})
    if isinstance(system, Mapping):
        system = {**system, "branches": _branches(system.get("branches", 3))}
    return PlanRequest.from_mapping({**asked, "system": system}, source="plan")


def _found(asked: Mapping[str, Any]) -> Plan:
    request = _request(asked)
    encoder = encoder_shape(request.system.base_model_name, is_place=False)
    try:
        return planned(request, encoder=encoder)
    except OverflowError as error:
        raise Refusal(400, "a number is larger than anything can be reckoned with", code="invalid_value") from error


def _branches(asked: Any) -> Any:
    """Branches as they are given; of a number so many with 20 classes each. Bounded before anything is made of them."""
    if isinstance(asked, int) and not isinstance(asked, bool):
        if not 1 <= asked <= _MOST_BRANCHES:
            raise Refusal(400, f"system.branches: 1 to {_MOST_BRANCHES:,}, got {asked}", param="system.branches")
        return [{"name": f"branch-{number}", "num_classes": 20} for number in range(1, asked + 1)]
    if isinstance(asked, list):
        sizes = [each.get("num_classes", 0) if isinstance(each, Mapping) else 0 for each in asked]
        if len(asked) > _MOST_BRANCHES or sum(size for size in sizes if isinstance(size, int)) > _MOST_CLASSES:
            raise Refusal(
                400, f"system.branches: {_MOST_BRANCHES:,} branches and {_MOST_CLASSES:,} classes together at most",
                param="system.branches",
            )  # fmt: skip
    return asked


def _told(found: Plan) -> dict[str, Any]:
    return {
        "object": "plan",
        "device": plain(found.device.to_dict()),
        "precision": found.precision,
        "assumption": {**asdict(found.assumption), "clauses": _clauses(found.assumption.text)},
        "ways": {way.name: {**plain(way), "num_params": way.num_params} for way in found.ways},
        "retraining_seconds": plain(found.retraining_seconds),
        "retraining_usd": plain(found.retraining_usd),
        "added_over_retraining": found.added_over_retraining,
        "recommendation": {
            **plain(found.recommendation),
            "reasons": [{**plain(each), "clauses": _clauses(each.text)} for each in found.recommendation.reasons],
            "disagreement_clauses": [_clauses(each) for each in found.recommendation.disagreements],
        },
        "notes": list(found.notes),
        "note_clauses": [_clauses(each) for each in found.notes],
    }


def _clauses(text: str) -> list[dict[str, Any]]:
    """What a sentence says, by codes, for programs that speak other languages."""
    return [plain(clause) for clause in clauses_of(text)]
