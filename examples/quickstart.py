"""Load the quickstart's model, ask it, add a branch, verify the others. Run `make demo` first."""

from interconnected_ai import BranchSpec, InterconnectedAISystem
from interconnected_ai.branches import fit_branch

TEXTS = ["my card was stolen", "block my card", "what is my balance", "how much money do I have"]
LABELS = ["card", "card", "balance", "balance"]


def main(model: str = "runs/quickstart/model") -> None:
    system = InterconnectedAISystem.from_pretrained(model)
    for prediction in system.predict(["Return the sum of array elements over a given axis."]):
        for answer in prediction.branches.values():
            print(f"{answer.branch}: {answer.answer} ({answer.confidence:.1%})")

    system.add_branch(BranchSpec.from_mapping({"name": "bank", "labels": ["balance", "card"]}))
    fit_branch(system, "bank", TEXTS, LABELS)
    print("bank:", system.predict(["please freeze my card"], branches=["bank"])[0].branches["bank"].label)

    for check in system.verify():
        print(f"{check.branch}: identical {check.identical}, max |Δ| {check.max_abs_diff:g}")


if __name__ == "__main__":
    main()
