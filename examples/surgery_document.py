"""What `003_…` asks of Qwen3's experts and router, on a small Qwen3-MoE with random weights; a real one works the same way."""

import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from interconnected_ai import surgery
from interconnected_ai.surgery import Program, Rule


def main() -> None:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=200, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        moe_intermediate_size=32, num_experts=128, num_experts_per_tok=8, norm_topk_prob=True, pad_token_id=0,
    )  # fmt: skip
    moe = surgery.open(Qwen3MoeForCausalLM(config).eval())
    ids = torch.randint(3, 200, (2, 12))
    with torch.no_grad():
        before = moe.model(ids).logits

        # 1. the number of active experts: the config alone would change nothing
        with moe.top_k(12):
            print(f"top-k 12: outputs move by {(moe.model(ids).logits - before).abs().max():.4f}")

        # 2. replace expert 77, insert one of one's own, without a change until it is let in
        moe.layers[1].experts[77].replace(moe.layers[2].experts[5])
        moe.undo()
        (mine,) = moe.insert(1, [moe.layers[1].experts[77].ffn])
        print(f"inserted expert {mine}: outputs equal to the last bit: {torch.equal(moe.model(ids).logits, before)}")
        moe.undo()

        # 3. logic in the router: a token that always uses expert 77, a role token that activates experts 80 to 100
        token, role = int(ids[0, 3]), 199
        rules = (
            Rule(do="force", experts=(77,), tokens=(token,)),
            Rule(do="only", experts=tuple(range(80, 101)), role="code"),
        )
        moe.set_program(Program(roles={"code": role}, rules=rules))
        ids[1, 4] = role
        with moe.watch() as seen:
            moe.model(ids)
        chosen = seen.passes[0].indices.view(2, 12, -1)
        print(f"token {token} uses expert 77: {bool((chosen[0, 3] == 77).any())}")
        print(f"after the role token only 80 to 100: {bool(((chosen[1, 4:] >= 80) & (chosen[1, 4:] <= 100)).all())}")

    # 4. the router alone, found by structure: in Qwen3 it is called gate
    optimizer = torch.optim.AdamW(moe.train_only("router"), lr=1e-3)
    with moe.verified_training():
        moe.model(ids, labels=ids).loss.backward()
        optimizer.step()
    print("only the routers moved, everything else is bit-identical")

    # 5. one or two experts alone
    adapter = moe.lora({1: [77], 2: [12, 77]}, rank=8)
    print(f"LoRA on three experts of {3 * 128}: {adapter.num_params:,} parameters")


if __name__ == "__main__":
    main()
