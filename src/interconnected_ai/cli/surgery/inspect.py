"""`iai surgery inspect FOLDER`."""

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.units import spoken_bytes


@click.command("inspect")
@click.argument("folder")
@with_output
def command(folder: str, output: Output) -> None:
    """The anatomy of the checkpoint in FOLDER (or of a hub id): layers, experts, top-k, shared experts, router, sizes.

    Reads the headers of its files alone, so it may be larger than memory.
    """
    from interconnected_ai.surgery import Checkpoint

    found = Checkpoint(folder)
    output.say(
        f"{found.folder.name}: {found.family.name}, {found.num_params:,} parameters, {spoken_bytes(found.size_bytes)} in "
        f"{len(found.files)} files; a token takes {found.top_k} experts",
        f"Router: {found.router}",
        *([f"Quantised: {found.scheme.name}; experts move with their scales"] if found.scheme is not None else []),
        *(
            ["Beside the weights: rules, adapters or closed experts, which only surgery.open reads"]
            if found.has_side_car
            else []
        ),
    )
    rows = [
        (
            layer.number,
            layer.num_experts,
            layer.expert_params,
            "apart" if layer.apart else "stacked",
            ", ".join(layer.router),
            spoken_bytes(sum(entry.size_bytes for entry in layer.shared)) if layer.shared else "none",
            spoken_bytes(layer.expert_bytes),
            next(iter(layer.pieces.values()))[0].dtype,
        )
        for layer in found.layers.values()
    ]
    output.table(
        "Layers with experts",
        ["layer", "experts", "parameters of one", "on disk", "router", "shared expert", "all experts", "dtype"],
        rows,
    )
    output.result(
        {
            "family": found.family.name,
            "num_params": found.num_params,
            "size_bytes": found.size_bytes,
            "top_k": found.top_k,
            "router": found.router,
            "side_car": found.has_side_car,
            "quantised": None if found.scheme is None else found.scheme.name,
            "layers": [
                {"number": layer.number, "num_experts": layer.num_experts, "expert_params": layer.expert_params,
                 "expert_bytes": layer.expert_bytes, "apart": layer.apart, "router": list(layer.router),
                 "shared_bytes": sum(entry.size_bytes for entry in layer.shared)}
                for layer in found.layers.values()
            ],
        }
    )  # fmt: skip
