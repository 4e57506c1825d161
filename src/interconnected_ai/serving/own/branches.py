"""`/v1/branches`: what there is, one more from an uploaded table, checked, removed."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Response, UploadFile

from interconnected_ai.config import BranchCard, BranchSpec
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.serving.door import Admin, AtTheDoor, Classifier, Door, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.answers import answer
from interconnected_ai.serving.own.desk import AtTheDesk
from interconnected_ai.serving.own.growing import ROWS, BranchWork, refuse_unreadable
from interconnected_ai.serving.own.owners import owner_of
from interconnected_ai.serving.own.systems import named_system
from interconnected_ai.serving.own.uploads import shown_name, table_in

router = APIRouter(tags=["branches"])
System = Annotated[str | None, Query(min_length=1, max_length=200, description="Where several systems are served")]
Name = Annotated[str, Form(min_length=1, max_length=200)]
Column = Annotated[str | None, Form(max_length=500)]


@router.get("/v1/branches", responses=errors(), response_model=None)
async def listed(door: AtTheDoor, caller: Classifier, system: System = None) -> Response:
    """Every branch of every system, or of one."""
    names = [named_system(door, system)[0]] if system is not None else list(door.hall.systems)

    def read() -> list[dict[str, Any]]:
        return [_told(name, card) for name in names for card in door.hall.systems[name].cards.values()]

    return answer({"object": "list", "systems": names, "data": await door.errands.run(read)})


@router.post("/v1/branches", status_code=202, responses=errors(408, 409), response_model=None)
async def add(
    door: AtTheDoor,
    desk: AtTheDesk,
    caller: Admin,
    file: Annotated[UploadFile, File(description="A table of texts and labels: CSV")],
    name: Name,
    system: Annotated[str | None, Form(min_length=1, max_length=200)] = None,
    text: Column = None,
    label: Column = None,
    epochs: Annotated[int, Form(ge=1, le=1000)] = 20,
    seed: Annotated[int, Form(ge=0, le=2**31)] = 0,
) -> Response:
    """Begin a job that trains one more branch on the uploaded rows; the other branches answer as before, to the last bit.

    text, label: columns; where they are left out they are told from their names and from what stands in them.
    """
    served, found = named_system(door, system)
    BranchSpec.from_mapping({"name": name, "num_classes": 2}, source="branch")  # refuses an unsafe name
    door.hall.folder(served)
    if name.casefold() in {each.casefold() for each in found.branch_names}:
        raise Refusal(
            409, f"name: a branch {name!r} exists already; remove it first or choose another name", param="name"
        )
    called = shown_name(file.filename)
    data = await file.read()
    asked = {
        "system": served, "branch": name, "file": called, "text": text or None, "label": label or None,
        "epochs": epochs, "seed": seed,
    }  # fmt: skip
    job = await door.errands.run(
        lambda: desk.jobs.submit(
            BranchWork.kind,
            owner_of(caller),
            asked,
            files={ROWS: table_in(data, called)},
            check=lambda folder: refuse_unreadable(folder, asked),
        )
    )
    made = answer(job.shown(), 202)
    made.headers["Location"] = f"/v1/jobs/{job.id}"
    return made


@router.get("/v1/branches/{name}", responses=errors(), response_model=None)
async def card(name: str, door: AtTheDoor, desk: AtTheDesk, caller: Classifier, system: System = None) -> Response:
    """A branch's card: classes, rows, calibration, measures, and which classes it takes for which, where that is known."""
    served, found = named_system(door, system)
    known = found.cards
    if name not in known:
        raise UnknownNameError("branch", name, list(known))
    found_card, folder = known[name], door.hall.folder(served) if served in door.hall.in_folders else None
    confusion = await door.errands.run(lambda: desk.confusions.of(found_card, folder))
    return answer({**_told(served, found_card), "confusion": confusion})


@router.post("/v1/branches/verify", responses=errors(408), response_model=None)
async def verify(door: AtTheDoor, caller: Admin, system: System = None) -> Response:
    """Compute every branch's outputs on the stored probe texts again, and compare."""
    from interconnected_ai.training import is_changed

    served, found = named_system(door, system)
    checks = await door.errands.run(found.verify)
    return answer({
        "object": "list", "system": served, "unchanged": not any(map(is_changed, checks)),
        "data": [{"object": "branch.check", **asdict(check)} for check in checks],
    })  # fmt: skip


@router.delete("/v1/branches/{name}", responses=errors(409), response_model=None)
async def remove(name: str, door: AtTheDoor, desk: AtTheDesk, caller: Admin, system: System = None) -> Response:
    """Take a branch out for good. Requests that are being answered get its answer, later ones never do."""
    served, found = named_system(door, system)
    if name not in found.branch_names:
        raise UnknownNameError("branch", name, found.branch_names)
    gone = found.cards[name]
    left = await door.errands.run(lambda: _removed(door, served, name))
    await door.errands.run(lambda: desk.confusions.forget(gone))
    return answer({"object": "branch.deleted", "id": name, "system": served, "deleted": True, "branches": left})


def _removed(door: Door, served: str, name: str) -> list[str]:
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.training import remove_branch

    live, folder = door.hall.systems[served], door.hall.folder(served)
    remove_branch(InterconnectedAISystem.from_pretrained(folder, encoder=live.encoder.without_lora()), folder, name)
    door.hall.refresh(served)
    return list(live.branch_names)


def _told(system: str, card: BranchCard) -> dict[str, Any]:
    content = card.to_dict()
    return {"object": "branch", "id": card.name, "system": system, **content}
