"""What stands in for single experts: low-rank adapters, whole experts, stacks in four bits."""
